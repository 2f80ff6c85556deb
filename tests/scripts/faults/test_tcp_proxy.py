"""The proxy: what it breaks, and what it lets through meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from scripts.faults.tcp_proxy import TcpProxy

WITHIN_S = 5.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[TcpProxy, list[bytes]]]:
    """A proxy in front of a server that says everything back, and what that server has heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                heard.append(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1])
    await proxy.open()
    try:
        yield proxy, heard
    finally:
        await proxy.close()
        server.close()
        await server.wait_closed()


async def connect(proxy: TcpProxy) -> Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def said(streams: Streams, data: bytes, length: int) -> bytes:
    """What comes back, up to `length` bytes or the end."""
    reader, writer = streams
    writer.write(data)
    back = b""
    with contextlib.suppress(OSError):
        while len(back) < length and (more := await asyncio.wait_for(reader.read(100), WITHIN_S)):
            back += more
    return back


async def test_it_passes_on_both_sides_and_counts_connections() -> None:
    async with echo() as (proxy, _):
        streams = await connect(proxy)
        assert await said(streams, b"hello", 5) == b"hello"
        assert proxy.connections == 1
        streams[1].close()


@pytest.mark.parametrize(
    ("side", "heard_by_server", "heard_by_client"),
    [
        pytest.param("clients", b"abcd", b"", id="in what the client says"),
        pytest.param("server", b"abcdefgh", b"abcd", id="in what the server says"),
    ],
)
async def test_it_breaks_off_in_the_middle(side: str, heard_by_server: bytes, heard_by_client: bytes) -> None:
    async with echo() as (proxy, heard):
        streams = await connect(proxy)
        proxy.sever("clients" if side == "clients" else "server")
        back = await said(streams, b"abcdefgh", 8)
        assert b"".join(heard) in (heard_by_server, b"")  # a reset may overtake what was passed on
        assert back in (heard_by_client, b"")
        again = await connect(proxy)
        assert await said(again, b"hello", 5) == b"hello"
        for each in (streams, again):
            each[1].close()


async def test_the_servers_answer_can_be_kept_from_the_client() -> None:
    async with echo() as (proxy, heard):
        streams = await connect(proxy)
        proxy.swallow("server")
        streams[1].write(b"publish")
        while not heard:
            await asyncio.sleep(0)
        proxy.cut()
        assert await said(streams, b"", 1) == b""
        assert heard == [b"publish"]
        streams[1].close()
