"""Calls to the clouds over aiohttp, and what a broken connection means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import aiohttp
from yarl import URL

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
    """Calls on one session of aiohttp, for one process and event loop. No redirect is followed, no cookie kept."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer to one POST; raises as `Posts` says."""
        try:
            sent = self._session.post(_parsed(url), data=content, headers=headers, allow_redirects=False)
            async with sent as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if _did_not_leave(error):
                raise Unavailable(f"no connection: {_words(error)}") from error
            raise OutcomeUnknown(f"no answer: {_words(error)}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def open_http(timeout_s: float) -> CloudHttp:
    """Calls that take at most `timeout_s` in all; to be called inside the event loop, closed by the caller."""
    return CloudHttp(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_LIMIT, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers=OWN_HEADERS,
            # Nothing is compressed, as asked for.
            auto_decompress=False,
            # In all: a claim counts as abandoned soon after, however slowly the answer drips.
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s / 2, CONNECT_TIMEOUT_S)),
        )
    )


@lru_cache(maxsize=4096)
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)


def _did_not_leave(error: BaseException) -> bool:
    """Name, connect and TLS failures, and what is no URL at all."""
    return isinstance(
        error,
        aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
        | aiohttp.NonHttpUrlClientError | ValueError,
    )  # fmt: skip


def _words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()
