"""Which TCP ports are free. Asked before a start, so that a stranger on our port is never taken for our server."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from scripts.launcher.errors import LauncherError, PortTakenError

# Below those from which the kernel takes the near ends of outgoing connections, apart from those of the Ray node, at
# the far end of those that Ray gives its workers: a port chosen here is still free when its server is started again.
PRIVATE_PORTS = range(16_000, 20_000)
LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now; connections in TIME_WAIT do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)  # two sockets may share an address by SO_REUSEADDR until one of them listens
        except OSError:
            return False
    return True


def require_free(port: int, host: str = LOOPBACK) -> None:
    """Raise PortTakenError unless a server could listen there."""
    if not is_free(port, host):
        raise PortTakenError(port)


def choose(taken: Collection[int] = ()) -> int:
    """A free private port that is none of `taken`."""
    for port in random.sample(PRIVATE_PORTS, k=200):
        if port not in taken and is_free(port):
            return port
    raise LauncherError(f"no free port between {PRIVATE_PORTS.start} and {PRIVATE_PORTS.stop}")


def next_free(first: int, taken: Collection[int] = ()) -> int:
    """The first free port from `first` upwards that is none of `taken`."""
    for port in range(first, first + 200):
        if port not in taken and is_free(port):
            return port
    raise LauncherError(f"no free port between {first} and {first + 200}")
