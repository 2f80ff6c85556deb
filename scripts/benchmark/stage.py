"""A stage of the measurement: the platform or the yardstick, started in a home of its own and stopped again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from config.settings import Settings
from scripts.launcher import ports, processes
from scripts.launcher.home import Home
from scripts.launcher.postgres import PostgresServer
from scripts.launcher.service import ROOT, python

READY_WITHIN_S = 240.0
STOPPED_WITHIN_S = 45.0
POLL_S = 0.1
# What ends a measurement before its time.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StageFailed(Exception):
    """It did not start, or ended by itself."""


class Stage:
    """Either of the two that are measured; data stay in its home from one start to the next."""

    def __init__(self, name: str, command: Sequence[str], home: Path) -> None:
        self.name = name
        self.home = home
        self.environment: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self._command = command
        self._port = _free_pair()
        self._log = home / "stage.log"
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir()
        # As Home does for a folder that it makes itself: Postgres refuses root and must be able to walk through.
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)

    @property
    def pid(self) -> int:
        """The process of which all its processes descend."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """Where webhooks are sent."""
        return self._port

    def start(self) -> None:
        """Start it; returns when it is ready, raises StageFailed if it does not become so."""
        # What is set around us is not for it: the same settings for everybody, and stores of its own.
        nothing = {name.upper(): "" for name in Settings.model_fields}
        environment = {**os.environ, **nothing, "PORT": str(self._port), "TRUNKLINE_HOME": str(self.home)}
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=partial(processes.die_with, os.getpid(), signal.SIGTERM),
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while "\nready " not in f"\n{self._log.read_text()}":
            self.require_running()
            if time.monotonic() > deadline:
                raise StageFailed(f"the {self.name} was not ready within {READY_WITHIN_S:g} s:\n{self._said()}")
            time.sleep(POLL_S)
        state: dict[str, Any] = json.loads((self.home / "state.json").read_text())
        self.environment, self.urls = state["environment"], state["urls"]

    def require_running(self) -> None:
        """Raise StageFailed, with what it said, if it has ended."""
        if self._process is None or self._process.poll() is not None:
            raise StageFailed(f"the {self.name} has ended:\n{self._said()}")

    def stop(self) -> None:
        """Have it stop everything it started, and wait."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPPED_WITHIN_S)
        self._process.kill()
        self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop it and remove what it has written; a signal to stop is heard afterwards."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self.stop()
            shutil.rmtree(PostgresServer.data_folder(Home(self.home)), ignore_errors=True)
            shutil.rmtree(self.home, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _said(self) -> str:
        return self._log.read_text()[-3000:]


def platform_stage(folder: Path) -> Stage:
    """The platform as `scripts/run` starts it, with its usual durable settings."""
    return Stage("platform", python("scripts.launcher", "run", "--no-dashboard"), folder / "platform")


def yardstick_stage(folder: Path, accounts: Path) -> Stage:
    """The one plain process, with the same stores and the same sandbox."""
    return Stage("yardstick", python("scripts.benchmark.yardstick_stage", str(accounts)), folder / "yardstick")


def _free_pair() -> int:
    """A free port with a free one behind it, for the sandbox."""
    while True:
        port = ports.choose()
        if ports.is_free(port + 1):
            return port
