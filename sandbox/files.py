"""Contents of files, read piece by piece: those on disk, and those that are made up while they are read."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

PIECE = 65_536

# how files of a type begin, as far as receivers look
BEGINNINGS: dict[str, bytes] = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "video/mp4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
    "video/3gpp": b"\x00\x00\x00\x18ftyp3gp4\x00\x00\x00\x003gp43gp5",
    "audio/ogg": b"OggS\x00\x02" + bytes(20) + b"\x01\x13OpusHead\x01\x01",
    "audio/mpeg": b"ID3\x04\x00\x00\x00\x00\x00\x00",
    "audio/mp4": b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42",
    "audio/amr": b"#!AMR\n",
    "audio/aac": b"\xff\xf1\x50\x80",
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
}


class Content(Protocol):
    """What is in a file."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    @property
    def sha256(self) -> str:
        """The hash in hexadecimal."""

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the first to the last."""

    def remove(self) -> None:
        """Give its place free."""


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file in the folder of temporary files."""

    path: Path
    size: int
    sha256: str

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the first to the last."""
        with self.path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def remove(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class MadeUpFile:
    """A file that begins as its type asks and goes on at random, always the same for the same seed; no byte is kept."""

    size: int
    seed: int
    beginning: bytes
    sha256: str = ""

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the first to the last; no two pieces are alike."""
        noise = random.Random(self.seed).randbytes(PIECE - 8)
        for number in range((self.size + PIECE - 1) // PIECE):
            piece = number.to_bytes(8, "big") + noise
            if number == 0:
                piece = self.beginning + piece[len(self.beginning) :]
            yield piece[: self.size - number * PIECE]

    def remove(self) -> None:
        """Nothing is kept."""


async def make_up(size: int, seed: int, mime: str) -> MadeUpFile:
    """A file of this type, size and seed."""
    beginning = BEGINNINGS.get(mime, b"")
    unhashed = MadeUpFile(size, seed, beginning)
    return MadeUpFile(size, seed, beginning, await asyncio.to_thread(_hash, unhashed))


class Writing:
    """A file in the making."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Append."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def finish(self) -> DiskFile:
        """The file as it is now."""
        self._file.close()
        return DiskFile(self._path, self.size, self._hash.hexdigest())

    def abandon(self) -> None:
        """Delete what was written."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Files:
    """The folder of temporary files: empty at the start, gone at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.close()  # a process that was killed has left its files there

    def write(self) -> Writing:
        """Begin a new file."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Writing(self._folder / uuid4().hex)

    def keep(self, data: bytes) -> DiskFile:
        """A file with these bytes."""
        writing = self.write()
        writing.write(data)
        return writing.finish()

    def close(self) -> None:
        """Delete every file, and the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


async def read(content: Content) -> AsyncGenerator[bytes]:
    """The bytes of a file for a streamed answer."""
    for piece in content.pieces():
        yield piece


def _hash(content: Content) -> str:
    digest = hashlib.sha256()
    for piece in content.pieces():
        digest.update(piece)
    return digest.hexdigest()
