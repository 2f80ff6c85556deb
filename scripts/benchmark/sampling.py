"""py-spy beside running processes: one sampler for each, attached before a load begins and ended with it.

Only threads that hold the interpreter's lock are sampled: py-spy takes some of Ray's waiting threads for working ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from scripts.benchmark import stacks
from scripts.benchmark.processes import TICKS_PER_S
from scripts.benchmark.stacks import Stack
from scripts.benchmark.stage import StageFailed
from scripts.launcher.processes import die_with

PROGRAM = Path(sys.executable).with_name("py-spy")
RATE = 100
ATTACHED_WITHIN_S = 30.0
WRITTEN_WITHIN_S = 30.0
SAMPLING = b"Sampling process"


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one process did. Seconds of processor time are those of all its threads, and of those that run Python."""

    pid: int
    samples: Counter[Stack]
    cpu_s: float
    python_cpu_s: float


class Sampler:
    """Samples some Python processes; their raw files go into `folder`, named by pid."""

    def __init__(self, pids: Sequence[int], folder: Path) -> None:
        self._folder = folder
        self._pids = tuple(pids)
        self._spies: dict[int, subprocess.Popen[bytes]] = {}
        self._python_threads: dict[int, frozenset[int]] = {}
        self._before: dict[int, dict[int, float]] = {}
        self.sampled: list[Sampled] = []

    def __enter__(self) -> Sampler:
        try:
            for pid in self._pids:
                self._python_threads[pid] = _python_threads(pid)
                self._spies[pid] = self._attach(pid)
            for pid, spy in self._spies.items():
                _await_sampling(pid, spy)
        except BaseException:
            self._kill()
            raise
        self._before = {pid: _cpu_s_by_thread(pid) for pid in self._pids}
        return self

    def __exit__(self, *_: object) -> None:
        after = {pid: _cpu_s_by_thread(pid) for pid in self._pids}
        try:
            for spy in self._spies.values():
                spy.send_signal(signal.SIGINT)
            for pid, spy in self._spies.items():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    spy.wait(WRITTEN_WITHIN_S)
                self.sampled.append(self._sampled(pid, after[pid]))
        finally:
            self._kill()

    def raw_file(self, pid: int) -> Path:
        """Where the stacks of a process are."""
        return self._folder / f"{pid}.raw.txt"

    def _attach(self, pid: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(str(PROGRAM), "record", "--pid", str(pid), "--gil", "--function", "--rate", str(RATE)),
                *("--format", "raw", "--output", str(self.raw_file(pid))),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL),
        )

    def _sampled(self, pid: int, after: dict[int, float]) -> Sampled:
        before, python = self._before[pid], self._python_threads[pid] | _python_threads(pid)
        used = {thread: cpu_s - before.get(thread, 0.0) for thread, cpu_s in after.items()}
        raw = self.raw_file(pid)
        return Sampled(
            pid,
            stacks.read_samples(raw.read_text()) if raw.exists() else Counter(),
            sum(used.values()),
            sum(cpu_s for thread, cpu_s in used.items() if thread in python),
        )

    def _kill(self) -> None:
        for spy in self._spies.values():
            spy.kill()
            spy.communicate()


def _await_sampling(pid: int, spy: subprocess.Popen[bytes]) -> None:
    """Return once it samples; raises StageFailed, with what it said, if it does not."""
    assert spy.stdout is not None
    deadline, said = time.monotonic() + ATTACHED_WITHIN_S, b""
    while SAMPLING not in said:
        chunk = _read(spy.stdout, deadline - time.monotonic())
        said += chunk
        if not chunk:
            raise StageFailed(f"py-spy cannot look into process {pid}: {said.decode(errors='replace').strip()}")


def _read(pipe: IO[bytes], within_s: float) -> bytes:
    readable, _, _ = select.select([pipe], [], [], max(0.0, within_s))
    return os.read(pipe.fileno(), 4096) if readable else b""


def _python_threads(pid: int) -> frozenset[int]:
    """The operating system's numbers of the threads that run Python; raises StageFailed."""
    command = [str(PROGRAM), "dump", "--json", "--pid", str(pid)]
    dumped = subprocess.run(command, capture_output=True, check=False, timeout=ATTACHED_WITHIN_S)
    if dumped.returncode != 0:
        raise StageFailed(f"py-spy cannot look into process {pid}: {dumped.stderr.decode(errors='replace').strip()}")
    return frozenset(thread["os_thread_id"] for thread in json.loads(dumped.stdout))


def _cpu_s_by_thread(pid: int) -> dict[int, float]:
    """Processor time so far of each thread of a process; of none once it has ended."""
    used = {}
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/task").iterdir():
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            used[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return used
