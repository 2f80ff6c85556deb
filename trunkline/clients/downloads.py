"""Streaming GETs to addresses that others wrote, which reach only public hosts and the clouds' own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from trunkline.clients.addresses import (
    AddressRefused,
    Destinations,
    authority,
    parse_url,
    public_socket,
    refused,
)
from trunkline.clients.http import CONNECT_TIMEOUT_S, KEEPALIVE_S, OWN_HEADERS
from trunkline.errors import Unavailable

# A file may take long, its next piece may not.
LONGEST_S = 300.0
REDIRECTS_LIMIT = 5
CONNECTIONS_LIMIT = 100
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def no_bearer(_: str) -> str | None:
    """No token for anybody."""
    return None


class Download:
    """An answer whose body has not been read yet."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def length(self) -> int | None:
        """How long the body says that it is."""
        return self._response.content_length

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece; raises Unavailable when it breaks off."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(self._response.url, error) from None

    async def read(self, limit: int) -> bytes:
        """The body if it is no longer than `limit` bytes, else its beginning."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) >= limit:
                break
        return bytes(body[:limit])


class Downloads:
    """GETs for one process and event loop; to be built inside it. `timeout_s` is the longest silence."""

    def __init__(self, own_urls: Sequence[str], timeout_s: float) -> None:
        self._destinations = Destinations(own_urls)
        self.under_way = 0
        connect_s = min(timeout_s / 2, CONNECT_TIMEOUT_S)
        timeout = aiohttp.ClientTimeout(total=LONGEST_S, sock_connect=connect_s, sock_read=timeout_s)
        # Apart, so that no connection to a host of ours is there for others to use.
        self._own = _session(_connector(), timeout)
        self._public = _session(_connector(public_socket), timeout)

    @asynccontextmanager
    async def get(self, url: str, bearer_of: Callable[[str], str | None] = no_bearer) -> AsyncIterator[Download]:
        """The answer at `url`, after redirects; `bearer_of` says which token each authority on the way may have.

        Raises Rejected for an address that is refused, Unavailable when no answer comes.
        """
        self.under_way += 1
        try:
            response = await self._follow(parse_url(url), bearer_of)
            try:
                yield Download(response)
            finally:
                response.close()
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """Close every connection."""
        await self._own.close()
        await self._public.close()

    async def _follow(self, url: URL, bearer_of: Callable[[str], str | None]) -> aiohttp.ClientResponse:
        for _ in range(REDIRECTS_LIMIT + 1):
            response = await self._ask(url, bearer_of(authority(url)))
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            url = _joined(url, location)
        raise refused("it is redirected too often")

    async def _ask(self, url: URL, bearer: str | None) -> aiohttp.ClientResponse:
        session = self._own if self._destinations.is_own(url) else self._public
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            return await session.get(url, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(getattr(error, "os_error", error), AddressRefused):
                raise refused("its address is not public") from None
            if isinstance(error, aiohttp.InvalidURL):
                raise refused("its address is none") from None
            raise _broken(url, error) from None


def _session(connector: aiohttp.TCPConnector, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=OWN_HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def _connector(socket_factory: aiohttp.SocketFactoryType | None = None) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=CONNECTIONS_LIMIT, keepalive_timeout=KEEPALIVE_S, socket_factory=socket_factory)


def _joined(url: URL, location: str) -> URL:
    try:
        target = str(url.join(URL(location)))
    except ValueError:
        raise refused("it is redirected to nowhere") from None
    return parse_url(target)


def _broken(url: URL, error: BaseException) -> Unavailable:
    # Neither the library's words nor the cause: both may quote the link, which opens the file.
    return Unavailable(f"no whole answer from {url.host}: {type(error).__name__}")
