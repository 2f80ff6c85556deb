"""What the supervisor must know of a program: how it is started, when it is ready, how it stops."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.launcher.processes import Account

ROOT = Path(__file__).resolve().parent.parent.parent
# Variables that would make a private server read somebody's settings for another one.
FOREIGN_SETTINGS = ("PG", "RABBITMQ_", "ERL_", "REDIS", "RUNNING_UNDER_SYSTEMD", "NOTIFY_SOCKET")
SERVER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/sbin:/opt/homebrew/bin"


class Service:
    """One server, as a child process in a process group of its own."""

    name: str
    stop_signal = signal.SIGTERM
    rank = 1  # the highest stops first, those of one rank together
    ready_within_s = 60.0
    stop_within_s = 7.5  # with Ray before the stores and the drain before both, all is over in 30
    account: Account | None = None
    folder = Path("/")
    once = False  # a program that ends by itself, and has done its work when it ends with 0
    foreground = False  # keeps the terminal and its process group; no log

    def command(self) -> Sequence[str]:
        """The command line."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Its whole environment."""
        return server_environment()

    def prepare(self) -> None:
        """What must be done before each start, the first and those after a death."""

    def ready(self) -> bool:
        """Whether it answers in its own protocol; asked again and again, so it must not take long."""
        return True

    def ended(self) -> None:
        """What must be done when it has ended, however that came to be."""


class Task(Service):
    """A program of ours that does its work and ends."""

    once = True
    rank = 3
    folder = ROOT

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment

    def command(self) -> Sequence[str]:
        return self._arguments

    def environment(self) -> Mapping[str, str]:
        return os.environ if self._environment is None else self._environment


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours in this environment."""
    return [sys.executable, "-m", module, *arguments]


def server_environment(**more: str) -> dict[str, str]:
    """This process's environment without the settings of other servers, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    return {**kept, "PATH": f"{kept.get('PATH', '')}:{SERVER_PATH}", "LC_ALL": "C.UTF-8", **more}
