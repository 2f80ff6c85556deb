"""Where the bytes of files are kept: a folder. Nothing else knows that, so an object store can take its place."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trunkline.errors import StoreUnavailable

log = logging.getLogger(__name__)

WRITTEN_AT_ONCE = 256 * 1024
# What a process that died has left half written is removed after so long.
ABANDONED_AFTER_S = 3600
DAY_S = 86_400
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that is here."""

    path: Path
    size: int


class FileWriter:
    """Takes a file's bytes; the disk is written to in pieces, beside the event loop."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._gathered = bytearray()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes; raises StoreUnavailable when the disk does not."""
        self._gathered += chunk
        if len(self._gathered) >= WRITTEN_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered."""
        gathered, self._gathered = self._gathered, bytearray()
        with _told():
            await asyncio.to_thread(self._file.write, gathered)


class MediaFiles:
    """Files in `folder`, a folder for each tenant; the oldest go once all are larger than `limit_bytes`."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    async def find(self, tenant_id: str, media_id: str) -> KeptFile | None:
        """The file, if it is here."""
        path = self._path(tenant_id, media_id)
        try:
            return KeptFile(path, (await asyncio.to_thread(path.stat)).st_size)
        except OSError:
            return None

    @asynccontextmanager
    async def writing(self, tenant_id: str, media_id: str) -> AsyncIterator[FileWriter]:
        """Write the file: there as a whole once this ends well, and not at all otherwise."""
        path = self._path(tenant_id, media_id)
        async with self.spool() as writer:
            yield writer
            await writer.flush()
            with _told():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                writer.path.replace(path)

    @asynccontextmanager
    async def spool(self) -> AsyncIterator[FileWriter]:
        """A file for as long as this lasts."""
        folder = self._folder / _UNFINISHED
        path = folder / uuid.uuid4().hex
        with _told():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            file = path.open("xb", buffering=0)
        try:
            with file:
                yield FileWriter(path, file)
        finally:
            path.unlink(missing_ok=True)

    async def remove(self, tenant_id: str, media_id: str) -> bool:
        """Whether the file was here; it is not any more."""
        path = self._path(tenant_id, media_id)
        return await asyncio.to_thread(_remove, path)

    async def sweep(self, days_of: Callable[[str], int]) -> Mapping[str, int]:
        """Remove what is older than its tenant keeps files, then the oldest until all fit.

        Answers how many files of each tenant had reached their age.
        """
        return await asyncio.to_thread(self._sweep, days_of)

    def _sweep(self, days_of: Callable[[str], int]) -> Counter[str]:
        now = time.time()
        removed: Counter[str] = Counter()
        kept: list[tuple[float, int, Path]] = []
        for path, stat in self._files():
            is_unfinished = path.parent.name == _UNFINISHED
            limit_s = ABANDONED_AFTER_S if is_unfinished else days_of(path.parent.name) * DAY_S
            if now - stat.st_mtime > limit_s:
                removed[path.parent.name] += _remove(path) and not is_unfinished
            elif not is_unfinished:
                kept.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._limit_bytes:
                break
            _remove(path)
            total -= size
            log.warning("media.removed", extra={"tenant": path.parent.name, "bytes": size, "error": "too many files"})
        return +removed

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob("*/*"):
            with suppress(OSError):  # somebody else removed it
                yield path, path.stat()

    def _path(self, tenant_id: str, media_id: str) -> Path:
        # Whatever an id looks like, its hash is a file name.
        return self._folder / tenant_id / hashlib.sha256(media_id.encode()).hexdigest()


def _remove(path: Path) -> bool:
    """Whether it was there."""
    with suppress(OSError):
        path.unlink()
        return True
    return False


class _told:
    """Turns a disk that is full, read-only or gone into StoreUnavailable."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            log.error("media.not_written", extra={"error": f"{type(error).__name__} {error.strerror}"})
            raise StoreUnavailable(f"files cannot be kept: {error.strerror}") from error
