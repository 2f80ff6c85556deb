"""What this machine says: who listens on our ports, how full its disks are, and whether it has breath left."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.doctor.facts import Facts, Look, Unseen

LISTENING = "0A"  # the kernel's name for it in /proc/net/tcp
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens; `program` is None when it is another user's and cannot be seen."""

    port: int
    pid: int | None
    program: str | None

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})" if self.pid is not None else "a process of another user"


@dataclass(frozen=True, slots=True)
class Instance:
    """What `scripts/run` wrote down: its pid, None when it does not run, and children of it that are gone."""

    pid: int | None
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk below a folder of ours, in bytes."""

    folder: Path
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Strain:
    """How busy the machine is; `wanted` are processes that want each core, averaged over a minute."""

    cores: int
    wanted: float
    memory_available: int | None
    memory_total: int | None


def _look_at_ports(facts: Facts) -> dict[int, Listener | None]:
    """Who listens on PORT and on the next one, the sandbox's."""
    facts.scene.require_here()
    if not (PROC / "net/tcp").exists():
        raise Unseen("who listens on a port is only known on Linux")
    port = facts.scene.settings.port
    return {each: _listener(each) for each in (port, port + 1)}


def _listener(port: int) -> Listener | None:
    sockets = _listening_sockets(port)
    if not sockets:
        return None
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):  # it has ended, or is another user's
            if any(os.readlink(file) in sockets for file in (process / "fd").iterdir()):
                return Listener(port, int(process.name), (process / "comm").read_text().strip())
    return Listener(port, None, None)


def _listening_sockets(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _look_at_instance(facts: Facts) -> Instance:
    facts.scene.require_here()
    try:
        state: dict[str, Any] = json.loads((facts.scene.settings.trunkline_home / "state.json").read_text())
        pid = int(state["pid"])
        children = {name: int(child[0]) for name, child in state["children"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return Instance(None, ())
    if not _lives(pid):
        return Instance(None, ())
    return Instance(pid, tuple(name for name, child in children.items() if not _lives(child)))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _look_at_disks(facts: Facts) -> tuple[Disk, ...]:
    facts.scene.require_here()
    home = facts.scene.settings.trunkline_home
    if not home.exists():
        raise Unseen(f"{home} is not there yet: nothing ran here")
    disks: dict[int, Disk] = {}
    for folder in (home, *(home / name for name in ("postgres", "rabbitmq", "redis", "media", "logs"))):
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            disks.setdefault(folder.stat().st_dev, Disk(folder, usage.free, usage.total))
    return tuple(disks.values())


def _look_at_media(facts: Facts) -> int:
    """Bytes of customers' files that are kept."""
    facts.scene.require_here()
    folder = facts.scene.settings.media_folder
    if not folder.exists():
        return 0
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def _look_at_strain(facts: Facts) -> Strain:
    facts.scene.require_here()
    cores = os.cpu_count() or 1
    memory: dict[str, int] = {}
    with suppress(OSError):
        for line in (PROC / "meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            memory[name] = int(value.split()[0]) * 1024
    return Strain(cores, os.getloadavg()[0] / cores, memory.get("MemAvailable"), memory.get("MemTotal"))


PORTS: Look[dict[int, Listener | None]] = Look("ports", _look_at_ports)
INSTANCE: Look[Instance] = Look("instance", _look_at_instance)
DISKS: Look[tuple[Disk, ...]] = Look("disks", _look_at_disks)
MEDIA: Look[int] = Look("kept files", _look_at_media)
STRAIN: Look[Strain] = Look("machine", _look_at_strain)
