"""Files in answers: whole, slowly, or broken off on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sandbox.files import Content, read
from sandbox.http import Headers, Response, Stream


def file_response(content: Content, mime: str, headers: Headers = ()) -> Response:
    """An answer with a file, read while it is sent."""
    stream = Stream(content.size, read(content))
    return Response(200, b"", mime.encode("latin-1", "replace"), headers, stream)


def slowed(stream: Stream, bytes_per_s: int) -> Stream:
    """The same stream, so fast and no faster."""
    return Stream(stream.size, _paced(stream.pieces, bytes_per_s))


def cut_off(stream: Stream) -> Stream:
    """The same stream, which ends in the middle."""
    return Stream(stream.size, _half(stream.pieces, stream.size // 2))


async def _paced(pieces: AsyncGenerator[bytes], bytes_per_s: int) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            for start in range(0, len(piece), bytes_per_s):
                part = piece[start : start + bytes_per_s]
                await asyncio.sleep(len(part) / bytes_per_s)
                yield part


async def _half(pieces: AsyncGenerator[bytes], left: int) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
