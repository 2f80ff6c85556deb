"""What the machine has left: memory, cores, the disk that things are kept on, and how large the kept files are."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory and disk in bytes; `load_per_core`: processes that want a core, for each core, over the last minute."""

    memory: int
    memory_available: int
    load_per_core: float
    disk_free: int
    media: int


def look_at_machine(home: Path, media: Path) -> Machine:
    """The machine now; reads every file's size below `media`, so beside the event loop."""
    memory: dict[str, int] = {}
    with suppress(OSError):
        for line in MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            memory[name] = int(value.split()[0]) * 1024
    return Machine(
        memory.get("MemTotal", 0),
        memory.get("MemAvailable", 0),
        os.getloadavg()[0] / (os.cpu_count() or 1),
        shutil.disk_usage(home).free if home.exists() else 0,
        _size(media),
    )


def _size(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/*"):
        with suppress(OSError):  # somebody else removed it
            total += path.stat().st_size
    return total
