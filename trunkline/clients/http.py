"""Calls to the clouds: httpx's interface on aiohttp's transport, and what a broken connection means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from trunkline.errors import OutcomeUnknown, Unavailable

# Below the 60 s after which load balancers close idle connections: a request must not meet a closing one.
KEEPALIVE_S = 15.0
OWN_HEADERS = {"User-Agent": "Trunkline", "Accept-Encoding": "identity"}
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """A cloud's answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Posts(Protocol):
    """Where requests to the clouds go."""

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer to one POST.

        Raises Unavailable when the request certainly did not leave, OutcomeUnknown when it may have.
        """


class CloudHttp:
    """Calls on one transport, for one process and event loop.

    Requests go straight to the transport: redirects, cookies and proxies, for which `httpx.AsyncClient` spends more
    than half of a call's time, have no place between us and the clouds.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, timeout_s: float) -> None:
        self._transport = transport
        self._timeout_s = timeout_s
        connect_s = min(timeout_s / 2, CONNECT_TIMEOUT_S)
        self._extensions = {"timeout": {"connect": connect_s, "read": timeout_s, "write": timeout_s, "pool": timeout_s}}

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer to one POST.

        Raises Unavailable when the request certainly did not leave, OutcomeUnknown when it may have.
        """
        try:
            request = httpx.Request(
                "POST",
                _parsed(url),
                headers={**headers, **OWN_HEADERS},
                content=content,
                extensions=self._extensions,
            )
            # In all: a claim counts as abandoned soon after, however slowly the answer drips.
            async with asyncio.timeout(self._timeout_s):
                response = await self._transport.handle_async_request(request)
                try:
                    # Nothing is compressed, as asked for: no decoder to go through.
                    stream = cast(httpx.AsyncByteStream, response.stream)
                    body = b"".join([chunk async for chunk in stream])
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            if _did_not_leave(error):
                raise Unavailable(f"no connection: {_words(error)}") from error
            raise OutcomeUnknown(f"no answer: {_words(error)}") from error
        return Answer(response.status_code, response.headers, body)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


def open_http(timeout_s: float) -> CloudHttp:
    """Calls over aiohttp's transport; to be called inside the event loop, closed by the caller.

    httpx's own transport checks every connection on each request and slows down with calls in flight.
    """
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_LIMIT, keepalive_timeout=KEEPALIVE_S)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
    return CloudHttp(AiohttpTransport(client=session), timeout_s)


@lru_cache(maxsize=4096)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _did_not_leave(error: BaseException) -> bool:
    """Name, connect and TLS failures. The transport calls a reset connection a connect time-out too: look beneath."""
    cause = error.__cause__ or error
    return isinstance(
        cause,
        aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
        | aiohttp.NonHttpUrlClientError | httpx.InvalidURL
        | httpx.UnsupportedProtocol,
    )  # fmt: skip


def _words(error: BaseException) -> str:
    return f"{type(error.__cause__ or error).__name__} {error}".strip()
