"""The HTTP server under the sandbox.

Its own, because a stand-in that shares its machine with what it measures must cost little: an answer that needs no
waiting is written at once, in one piece and without a task, for half of what an ASGI server takes. And a lost answer,
a connection closed in the middle of an exchange, has no word in ASGI.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools

from sandbox.http import Application, Request, Response, json_response

BACKLOG = 1024
BODY_LIMIT = 4_194_304
HEAD_LIMIT = 65_536
PIPELINED = 16

log = logging.getLogger(__name__)
_START = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Connection(asyncio.Protocol):
    """One caller's connection; its requests are served one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[HttpExchange] = deque()
        self._current: HttpExchange | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._body = bytearray()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._waiting.clear()
        if not self._gone.done():
            self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "Upgrades are not supported")
        except _TooLarge as large:
            self._refuse(large.status, "Too large")
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _TooLarge):
                self._refuse(error.__context__.status, "Too large")
            else:
                self._refuse(400, "This is not HTTP")

    # httptools

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._head_size = 0
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._grow_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._grow_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > BODY_LIMIT:
            raise _TooLarge(413)

    def on_message_complete(self) -> None:
        url = httptools.parse_url(self._url)
        path = url.path.decode("latin-1")
        request = Request(
            self._parser.get_method().decode("latin-1"),
            unquote(path) if "%" in path else path,
            url.query.decode("latin-1") if url.query else "",
            self._headers,
            bytes(self._body),
            time.monotonic_ns(),
            time.time(),
        )
        exchange = HttpExchange(self, request, self._parser.should_keep_alive())
        if self._current is None:
            self._serve(exchange)
            return
        self._waiting.append(exchange)
        if len(self._waiting) > PIPELINED:
            self._transport.pause_reading()

    # exchanges

    def write(self, exchange: HttpExchange, response: Response) -> None:
        """Write the answer and turn to the next request."""
        if exchange is not self._current or self._gone.done():
            return
        head = [
            _START.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status,
            b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type, len(response.body)),
            *(b"%b: %b\r\n" % header for header in response.headers),
            b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n",
            response.body,
        ]
        self._transport.write(b"".join(head))
        self._current = None
        if not exchange.keep_alive:
            self._transport.close()
        elif self._waiting:
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._serve_next)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    async def gone(self) -> None:
        """Return once the connection is closed."""
        await asyncio.shield(self._gone)

    def _serve_next(self) -> None:
        if self._waiting and self._current is None:
            self._serve(self._waiting.popleft())

    def _serve(self, exchange: HttpExchange) -> None:
        self._current = exchange
        try:
            rest = self._server.application.serve(exchange)
        except Exception:
            log.exception("sandbox.failed")
            self._fail(exchange)
            return
        if rest is not None:
            self._server.run(self._finish(rest, exchange))

    async def _finish(self, rest: Coroutine[Any, Any, None], exchange: HttpExchange) -> None:
        try:
            await rest
        except Exception:
            log.exception("sandbox.failed")
            self._fail(exchange)

    def _fail(self, exchange: HttpExchange) -> None:
        self.write(exchange, json_response(500, {"error": "The sandbox itself failed; its log says why"}))

    def _refuse(self, status: int, why: str) -> None:
        body = json_response(status, {"error": why}).body
        self._transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (_START[status], len(body), body)
        )
        self._transport.close()

    def _grow_head(self, by: int) -> None:
        self._head_size += by
        if self._head_size > HEAD_LIMIT:
            raise _TooLarge(431)


class HttpExchange:
    """One request on a connection."""

    __slots__ = ("_connection", "keep_alive", "request")

    def __init__(self, connection: Connection, request: Request, keep_alive: bool) -> None:
        self._connection = connection
        self.request = request
        self.keep_alive = keep_alive

    def answer(self, response: Response) -> None:
        """Answer it, once."""
        self._connection.write(self, response)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self._connection.close()

    async def gone(self) -> None:
        """Return once the caller has gone."""
        await self._connection.gone()


class Server:
    """Serves an application on one socket until closed."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=sock, backlog=BACKLOG)

    async def close(self) -> None:
        """Close every connection and give up what is still being served."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def run(self, rest: Coroutine[Any, Any, None]) -> None:
        """Run the rest of an exchange that takes time."""
        task = asyncio.get_running_loop().create_task(rest)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises OSError if the port is in use."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


class _TooLarge(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
