"""The folder of one instance (TRUNKLINE_HOME): its lock, ports, secrets, keys, and what is running now.

instance.json  ports and passwords of the private stores, chosen once
keys.env       ADMIN_API_KEY and CREDENTIALS_KEYS, made on the first run
state.json     the running instance: its environment, addresses and processes
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from scripts.launcher import ports, processes
from scripts.launcher.errors import LauncherError

LEFTOVER_GRACE_S = 15.0
T = TypeVar("T")


class Home:
    """One instance's folder. Everything in it that is secret has mode 600."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if not self.path.exists():
            self.path.mkdir(parents=True)
            # The server that refuses root has its data below and must be able to walk through, not to look around.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self._held: int | None = None

    @property
    def logs(self) -> Path:
        """Where every child's output goes."""
        return self.folder("logs")

    def folder(self, name: str) -> Path:
        """A subfolder that nobody else can read."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    # --- one at a time ---

    def lock(self) -> None:
        """Hold this home until the process ends; LauncherError if another process does."""
        self._held = self._try_lock()
        if self._held is None:
            running = self.state()
            who = f"pid {running['pid']}, {running['urls'].get('router')}" if running else "just starting or stopping"
            raise LauncherError(
                f"Trunkline is already running from {self.path} ({who}). "
                "Stop it with Ctrl-C there, or set TRUNKLINE_HOME and PORT for a second instance"
            )

    def is_running(self) -> bool:
        """Whether the instance that wrote the state is alive; without the lock, which a start may want just now."""
        state = self.state()
        return bool(state) and processes.start_time(state["pid"]) == state["began"]

    def end_leftovers(self) -> None:
        """Wait for the children of a supervisor that was killed, which are stopping by themselves; then kill them."""
        left = self.state().get("children", {}).values()
        deadline = time.monotonic() + LEFTOVER_GRACE_S
        while alive := [pid for pid, began in left if processes.start_time(pid) == began]:
            if time.monotonic() > deadline:
                for pid in alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        self.forget_state()

    def _try_lock(self) -> int | None:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    # --- chosen once ---

    def port(self, name: str, first: int | None = None) -> int:
        """The port of a server that is not running yet: the one written down if it is free, else another.

        With `first` the next free one from there upwards, for pages that people know by their number.
        """
        known: dict[str, int] = self._instance().get("ports", {})
        port = known.get(name)
        if port is None or not ports.is_free(port):
            others = {value for key, value in known.items() if key != name}
            port = ports.choose(others) if first is None else ports.next_free(first, others)
            self._remember("ports", name, port)
        return port

    def secret(self, name: str) -> str:
        """A password of a private server."""
        known: dict[str, str] = self._instance().get("secrets", {})
        return known.get(name) or self._remember("secrets", name, secrets.token_urlsafe(24))

    def keys(self) -> tuple[dict[str, str], bool]:
        """ADMIN_API_KEY and CREDENTIALS_KEYS of this home, and whether they were made just now."""
        path = self.path / "keys.env"
        if path.exists():
            return {name: value for name, value in dotenv_values(path).items() if value}, False
        keys = {"ADMIN_API_KEY": f"tk_{secrets.token_urlsafe(32)}", "CREDENTIALS_KEYS": Fernet.generate_key().decode()}
        _write(path, "".join(f"{name}={value}\n" for name, value in keys.items()))
        return keys, True

    def _instance(self) -> dict[str, Any]:
        return _read(self.path / "instance.json")

    def _remember(self, section: str, name: str, value: T) -> T:
        instance = self._instance()
        instance.setdefault(section, {})[name] = value
        _write(self.path / "instance.json", json.dumps(instance, indent=1))
        return value

    # --- running now ---

    def state(self) -> dict[str, Any]:
        """What the running instance wrote down; empty if there is none."""
        return _read(self.path / "state.json")

    def write_state(self, environment: Mapping[str, str], urls: Mapping[str, str], children: Mapping[str, int]) -> None:
        """Write down how this instance is reached and which processes it consists of."""
        state = {
            "pid": os.getpid(),
            "began": processes.start_time(os.getpid()),
            "urls": dict(urls),
            "environment": dict(environment),
            "children": {name: [pid, processes.start_time(pid)] for name, pid in children.items()},
        }
        _write(self.path / "state.json", json.dumps(state, indent=1))

    def forget_state(self) -> None:
        """Say that nothing runs."""
        (self.path / "state.json").unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LauncherError(f"{path} cannot be read ({error}): remove it, and new values will be chosen") from error
    return content


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
