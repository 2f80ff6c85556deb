"""Files of agents, which Genesys Cloud keeps behind links with or without credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trunkline.clients.addresses import authority
from trunkline.clients.downloads import Download, Downloads, no_bearer
from trunkline.errors import Rejected, Unavailable

Sink = Callable[[bytes], Awaitable[None]]

# Enough to recognise a file by.
HEAD_BYTES = 512
TOO_LARGE = "InvalidMediaContentLength"
_MAY_PASS = frozenset({401, 408, 425, 429})
_NO_CREDENTIALS = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file that was fetched: its MIME type as the download declares it, its size, its first bytes."""

    mime: str | None
    size: int
    head: bytes


class GenesysFiles:
    """Fetches files. `api_url` replaces the hosts of every region."""

    def __init__(self, downloads: Downloads, api_url: str) -> None:
        self._downloads = downloads
        self._api_url = api_url

    async def fetch(self, region: str, token: str | None, url: str, sink: Sink, limit_bytes: int) -> FetchedFile:
        """Write the file at `url` into `sink`, which is not touched before there is something to write.

        The token goes to the API's own hosts, and only if they ask for it. Raises Rejected or Unavailable.
        """
        async with self._downloads.get(url) as download:
            if download.status not in _NO_CREDENTIALS:
                return await _pour(download, sink, limit_bytes)
        own = self._own(region)
        async with self._downloads.get(url, lambda place: token if place in own else no_bearer(place)) as download:
            return await _pour(download, sink, limit_bytes)

    def _own(self, region: str) -> frozenset[str]:
        if self._api_url:
            return frozenset({authority(self._api_url)})
        return frozenset({authority(f"https://api.{region}"), authority(f"https://api-downloads.{region}")})


async def _pour(download: Download, sink: Sink, limit_bytes: int) -> FetchedFile:
    status = download.status
    if status >= 500 or status in _MAY_PASS:
        raise Unavailable(f"Genesys answered {status} to the download of a file", str(status))
    if status != 200:
        raise Rejected("media_unavailable", f"Genesys answered {status} to the download of a file", str(status))
    if download.length is not None and download.length > limit_bytes:
        raise _too_large(limit_bytes)
    head, size = b"", 0
    async for chunk in download.chunks():
        head = (head + chunk[:HEAD_BYTES])[:HEAD_BYTES]
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        await sink(chunk)
    return FetchedFile(download.headers.get("Content-Type"), size, head)


def _too_large(limit_bytes: int) -> Rejected:
    return Rejected("media_unavailable", f"the file is larger than {limit_bytes // (1024 * 1024)} MB", TOO_LARGE)
