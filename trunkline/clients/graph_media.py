"""WhatsApp's files: looked up, downloaded and uploaded with a number's token."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from trunkline.clients.addresses import authority, refused
from trunkline.clients.downloads import Download, Downloads
from trunkline.clients.http import Answer
from trunkline.clients.uploads import FileForm, Uploads
from trunkline.errors import OutcomeUnknown, Rejected, TrunklineError, Unavailable
from trunkline.protocol.lenient import read_number
from trunkline.protocol.outcomes import classify_whatsapp
from trunkline.tenancy.tenant import WhatsAppAccess

Sink = Callable[[bytes], Awaitable[None]]

# A link lives for 5 minutes and may be dead at once; what stays so has gone (contract section 13, Times).
PAUSES_S = (1.0, 3.0)
FOUND_WITHIN_S = 20.0
TOO_LARGE = "InvalidMediaContentLength"
_ANSWER_LIMIT = 65_536
_GONE = frozenset({404, 410})
_METAS_HOSTS = re.compile(r"https://([a-z0-9-]+\.)+(fbsbx\.com|facebook\.com|whatsapp\.net):443")


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What Meta says of a file: its MIME type, its size, and its SHA-256 in hexadecimal digits."""

    mime: str | None
    size: int | None
    sha256: str | None


class GraphMedia:
    """Files of the Graph API; `graph_api_url` has the version in it."""

    def __init__(self, downloads: Downloads, uploads: Uploads, graph_api_url: str) -> None:
        self._downloads = downloads
        self._uploads = uploads
        self._url = graph_api_url
        self._own = authority(graph_api_url)

    async def fetch(
        self, access: WhatsAppAccess, phone_number_id: str, media_id: str, sink: Sink, limit_bytes: int
    ) -> MediaFacts:
        """Write a customer's file into `sink`, which is not touched before there is something to write.

        Raises Rejected for a file that cannot be had, CredentialsRefused, Throttled or Unavailable, the last one also
        when the file breaks off.
        """
        url = f"{self._url}/{quote(media_id, safe='')}?phone_number_id={quote(phone_number_id, safe='')}"
        gone = False
        try:
            async with asyncio.timeout(FOUND_WITHIN_S) as patience:
                for pause_s in (*PAUSES_S, None):
                    facts = await self._load(access, url, sink, limit_bytes, patience)
                    if facts is not None:
                        return facts
                    gone = True
                    if pause_s is not None:
                        await asyncio.sleep(pause_s)
        except TimeoutError:
            if not gone:
                raise Unavailable("WhatsApp takes too long to find the file") from None
        raise Rejected("media_unavailable", "WhatsApp does not have the file any more", "404")

    async def upload(self, access: WhatsAppAccess, path: Path, mime: str, filename: str) -> str:
        """Upload a file and return its media id; raises what Meta's answer means."""
        url = f"{self._url}/{quote(access.phone_number_id, safe='')}/media"
        form = FileForm({"messaging_product": "whatsapp", "type": mime}, path, mime, filename)
        answer = await self._uploads.post(url, access.access_token, form)
        media_id = _object(answer.body).get("id")
        if 200 <= answer.status < 300 and isinstance(media_id, str | int) and media_id:
            return str(media_id)
        raise _failure(answer, "rejected")

    async def _load(
        self, access: WhatsAppAccess, url: str, sink: Sink, limit_bytes: int, patience: asyncio.Timeout
    ) -> MediaFacts | None:
        """One look-up and one try of its link; None when either is not there."""
        found = await self._look_up(access, url)
        if found is None:
            return None
        facts, link = found
        if facts.size is not None and facts.size > limit_bytes:
            raise _too_large(limit_bytes)
        if not self._is_metas(authority(link)):
            raise refused("its link leads to a host that is not Meta's")
        async with self._downloads.get(link, self._bearer_of(access)) as download:
            if download.status in _GONE:
                return None
            if download.status != 200:
                raise await _refusal(download)
            patience.reschedule(None)  # it is found: from now on it may take its time
            size = await _pour(download, sink, limit_bytes)
        if facts.sha256 is None and facts.size not in (None, size):
            raise Unavailable("the file is not the one that WhatsApp announced: its size differs")
        return facts

    async def _look_up(self, access: WhatsAppAccess, url: str) -> tuple[MediaFacts, str] | None:
        async with self._downloads.get(url, self._bearer_of(access)) as download:
            if download.status in _GONE:
                return None
            if download.status != 200:
                raise await _refusal(download)
            told = _object(await download.read(_ANSWER_LIMIT))
        link, mime = told.get("url"), told.get("mime_type")
        if not isinstance(link, str):
            raise Unavailable("WhatsApp found the file and gave no link to it")
        size = read_number(told.get("file_size"))
        facts = MediaFacts(
            mime=mime if isinstance(mime, str) else None,
            size=int(size) if size is not None and size >= 0 else None,
            sha256=hex_digest(told.get("sha256")),
        )
        return facts, link

    def _bearer_of(self, access: WhatsAppAccess) -> Callable[[str], str | None]:
        return lambda place: access.access_token if self._is_metas(place) else None

    def _is_metas(self, place: str) -> bool:
        return place == self._own or _METAS_HOSTS.fullmatch(place) is not None


def hex_digest(written: object) -> str | None:
    """A SHA-256 in hexadecimal digits, from those or from base64, as Meta writes both; None for what is neither."""
    if not isinstance(written, str):
        return None
    if re.fullmatch(r"[0-9a-fA-F]{64}", written):
        return written.lower()
    try:
        plain = base64.b64decode(written.replace("-", "+").replace("_", "/") + "=" * (-len(written) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return plain.hex() if len(plain) == 32 else None


async def _pour(download: Download, sink: Sink, limit_bytes: int) -> int:
    if download.length is not None and download.length > limit_bytes:
        raise _too_large(limit_bytes)
    size = 0
    async for chunk in download.chunks():
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        await sink(chunk)
    return size


async def _refusal(download: Download) -> TrunklineError:
    answer = Answer(download.status, download.headers, await download.read(_ANSWER_LIMIT))
    return _failure(answer, "media_unavailable")


def _failure(answer: Answer, reason: str) -> TrunklineError:
    """What an answer other than success means; a final no has `reason`."""
    try:
        classify_whatsapp(answer.status, answer.headers, answer.body)
    except Rejected as error:
        return Rejected(reason, error.detail, error.code)
    except OutcomeUnknown as error:
        return Unavailable(error.detail, error.code)  # asked again, it does no harm
    except TrunklineError as error:
        return error
    return Unavailable("an answer that fits another question", str(answer.status))


def _too_large(limit_bytes: int) -> Rejected:
    return Rejected("media_unavailable", f"the file is larger than {limit_bytes // (1024 * 1024)} MB", TOO_LARGE)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
