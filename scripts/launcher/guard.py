"""A parent that leaves nothing behind: runs a command and ends all it started, however that came to be.

    guard.py [--grace SECONDS] [--lock FILE] [--remove DIRECTORY]... -- COMMAND [ARGUMENT]...

A process of its own, because whoever starts the command may be killed with -9 and can then clean up nothing. Every
descendant of the guard stays one: as a child subreaper it inherits those whose parents died, daemons too. When the
command ends, when the guard is told to stop or when the guard's own parent is gone, it ends them all, removes the
directories and exits, holding the lock until then. Should the guard itself be killed, the command gets a SIGTERM from
the kernel.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOCK_WAIT_S = 20.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    """Run the command until it, the parent or a signal ends it; its exit status."""
    options = _parse(arguments)
    lock = hold(options.lock, LOCK_WAIT_S) if options.lock else None
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    with _signals() as wake_up, _parent() as parent:
        command = _start(options.command)
        _wait_for_an_end(command, wake_up, parent)
        status = end_descendants(command, options.grace)
    for directory in options.remove:
        shutil.rmtree(directory, ignore_errors=True)
    if lock:
        lock.close()
    return status


def hold(path: Path, wait_s: float) -> BinaryIO:
    """The open file with our lock on it, for which its last holder was waited for; closing it gives it up."""
    file = path.open("ab")
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise TimeoutError(f"{path} is still held by a process that should have ended") from None
        time.sleep(0.1)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="guard")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds for a clean stop before the kill")
    parser.add_argument("--lock", type=Path, help="file to hold a lock on; waited for if another one does")
    parser.add_argument("--remove", type=Path, action="append", default=[], help="directory to remove at the end")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that turns readable when a stop signal or SIGCHLD arrives."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    yield reader
    signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def _parent() -> Iterator[int]:
    """A descriptor that turns readable when the parent process has ended.

    Not PR_SET_PDEATHSIG: that one fires when the *thread* which started the guard ends.
    """
    parent = os.getppid()
    descriptor = os.pidfd_open(parent)
    if os.getppid() != parent:  # died in between; the number may be somebody else's by now
        raise SystemExit("guard: the parent process has ended")
    yield descriptor
    os.close(descriptor)


def _start(command: list[str]) -> int:
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == guard:
            os.execvp(command[0], command)
    except OSError as error:
        print(f"guard: {command[0]}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def _wait_for_an_end(command: int, wake_up: int, parent: int) -> None:
    poll = select.poll()
    poll.register(wake_up, select.POLLIN)
    poll.register(parent, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if parent in ready:
            return
        received = os.read(wake_up, 4096) if wake_up in ready else b""
        if any(number in received for number in STOP_SIGNALS):
            return
        if _reap(keep=command):
            return


def _reap(keep: int) -> bool:
    """Collect every dead child but `keep`, which is left to be asked for its status; True if that one is dead."""
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid == keep:
                return True
            os.waitpid(found.si_pid, 0)
    return False


def end_descendants(command: int, grace_s: float) -> int:
    """Stop the command cleanly within `grace_s`, then kill whatever is left; the command's exit status."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(command, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while not _reap(keep=command) and time.monotonic() < deadline:
        time.sleep(0.02)
    status = 0
    while True:
        # Again and again, for a process may fork between the look and the kill; no child left means nobody is.
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == command:
            status = os.waitstatus_to_exitcode(ended)
        if pid == 0:
            time.sleep(0.01)


def descendants(ancestor: int) -> list[int]:
    """Every living process below `ancestor`, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(int(entry.name))):
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(ancestor, []))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def parent_of(pid: int) -> int | None:
    """The parent of `pid`; None if that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[1])


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.exit(status if status >= 0 else 128 - status)
