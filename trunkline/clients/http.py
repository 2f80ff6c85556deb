"""Calls to the clouds: httpx's interface on aiohttp's transport, and what a broken connection means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from trunkline.errors import OutcomeUnknown, Unavailable

# Below the 60 s after which load balancers close idle connections: a request must not meet a closing one.
KEEPALIVE_S = 15.0
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """A cloud's answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def open_client(timeout_s: float) -> httpx.AsyncClient:
    """A client for one process and event loop; to be called inside that loop, closed by the caller.

    httpx's own pool checks every connection on each request and slows down with calls in flight; aiohttp's does not.
    """
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_LIMIT, keepalive_timeout=KEEPALIVE_S)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return httpx.AsyncClient(
        transport=AiohttpTransport(client=session),
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        follow_redirects=False,
        trust_env=False,
    )


async def post(client: httpx.AsyncClient, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
    """The answer to one POST.

    Raises Unavailable when the request certainly did not leave, OutcomeUnknown when it may have.
    """
    try:
        response = await client.post(url, headers=dict(headers), content=content)
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
        if _did_not_leave(error):
            raise Unavailable(f"no connection: {_words(error)}") from error
        raise OutcomeUnknown(f"no answer: {_words(error)}") from error
    return Answer(response.status_code, response.headers, response.content)


def _did_not_leave(error: BaseException) -> bool:
    """Name, connect and TLS failures. The transport calls a reset connection a connect time-out too: look beneath."""
    cause = error.__cause__ or error
    return isinstance(
        cause,
        aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL | httpx.InvalidURL
        | httpx.UnsupportedProtocol,
    )  # fmt: skip


def _words(error: BaseException) -> str:
    return f"{type(error.__cause__ or error).__name__} {error}".strip()
