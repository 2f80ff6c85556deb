"""The media endpoints of the simulated Graph API: look-up, download, upload, deletion."""

from __future__ import annotations

import re
from typing import Any

from sandbox.accounts import Account, Accounts
from sandbox.calls import Call, Outcome
from sandbox.graph_errors import Refused, bad_token
from sandbox.http import Request, Response, json_response
from sandbox.media import UPLOADED_S, Media, MediaLibrary
from sandbox.media_rules import HEAD_BYTES, bare_mime, check_media, media_parts
from sandbox.streams import file_response

OBJECT = re.compile(r"^/graph/v[0-9]+\.[0-9]+/([^/]+)$")
UPLOAD = re.compile(r"^/graph/v[0-9]+\.[0-9]+/([^/]+)/media$")
LINK_PREFIX = "/graph-media/"


class GraphMedia:
    """Meta's side of files. An upload may be of any type up to 100 MB; what it may be sent as is seen at the send."""

    def __init__(self, accounts: Accounts, library: MediaLibrary, url: str) -> None:
        self._accounts = accounts
        self._library = library
        self._url = url

    def understand(self, request: Request) -> Call | None:
        """What the request is about, if it is about media."""
        if request.path.startswith(LINK_PREFIX) and request.method == "GET":
            key = request.path.removeprefix(LINK_PREFIX)
            return self._about(request, "graph_download", key, self._library.linked(key))
        found = UPLOAD.match(request.path)
        if found is not None and request.method == "POST":
            account = self._accounts.by_number.get(found[1])
            return Call(request, "meta", "graph_upload", found[1], account, conversation=found[1])
        found = OBJECT.match(request.path)
        if found is not None and request.method in ("GET", "DELETE"):
            kind = "graph_media" if request.method == "GET" else "graph_delete"
            return self._about(request, kind, found[1], self._library.find(found[1]))
        return None

    def look_up(self, call: Call, account: Account) -> Outcome:
        """Facts about a file, and a link to it; or its deletion."""
        media = self._library.find(call.target)
        asked_for = call.request.query("phone_number_id") or account.phone_number_id
        if media is None or media.number != account.phone_number_id or asked_for != media.number:
            raise Refused(100, f"Unsupported {call.request.method.lower()} request. {_unknown(call.target)}", 33)
        if call.kind == "graph_delete":
            self._library.forget(media)
            return Outcome(json_response(200, {"success": True}))
        answer = {
            "messaging_product": "whatsapp",
            "url": self.new_link(call.request.header(b"host"), media),
            "mime_type": media.mime,
            "sha256": media.content.sha256,
            "file_size": str(media.content.size),
            "id": media.id,
        }
        return Outcome(json_response(200, answer))

    def new_link(self, host: str, media: Media) -> str:
        """A link that the caller sees at the same authority as the API."""
        return f"{f'http://{host}' if host else self._url}{LINK_PREFIX}{self._library.link(media)}"

    def download(self, call: Call, token_is_known: bool) -> Outcome:
        """The file behind a link, for who has the bearer of its number."""
        if not token_is_known:
            return Outcome(bad_token("The access token could not be decrypted", None), "190")
        media = self._library.linked(call.target)
        if media is None:
            return Outcome(Response(404, b"Not Found", b"text/plain"), "not.found")
        account = self._accounts.by_number.get(media.number)
        if account is None or account.access_token != call.request.bearer():
            return Outcome(bad_token("The access token does not belong to this file", None), "190")
        return Outcome(file_response(media.content, media.mime))

    def upload(self, call: Call, account: Account) -> Outcome:
        """Keep an uploaded file."""
        upload = call.request.upload
        assert upload is not None
        if upload.too_large:
            raise Refused(131053, "The file is larger than 100 MB")
        if upload.problem:
            raise Refused(100, upload.problem)
        if upload.field("messaging_product") != "whatsapp":
            raise Refused(100, "The parameter messaging_product is required and must be 'whatsapp'")
        mime = bare_mime(upload.field("type"))
        if not mime:
            raise Refused(
                100,
                "Param file must be a file with one of the following types: audio/aac, audio/mp4, audio/mpeg, "
                "audio/amr, audio/ogg, application/pdf, image/jpeg, image/png, image/webp, text/plain, video/mp4, "
                f"video/3gpp, … Received file of type '{upload.field('type')}'.",
            )
        if upload.file is None:
            raise Refused(100, "The parameter file is required")
        if upload.file.size == 0:
            raise Refused(131053, "The file is empty")
        content = upload.take()
        assert content is not None
        media = self._library.keep(account.phone_number_id, content, mime, UPLOADED_S)
        call.id, call.ref, call.text = media.id, content.sha256, f"{mime} {content.size}"
        return Outcome(json_response(200, {"id": media.id}))

    def files_of(self, body: dict[str, Any], account: Account) -> list[dict[str, Any]]:
        """The files that a checked message refers to, as the phone shows them; raises Refused for a wrong one."""
        return [self._file(kind, part, account) for kind, part in media_parts(body)]

    def _file(self, kind: str, part: dict[str, Any], account: Account) -> dict[str, Any]:
        shown: dict[str, Any] = {"kind": kind}
        shown |= {name: part[name] for name in ("link", "caption", "filename", "voice") if name in part}
        if "id" not in part:
            return shown
        media = self._library.find(part["id"])
        if media is None or media.number != account.phone_number_id:
            raise Refused(131009, f"Media id {part['id']} does not exist")
        head = next(media.content.pieces(), b"")[:HEAD_BYTES]
        check_media(kind, part, media.mime, media.content.size, head)
        return shown | media.as_json()

    def _about(self, request: Request, kind: str, target: str, media: Media | None) -> Call:
        number = media.number if media is not None else request.query("phone_number_id")
        account = self._accounts.by_number.get(number)
        if media is None:
            return Call(request, "meta", kind, target, account, id=target, conversation=number)
        text = f"{media.mime} {media.content.size}"
        return Call(
            request,
            "meta",
            kind,
            target,
            account,
            id=media.id,
            ref=media.content.sha256,
            conversation=number,
            text=text,
        )


def _unknown(id: str) -> str:
    return f"Object with ID '{id}' does not exist, cannot be loaded due to missing permissions"
