"""A caller's connection: requests are read from it, and answered one after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools

from sandbox.http import Application, Request, Response, Stream, header, json_response
from sandbox.uploads import Upload

BODY_LIMIT = 4_194_304
HEAD_LIMIT = 65_536
PIPELINED = 16

log = logging.getLogger(__name__)
_START = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Host(Protocol):
    """The server to which connections belong."""

    application: Application
    connections: set[Connection]

    def run(self, rest: Coroutine[Any, Any, None]) -> None:
        """Run the rest of an exchange that takes time."""


class Connection(asyncio.Protocol):
    """One caller's connection; its requests are served one after the other."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[HttpExchange] = deque()
        self._current: HttpExchange | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room: asyncio.Future[None] | None = None  # set while the caller reads more slowly than we write
        self._url = b""
        self._path = self._query = ""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._body = bytearray()
        self._upload: Upload | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        for exchange in self._waiting:
            exchange.forget()
        self._waiting.clear()
        if self._upload is not None:
            self._upload.abandon()
        if not self._gone.done():
            self._gone.set_result(None)
        self.resume_writing()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

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
        self._upload = None

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._grow_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._grow_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        url = httptools.parse_url(self._url)
        path = url.path.decode("latin-1")
        self._path = unquote(path) if "%" in path else path
        self._query = url.query.decode("latin-1") if url.query else ""
        content_type = header(self._headers, b"content-type")
        self._upload = self._server.application.upload(self._method(), self._path, content_type)

    def on_body(self, body: bytes) -> None:
        if self._upload is not None:
            self._upload.feed(body)
            return
        self._body += body
        if len(self._body) > BODY_LIMIT:
            raise _TooLarge(413)

    def on_message_complete(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.end()
        request = Request(
            self._method(),
            self._path,
            self._query,
            self._headers,
            bytes(self._body),
            time.monotonic_ns(),
            time.time(),
            upload,
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
        stream = response.stream
        head = [
            _START.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status,
            b"content-type: %b\r\ncontent-length: %d\r\n"
            % (response.content_type, len(response.body) if stream is None else stream.size),
            *(b"%b: %b\r\n" % each for each in response.headers),
            b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n",
            response.body,
        ]
        self._transport.write(b"".join(head))
        if stream is None:
            self._turn(exchange)
        else:
            self._server.run(self._write_stream(exchange, stream))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    async def gone(self) -> None:
        """Return once the connection is closed."""
        await asyncio.shield(self._gone)

    async def _write_stream(self, exchange: HttpExchange, stream: Stream) -> None:
        left = stream.size
        try:
            async with aclosing(stream.pieces) as pieces:
                async for piece in pieces:
                    if self._gone.done():
                        return
                    self._transport.write(piece)
                    left -= len(piece)
                    await (asyncio.sleep(0) if self._room is None else self._room)
        except Exception:
            log.exception("sandbox.failed")
        if left:
            self._transport.close()
        else:
            self._turn(exchange)

    def _turn(self, exchange: HttpExchange) -> None:
        """Turn to the next request."""
        self._current = None
        if not exchange.keep_alive:
            self._transport.close()
        elif self._waiting:
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._serve_next)

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

    def _method(self) -> str:
        return str(self._parser.get_method(), "latin-1")

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

    def forget(self) -> None:
        """It will not be served."""
        if self.request.upload is not None:
            self.request.upload.abandon()


class _TooLarge(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
