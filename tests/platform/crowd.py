"""Clients that take their time: connections on which nothing comes, or one byte now and then."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from types import TracebackType
from typing import Self

BYTE_EVERY_S = 0.5
AT_ONCE = 100
_HEADERS = b"POST /webhook/whatsapp HTTP/1.1\r\nHost: trunkline\r\nContent-Type: application/json\r\n"
# What each kind sends at once, and then goes on with byte by byte.
KINDS = {
    "idle": (b"", b""),
    "slow headers": (_HEADERS, b"x"),
    "slow body": (_HEADERS + b"Content-Length: 2000\r\n\r\n", b" "),
    "slow large body": (_HEADERS + b"Content-Length: 200000\r\n\r\n" + b" " * 40_000, b" "),
    "slow request of the admin API": (b"POST /tenants HTTP/1.1\r\nHost: trunkline\r\nX-API-Ke", b"y"),
}


class Crowd:
    """So many clients of each kind, from the moment when all are connected until they are sent away."""

    def __init__(self, port: int, **numbers: int) -> None:
        self._port = port
        self._wanted = [(kind, *KINDS[kind]) for name, number in numbers.items() for kind in [_kind(name)] * number]
        self._clients: list[asyncio.Task[None]] = []
        self.ended: Counter[tuple[str, bytes]] = Counter()

    async def __aenter__(self) -> Self:
        for begin in range(0, len(self._wanted), AT_ONCE):
            batch = self._wanted[begin : begin + AT_ONCE]
            opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", self._port) for _ in batch))
            for (kind, first, then), streams in zip(batch, opened, strict=True):
                self._clients.append(asyncio.create_task(self._dawdle(kind, first, then, *streams)))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    @property
    def there(self) -> int:
        """How many are still connected."""
        return sum(not client.done() for client in self._clients)

    async def _dawdle(
        self, kind: str, first: bytes, then: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(first)
        answering = asyncio.create_task(reader.read(64))
        try:
            while not answering.done():
                await asyncio.wait([answering], timeout=BYTE_EVERY_S)
                writer.write(then)
            self.ended[kind, (await answering).partition(b"\r\n")[0].partition(b" ")[2][:3]] += 1
        except OSError:
            self.ended[kind, b""] += 1
        finally:
            answering.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _kind(name: str) -> str:
    return next(kind for kind in KINDS if kind.replace(" ", "_").lower() == name)
