"""Requests, answers, and the exchange of one for the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote_plus

import orjson

from sandbox.uploads import Upload

Headers = tuple[tuple[bytes, bytes], ...]


class Request:
    """One request, read to its end, with the moment it arrived; of an upload the body is in `upload`."""

    __slots__ = ("_headers", "_queries", "_query", "arrived_at", "arrived_ns", "body", "method", "path", "upload")

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        arrived_ns: int,
        arrived_at: float,
        upload: Upload | None = None,
    ) -> None:
        self._headers = headers
        self._query = query
        self._queries: dict[str, str] | None = None
        self.method = method
        self.path = path
        self.body = body
        self.arrived_ns = arrived_ns
        self.arrived_at = arrived_at
        self.upload = upload

    def header(self, name: bytes) -> str:
        """Value of a header, its name in lower case; empty when absent."""
        return header(self._headers, name)

    def query(self, name: str, default: str = "") -> str:
        """Value of a query parameter."""
        if self._queries is None:
            parts = (part.partition("=") for part in self._query.split("&"))
            self._queries = {unquote_plus(key): unquote_plus(value) for key, _, value in parts}
        return self._queries.get(name, default)

    def json(self) -> Any:
        """The body parsed; raises ValueError when it is not JSON."""
        return orjson.loads(self.body)

    def bearer(self) -> str:
        """The bearer token, or an empty string."""
        scheme, _, token = self.header(b"authorization").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


def header(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
    """Value of a header, its name in lower case; empty when absent."""
    for key, value in headers:
        if key == name:
            return str(value, "latin-1")
    return ""


@dataclass(slots=True)
class Stream:
    """A body that is read while it is sent; if it ends before its size, the connection is closed."""

    size: int
    pieces: AsyncGenerator[bytes]


class Response:
    """One answer."""

    __slots__ = ("body", "content_type", "headers", "status", "stream")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: Headers = (),
        stream: Stream | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.stream = stream


def json_response(status: int, data: Any, headers: Headers = ()) -> Response:
    """An answer with `data` as JSON."""
    return Response(status, orjson.dumps(data), headers=headers)


class Exchange(Protocol):
    """A request and the one who waits for its answer."""

    @property
    def request(self) -> Request:
        """What is asked."""

    def answer(self, response: Response) -> None:
        """Answer it, once."""

    def drop(self) -> None:
        """Close the connection without an answer: the caller cannot know what became of the request."""

    async def gone(self) -> None:
        """Return once the caller has gone."""


class Application(Protocol):
    """Serves exchanges: at once, or by a coroutine for those that take time."""

    def upload(self, method: str, path: str, content_type: str) -> Upload | None:
        """What takes the body of this request piece by piece; None if it is small and goes into memory."""

    def serve(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer now, or give back what will."""
