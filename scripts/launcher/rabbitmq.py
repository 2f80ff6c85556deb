"""RabbitMQ: where its programs are, how a private broker runs, how a login shows that it is well."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pika
from pika.exceptions import AMQPError

from scripts.launcher import ports
from scripts.launcher.errors import LauncherError
from scripts.launcher.home import Home
from scripts.launcher.service import SERVER_PATH, Service, server_environment

STANDARD_URLS = ("amqp://guest:guest@127.0.0.1:5672/%2F",)
USER = "trunkline"
MANAGEMENT_PORT = 15672


def check(url: str) -> None:
    """Log in once; LauncherError if that fails."""
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "localhost", parts.port or (5671 if parts.scheme == "amqps" else 5672))
        _reach(address)
        _log_in(url)
    except (AMQPError, OSError, ValueError, TypeError) as error:
        raise LauncherError(f"Cannot connect to RabbitMQ: {str(error) or repr(error)}") from error


def _reach(address: tuple[str, int]) -> None:
    try:
        socket.create_connection(address, timeout=3).close()
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, str(error))
        raise LauncherError(f"Cannot connect to RabbitMQ: connect {code} {address[0]}:{address[1]}") from error


def _log_in(url: str) -> None:
    parameters = pika.URLParameters(url)
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = 3
    pika.BlockingConnection(parameters).close()


@dataclass(frozen=True)
class Programs:
    """The broker's start script, and Erlang's name server."""

    server: Path
    epmd: Path


def find(home: Home) -> Programs | None:
    """The broker's own start script: the one on Debian's PATH wants to be root and uses the system's folders."""
    del home  # there is no broker among the wheels
    server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not server.exists():
        server = Path(shutil.which("rabbitmq-server", path=SERVER_PATH) or "/nonexistent")
    epmd = shutil.which("epmd", path=SERVER_PATH) or next(
        (str(path) for path in Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), None
    )
    return Programs(server, Path(epmd)) if server.exists() and epmd else None


class NameServer(Service):
    """The broker's own epmd, in the foreground: without it the VM starts a daemon that outlives everything."""

    name = "epmd"
    rank = 0

    def __init__(self, home: Home, programs: Programs) -> None:
        self.port = home.port("epmd")
        self._program = programs.epmd

    def command(self) -> Sequence[str]:
        return [str(self._program), "-port", str(self.port), "-address", ports.LOOPBACK]

    def prepare(self) -> None:
        ports.require_free(self.port)

    def ready(self) -> bool:
        # Asked for its names, epmd answers with its own port first.
        with contextlib.suppress(OSError), socket.create_connection((ports.LOOPBACK, self.port), timeout=1) as link:
            link.settimeout(1)
            link.sendall(b"\x00\x01n")
            return link.recv(4) == self.port.to_bytes(4, "big")
        return False


class RabbitServer(Service):
    """A private broker on loopback, with a user of its own; its management page only when asked for."""

    name = "RabbitMQ"

    def __init__(self, home: Home, programs: Programs, names: NameServer, management: bool) -> None:
        self.port = home.port("rabbitmq")
        self._distribution_port = home.port("rabbitmq-distribution")
        self._management_port = home.port("rabbitmq-management", first=MANAGEMENT_PORT) if management else None
        self._names = names
        self._program = programs.server
        self._folder = home.folder("rabbitmq")
        self.password = home.secret("rabbitmq")
        self.url = f"amqp://{USER}:{self.password}@{ports.LOOPBACK}:{self.port}/%2F"
        self.management_url = f"http://{ports.LOOPBACK}:{self._management_port}" if management else None

    def command(self) -> Sequence[str]:
        return [str(self._program)]

    def environment(self) -> Mapping[str, str]:
        folder = self._folder
        return server_environment(
            HOME=str(folder),  # the cookie's place
            RABBITMQ_CONF_ENV_FILE=str(folder / "rabbitmq-env.conf"),  # empty; else the system's is read
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(folder / "advanced.config"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(folder / "data"),
            RABBITMQ_LOG_BASE=str(folder / "log"),
            RABBITMQ_PID_FILE=str(folder / "pid"),
            RABBITMQ_NODENAME="trunkline@localhost",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self._distribution_port),
            ERL_EPMD_PORT=str(self._names.port),
            ERL_EPMD_ADDRESS=ports.LOOPBACK,
            ERL_CRASH_DUMP=os.devnull,
            # Loopback between nodes too, and no busy waiting of the schedulers.
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            RUNNING_UNDER_SYSTEMD="true",  # the script becomes the VM: its pid is ours, SIGTERM is a clean stop
        )

    def prepare(self) -> None:
        wanted = [self.port, self._distribution_port, self._management_port]
        for port in wanted:
            if port is not None:
                ports.require_free(port)
        settings = {
            "listeners.tcp.default": f"{ports.LOOPBACK}:{self.port}",
            "default_user": USER,
            "default_pass": self.password,
            "disk_free_limit.absolute": "50MB",
            "log.file.rotation.size": "20000000",
            "log.file.rotation.count": "3",
        }
        if self._management_port is not None:
            settings |= {"management.tcp.ip": ports.LOOPBACK, "management.tcp.port": str(self._management_port)}
        self._write("rabbitmq.conf", "".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._write("rabbitmq-env.conf", "")
        self._write("advanced.config", "[].\n")
        self._write("enabled_plugins", "[rabbitmq_management].\n" if self._management_port is not None else "[].\n")

    def ready(self) -> bool:
        try:
            check(self.url)
        except LauncherError:
            return False
        return True

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text)
