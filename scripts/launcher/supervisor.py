"""Children under care: started, watched until ready, started again when they die, stopped in order.

One thread does it all, on purpose: the kernel's parent-death signal is bound to the thread that forked.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from scripts.launcher import guard, processes
from scripts.launcher.console import Console
from scripts.launcher.errors import LauncherError, StopRequestedError
from scripts.launcher.service import Service

ROUND_S = 0.1
LONGEST_WAIT_S = 30.0
LOG_LIMIT_BYTES = 20_000_000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class State(enum.Enum):
    """Where a child is between its start and its end."""

    STARTING = enum.auto()
    RUNNING = enum.auto()
    WAITING = enum.auto()  # it died, and is due to be started again
    DONE = enum.auto()


class Child:
    """One service and the process that runs it now."""

    def __init__(self, service: Service, log: Path, when_back: Callable[[], None] | None) -> None:
        self.service = service
        self.log = log
        self.when_back = when_back
        self.state = State.WAITING
        self.losses = 0
        self.fate = ""  # how it ended the last time
        self.late = ""  # why it was killed for taking too long
        self.awaited = False  # somebody waits for it and reports its end
        self.since = time.monotonic()
        self.due = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._buried = False

    @property
    def pid(self) -> int | None:
        """The pid of the living process."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def spawn(self) -> None:
        """Start the process; OSError and LauncherError mean that it could not be."""
        self.service.prepare()
        own = not self.service.foreground
        account = self.service.account
        with _open_log(self.log) if own else contextlib.nullcontext() as output:
            self._process = subprocess.Popen(
                self.service.command(),
                env=self.service.environment(),
                cwd=self.service.folder,
                stdin=subprocess.DEVNULL if own else None,
                stdout=output,
                stderr=output,
                process_group=0 if own else None,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=partial(processes.die_with, os.getpid(), self.service.stop_signal),
            )
        self.state, self.late, self._buried = State.STARTING, "", False
        self.since = time.monotonic()

    def status(self) -> int | None:
        """The exit status, negative for a signal, once the process has ended."""
        return self._process.poll() if self._process is not None else None

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and whatever is left of its group; once, for its number may be somebody else's later."""
        if self._process is None or self._buried:
            return
        self._buried = True
        if not self.service.foreground:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()


class Supervisor:
    """Keeps the children alive until it is told to stop."""

    def __init__(self, logs: Path, console: Console) -> None:
        self.logs = logs
        self.console = console
        self.children: list[Child] = []
        self.changed: Callable[[], None] = lambda: None  # called when a process has been started
        self.asked_to_stop: signal.Signals | None = None
        self._hurried = False
        self._passing: Child | None = None
        self._collect_at = 0.0
        processes.adopt_orphans()
        processes.raise_open_files_limit()
        for number in STOP_SIGNALS:
            signal.signal(number, self._note_signal)

    def start(self, service: Service, when_back: Callable[[], None] | None = None) -> Child:
        """Start a service and keep it; `when_back` is called each time it is ready again after a death."""
        child = Child(service, self._log_of(service), when_back)
        self.children.append(child)
        child.spawn()
        self.changed()
        return child

    def restart(self, child: Child) -> None:
        """Start a child anew in the next round, ending what still runs of it."""
        child.kill()
        child.state, child.due = State.WAITING, 0.0

    def wait_ready(self, *children: Child) -> None:
        """Return when all are ready or done; LauncherError, with the end of its log, if one dies or takes too long."""
        for child in children:
            child.awaited = True
            while child.state not in (State.RUNNING, State.DONE):
                if child.losses:
                    raise LauncherError(f"{child.service.name} {child.fate}\n{_end_of(child.log)}")
                self.pause()
            child.awaited = False

    def wait_for(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        """Return when the condition holds; LauncherError if it does not in time."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise LauncherError(f"{what} within {within_s:g} s; see the logs in {self.logs}")
            self.pause()

    def run_to_end(self, service: Service, within_s: float = math.inf, tend: bool = True) -> int:
        """Run a program once; its exit status. A new signal stops it and raises StopRequestedError."""
        self._passing = child = Child(service, self._log_of(service), None)
        asked_before = self.asked_to_stop
        child.spawn()
        deadline = time.monotonic() + within_s
        while child.status() is None and time.monotonic() < deadline:
            if self._hurried or self.asked_to_stop is not asked_before:
                break
            if tend:
                self.tend()
            time.sleep(ROUND_S / 2)
        self._stop_together([child] if child.status() is None else [])
        child.kill()
        self._passing = None
        if self.asked_to_stop is not asked_before:
            raise StopRequestedError
        status = child.status()
        return 1 if status is None else status

    def pause(self) -> None:
        """Tend the children, then wait a moment; raises StopRequestedError if a signal asked for it."""
        self.tend()
        if self.asked_to_stop is not None:
            raise StopRequestedError
        time.sleep(ROUND_S)

    def tend(self) -> None:
        """One look at every child: start who is due, notice who died, ask who is starting whether it is ready."""
        for child in self.children:
            if child.state is State.WAITING:
                if time.monotonic() >= child.due:
                    self._start_again(child)
            elif child.state is not State.DONE:
                status = child.status()
                if status is not None:
                    self._note_end(child, status)
                elif child.state is State.STARTING and not child.service.once:
                    self._ask_if_ready(child)
        if time.monotonic() >= self._collect_at:
            processes.collect_dead_orphans(self._pids())
            self._collect_at = time.monotonic() + 2.0

    def stop(self) -> None:
        """Stop all children, the highest rank first; kill after their grace; leave no descendant behind."""
        for rank in sorted({child.service.rank for child in self.children}, reverse=True):
            batch = [child for child in self.children if child.service.rank == rank]
            self._stop_together([child for child in batch if child.status() is None])
            for child in batch:
                child.kill()
                child.service.ended()
        self.children.clear()
        while guard.descendants(os.getpid()):
            processes.end_orphans(())
            time.sleep(0.02)
        processes.collect_dead_orphans(())

    def _stop_together(self, batch: Iterable[Child]) -> None:
        alive = list(batch)
        for child in alive:
            # Ctrl-C at a terminal has reached the foreground program already; twice would break off its own clean-up.
            if not (child.service.foreground and self.asked_to_stop is signal.SIGINT and os.isatty(0)):
                child.tell(child.service.stop_signal)
        deadline = time.monotonic() + max((child.service.stop_within_s for child in alive), default=0.0)
        while alive and time.monotonic() < deadline and not self._hurried:
            time.sleep(ROUND_S / 5)
            alive = [child for child in alive if child.status() is None]

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._hurried = self.asked_to_stop is not None
        self.asked_to_stop = signal.Signals(number)

    def _start_again(self, child: Child) -> None:
        try:
            child.spawn()
        except (OSError, LauncherError) as error:
            self._schedule(child, f"cannot be started: {error}")
        else:
            self.changed()

    def _note_end(self, child: Child, status: int) -> None:
        child.kill()
        child.service.ended()
        if child.service.once and status == 0:
            child.state = State.DONE
            if not child.awaited:
                self.console.step(f"{child.service.name} is done")
            return
        processes.end_orphans(self._pids())
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._schedule(child, child.late or how)

    def _schedule(self, child: Child, what: str) -> None:
        lasted_s = time.monotonic() - child.since
        child.losses = 1 if child.state is State.RUNNING and lasted_s > LONGEST_WAIT_S else child.losses + 1
        wait_s = min(LONGEST_WAIT_S, 0.25 * 2 ** (child.losses - 1))
        child.state, child.due, child.fate = State.WAITING, time.monotonic() + wait_s, what
        if not child.awaited:
            self.console.step(f"{child.service.name} {what}; starting it again in {wait_s:g} s (log: {child.log})")

    def _ask_if_ready(self, child: Child) -> None:
        if child.service.ready() and child.status() is None:
            child.state = State.RUNNING
            if child.losses:
                self.console.step(f"{child.service.name} is ready again")
                if child.when_back is not None:
                    child.when_back()
        elif time.monotonic() - child.since > child.service.ready_within_s:
            child.late = f"was not ready within {child.service.ready_within_s:g} s"
            child.kill()

    def _log_of(self, service: Service) -> Path:
        return self.logs / f"{service.name.lower().replace(' ', '-')}.log"

    def _pids(self) -> set[int]:
        passing = [self._passing] if self._passing is not None else []
        return {child.pid for child in [*self.children, *passing] if child.pid is not None}


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    path.touch(mode=0o600)
    return path.open("ab")


def _end_of(log: Path, lines: int = 15) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join([f"the end of {log}:", *(f"    {line}" for line in text.splitlines()[-lines:])])
