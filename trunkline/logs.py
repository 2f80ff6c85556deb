"""The log files of an instance, read as one log in the order of time: Trunkline's own, Ray's and the stores'."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from trunkline.log_lines import LEVELS, LogLine, Records, is_at_least

LOOK_EVERY_S = 0.5

# Below TRUNKLINE_HOME. A rotated file has a number behind its name. RabbitMQ's own files have what `rabbitmq.log`, its
# standard output, has at the start only; both are read.
_PLACES = (
    "logs/*.log*",
    "rabbitmq/log/*.log*",
    "ray/sessions/session_2*/logs/*.err*",
    "ray/sessions/session_2*/logs/*.out*",
    "ray/sessions/session_2*/logs/*.log*",
    "ray/sessions/session_2*/logs/serve/*.log*",
)


class _LogFile:
    """One file, read on from where it was read before."""

    def __init__(self, path: Path, written_at: float) -> None:
        self._read_to = 0
        self._records = Records(_source_of(path), datetime.fromtimestamp(written_at, UTC))

    def read(self, path: Path, *, is_growing: bool) -> Iterator[LogLine]:
        """What has come since; of a file that is growing, a line without its end is left for later."""
        try:
            if path.stat().st_size < self._read_to:  # emptied in place, as some rotations do
                self._read_to = 0
            with path.open("rb") as file:
                file.seek(self._read_to)
                yield from self._records.of(self._lines(file, is_growing))
        except OSError:
            return  # removed meanwhile, or not ours to read

    def _lines(self, file: BinaryIO, is_growing: bool) -> Iterator[str]:
        for line in file:
            if is_growing and not line.endswith(b"\n"):
                return
            self._read_to += len(line)
            yield line.decode(errors="replace").rstrip("\r\n")


def read_logs(
    home: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    level: str | None = None,
    tenant: str | None = None,
) -> Iterator[LogLine]:
    """Every record of the instance in `home` in the order of time; `level` or worse, and of one tenant, if given."""
    wanted = _filter(since, until, level, tenant)
    files = [_LogFile(path, written).read(path, is_growing=False) for path, written, _ in _find(home, since)]
    yield from filter(wanted, heapq.merge(*files, key=attrgetter("at")))


def follow_logs(
    home: Path,
    *,
    since: datetime | None = None,
    level: str | None = None,
    tenant: str | None = None,
    pause: Callable[[], None] = lambda: time.sleep(LOOK_EVERY_S),
) -> Iterator[LogLine]:
    """The same, and then what comes, without end: new files are found, and rotated ones read to their end."""
    wanted = _filter(since, None, level, tenant)
    files: dict[tuple[int, int], _LogFile] = {}
    while True:
        found = []
        for path, written, identity in _find(home, since):
            file = files.setdefault(identity, _LogFile(path, written))  # a file that was renamed is the same one
            found.append(file.read(path, is_growing=True))
        yield from filter(wanted, heapq.merge(*found, key=attrgetter("at")))
        pause()


def _find(home: Path, since: datetime | None) -> Iterator[tuple[Path, float, tuple[int, int]]]:
    """The log files with what was written since, when that was last, and which file on the disk each is."""
    for place in _PLACES:
        for path in home.glob(place):
            try:
                stat = path.stat()
            except OSError:
                continue
            if since is None or stat.st_mtime >= since.timestamp():
                yield path, stat.st_mtime, (stat.st_dev, stat.st_ino)


def _filter(
    since: datetime | None, until: datetime | None, level: str | None, tenant: str | None
) -> Callable[[LogLine], bool]:
    def is_wanted(line: LogLine) -> bool:
        return (
            (since is None or line.at >= since)
            and (until is None or line.at <= until)
            and (level is None or is_at_least(line, level))
            and (tenant is None or line.tenant == tenant)
        )

    return is_wanted


def _source_of(path: Path) -> str:
    """Who writes this file: `postgresql`, `gcs_server`, `worker 17017`."""
    stem = path.name.partition(".")[0]
    if path.parent.name == "log":  # the broker's, called after its node
        return "rabbitmq"
    _, _, pid = stem.replace("_", "-").rpartition("-")
    if stem.startswith(("worker-", "python-core-")) and pid.isdigit():
        return f"{'worker' if stem.startswith('worker-') else 'python-core'} {pid}"
    return f"serve {stem}" if path.parent.name == "serve" else stem


__all__ = ["LEVELS", "LogLine", "follow_logs", "is_at_least", "read_logs"]
