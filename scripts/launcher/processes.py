"""What Linux lets one process know of, and do to, others: limits, parents, orphans, accounts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher.guard import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG

OPEN_FILES = 65_536  # at the usual 1,024 RabbitMQ takes no more connections after a few hundred queues
_LIBC = ctypes.CDLL(None, use_errno=True)  # before any fork: nothing may be imported between fork and exec


@dataclass(frozen=True)
class Account:
    """A user of the system that a server runs as."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Whom a server that refuses root runs as; None where we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    return None


def can_enter(folder: Path, account: Account) -> bool:
    """Whether the account may walk down to `folder` (its existing part)."""
    for step in (folder, *folder.parents):
        with contextlib.suppress(FileNotFoundError):
            found = step.stat()
            others = 0o010 if found.st_gid == account.gid else 0o001
            if not found.st_mode & (0o100 if found.st_uid == account.uid else others):
                return False
    return True


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that none of them can get out of sight."""
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int, stop_signal: signal.Signals) -> None:
    """Between fork and exec: have the kernel send `stop_signal` when the thread that forked us ends.

    After the change of user, which resets it.
    """
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def raise_open_files_limit() -> None:
    """As many open files as the brokers want and the system gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if soft == resource.RLIM_INFINITY else max(soft, OPEN_FILES)
    for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return


def start_time(pid: int) -> int | None:
    """When the process began, in ticks since boot; with the pid it names one process for good. None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def end_orphans(known: Collection[int]) -> None:
    """Kill and collect our children that we did not start: what a server of ours left behind when it died."""
    me = os.getpid()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        with contextlib.suppress(OSError):
            state, parent = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == me:
                if state != "Z":
                    os.kill(int(entry.name), signal.SIGKILL)
                os.waitpid(int(entry.name), os.WNOHANG)


def collect_dead_orphans(known: Collection[int]) -> None:
    """Collect the dead among our children that we did not start; a broker leaves some while it is well."""
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in known:
                return  # its owner asks for the status; the rest waits for the next round
            os.waitpid(found.si_pid, 0)
