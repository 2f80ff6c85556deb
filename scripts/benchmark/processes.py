"""What each part of a running stage costs: processor time and memory of its processes, from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher.guard import descendants

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SANDBOX = "sandbox"
LAUNCHER = "launcher"
RAY = "Ray system"
DRIVER = "load driver"
# Parts of the measurement, not of what is measured.
ASIDE = (SANDBOX, DRIVER)
# What the title of a Ray worker contains, in small letters: our actors' classes, or the names that they go by.
WORKERS = (
    ("servereplica:webhooks", "intake replicas"),
    ("servereplica:admin", "admin replica"),
    ("transformer", "transformers"),
    ("cell", "cells"),
    ("ray::tenant:", "cells"),
    ("supervisor", "supervisor"),
)
# Then what a command line contains; the first that fits names the part.
COMMANDS = (
    ("postgres: ", "Postgres"),
    ("/haproxy", "HAProxy"),
    ("/postgres ", "Postgres"),
    ("redis-server", "Redis"),
    ("beam.smp", "RabbitMQ"),
    ("erl_child_setup", "RabbitMQ"),
    ("inet_gethost", "RabbitMQ"),
    ("epmd", "RabbitMQ"),
    ("-m sandbox", SANDBOX),
    ("-m scripts.benchmark.yardstick ", "yardstick"),
    ("-m scripts.benchmark.yardstick_stage", LAUNCHER),
    ("-m scripts.launcher", LAUNCHER),
    ("/guard.py", LAUNCHER),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time of one process so far."""

    part: str
    cpu_s: float


def part_of(command: str) -> str:
    """The part that a process belongs to, by its title or command line."""
    if command.startswith("ray::"):
        title = command.partition(" ")[0].lower()
        return next((part for word, part in WORKERS if word in title), RAY)
    for words, part in COMMANDS:
        if words in command:
            return part
    return RAY


def usage(ancestor: int) -> dict[int, Usage]:
    """The processor time of a stage's processes."""
    found = {}
    for pid in (ancestor, *descendants(ancestor)):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = Usage(part_of(_command(pid)), (int(fields[11]) + int(fields[12])) / TICKS_PER_S)
        except OSError:
            continue  # it has just ended
    return found


def cpu_s_by_part(before: Mapping[int, Usage], after: Mapping[int, Usage]) -> dict[str, float]:
    """Seconds of processor time that each part used in between."""
    used: defaultdict[str, float] = defaultdict(float)
    for pid, now in after.items():
        # A pid that was given to another process in between would have used less than before.
        used[now.part] += max(0.0, now.cpu_s - (before[pid].cpu_s if pid in before else 0.0))
    return dict(used)


def memory_mib_by_part(ancestor: int) -> dict[str, float]:
    """Proportional set size of each part, shared memory counted once."""
    held: defaultdict[str, float] = defaultdict(float)
    for pid in (ancestor, *descendants(ancestor)):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            part = part_of(_command(pid))
        except OSError:
            continue  # it has ended, or is not ours to look into
        held[part] += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return dict(held)


def _command(pid: int) -> str:
    # A trailing space, so that a word can be looked for with its end.
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() + " "
