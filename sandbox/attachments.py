"""Files of agents: where Genesys Cloud keeps them, and how it gives them out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from sandbox.accounts import Account
from sandbox.calls import Call, Outcome
from sandbox.files import Content, Files
from sandbox.genesys_errors import error_outcome
from sandbox.given_files import Access, AgentFile
from sandbox.http import Headers, Response
from sandbox.streams import file_response, slowed

PREFIX = "/genesys/downloads/"
AFTER_REDIRECT = "/file"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file, and who gets it how."""

    key: str
    account: Account
    content: Content
    mime: str
    filename: str | None
    access: Access
    bytes_per_s: int | None


class Attachments:
    """All files of agents, by the key in their URL."""

    def __init__(self, files: Files, url: str) -> None:
        self._files = files
        self._url = url
        self._kept: dict[str, Attachment] = {}

    async def keep(self, account: Account, given: AgentFile) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keep a file: its attachment object for a message, and what the control API tells of it."""
        shown: dict[str, Any] = {"id": str(uuid4()), "mediaType": given.kind}
        told: dict[str, Any] = {"mime": given.type, "filename": given.filename}
        if given.link is not None:
            shown["url"] = told["url"] = given.link
        else:
            content = await given.content(given.type, self._files)
            kept = Attachment(
                secrets.token_hex(16), account, content, given.type, given.filename, given.access, given.bytesPerS
            )
            self._kept[kept.key] = kept
            shown |= {"url": self._url + PREFIX + kept.key, "contentSizeBytes": content.size}
            told |= {"url": shown["url"], "size": content.size, "sha256": content.sha256}
        shown |= {"mime": given.type, "filename": given.filename, "text": given.text}
        for name in ("mime", "filename", "contentSizeBytes"):
            if name in given.model_fields_set:
                shown[name] = getattr(given, name)
        return {name: value for name, value in shown.items() if value is not None}, told

    def find(self, path: str) -> Attachment | None:
        """The file that a download path names."""
        return self._kept.get(path.removeprefix(PREFIX).removesuffix(AFTER_REDIRECT))

    def download(self, call: Call, account_of_token: Account | None) -> Outcome:
        """The answer to a GET of a file."""
        kept = self.find(call.request.path)
        if kept is None or kept.access == "missing" or call.request.method != "GET":
            return error_outcome(404)
        redirected = call.request.path.endswith(AFTER_REDIRECT)
        tenant_id = account_of_token.tenant_id if account_of_token is not None else None
        if kept.access in ("bearer", "redirect") and not redirected and tenant_id != kept.account.tenant_id:
            return error_outcome(401)
        if kept.access == "redirect" and not redirected:
            location = f"{self._url}{PREFIX}{kept.key}{AFTER_REDIRECT}"
            return Outcome(Response(302, b"", b"text/plain", ((b"location", location.encode()),)))
        response = file_response(kept.content, kept.mime, _disposition(kept.filename))
        if kept.bytes_per_s is not None and response.stream is not None:
            response.stream = slowed(response.stream, kept.bytes_per_s)
        return Outcome(response)

    def clear(self) -> None:
        """Forget all."""
        for kept in self._kept.values():
            kept.content.remove()
        self._kept.clear()


def _disposition(filename: str | None) -> Headers:
    if filename is None:
        return ()
    return ((b"content-disposition", f"attachment; filename*=UTF-8''{quote(filename, safe='')}".encode()),)
