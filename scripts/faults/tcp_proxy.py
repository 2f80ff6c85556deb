"""A TCP proxy on loopback that can cut its connections, fall silent or refuse: a broken network, on demand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536

# What the clients say, and what the server says.
Side = Literal["clients", "server"]


class TcpProxy:
    """Stands between a client and one server. `connections` counts those that were ever taken."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._near: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._swallowed: set[Side] = set()
        self._severed: set[Side] = set()
        self.connections = 0
        self.port = 0

    async def open(self) -> None:
        """Take connections, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break every connection, as a reset does; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()
        self._swallowed.clear()
        self._severed.clear()

    def sever(self, side: Side) -> None:
        """Pass on half of what this side says next, then break every connection: in the middle of a sentence."""
        self._severed.add(side)

    def swallow(self, side: Side) -> None:
        """Pass on nothing more of what this side says, until `cut`."""
        self._swallowed.add(side)

    async def refuse(self) -> None:
        """Break every connection and take no new one until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def inject(self, data: bytes) -> None:
        """Say something to the clients that the server did not; only while it says nothing itself."""
        for writer in self._near:
            writer.write(data)

    def hold(self) -> None:
        """Pass nothing on until `release`, without breaking anything."""
        self._flowing.clear()

    def release(self) -> None:
        """Pass on what was held."""
        self._flowing.set()

    async def close(self) -> None:
        """End everything."""
        await self.refuse()
        self.release()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        self._near.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._end(writer)
            return
        self._writers.add(far_writer)
        self._start(reader, far_writer, "clients")
        self._start(far_reader, writer, "server")

    def _start(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, side: Side) -> None:
        pipe = asyncio.create_task(self._pipe(source, sink, side))
        self._pipes.add(pipe)
        pipe.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, side: Side) -> None:
        try:
            with contextlib.suppress(OSError):
                while chunk := await source.read(CHUNK):
                    await self._flowing.wait()
                    if side in self._severed:
                        sink.write(chunk[: len(chunk) // 2])
                        await sink.drain()
                        self.cut()
                        return
                    if side not in self._swallowed:
                        sink.write(chunk)
                        await sink.drain()
        finally:
            self._end(sink)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        self._writers.discard(writer)
        self._near.discard(writer)


@contextlib.asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy in front of the server that `url` names, and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = TcpProxy(parts.hostname, parts.port)
    await proxy.open()
    try:
        yield proxy, through(proxy, url)
    finally:
        await proxy.close()


def through(proxy: TcpProxy, url: str) -> str:
    """The URL that leads to the same server through the proxy."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{proxy.port}"))
