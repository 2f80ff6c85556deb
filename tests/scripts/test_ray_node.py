"""A private Ray node with Serve behind HAProxy, for real: reachable on loopback only, leaving nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.launcher import ports
from scripts.launcher.guard import descendants, parent_of
from scripts.launcher.ray_node import RayNode
from tests.waiting import until

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
LISTENING = "0A"
LOOPBACK_ADDRESSES = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
# Whoever starts the node, so that a test can kill it: the guard, not the parent, has to do the rest.
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"


@dataclass
class Running:
    """A node with an application below /echo, and the process that started it."""

    node: RayNode
    parent: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> dict[str, Any]:
        """The answer of the application."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            seen: dict[str, Any] = json.load(answer)
        return seen

    def ask_until(self, done: threading.Event) -> int:
        """Ask the application without a pause; how often it has answered."""
        answered = 0
        while not done.is_set():
            self.get("/echo/still")
            answered += 1
        return answered

    def processes(self, name: str = "") -> list[int]:
        """Those of the node whose command line holds `name`."""
        return [pid for pid in descendants(self.parent.pid) if name in _command_line(pid)]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    home = Path(tempfile.mkdtemp(prefix="trunkline-ray-"))
    port = ports.choose()
    node = RayNode(home, dashboard=False, http_host="127.0.0.1", http_port=port)
    node.prepare()
    environment = {**os.environ, **node.environment()}
    with (home / "output").open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *node.command()], env=environment, stdout=output, stderr=output
        )
    try:
        until(node.ready, 60)
        deploy = [sys.executable, "-c", f"from tests.actors import echo; echo.main({node.address!r}, {port})"]
        subprocess.run(deploy, cwd=ROOT, env=environment, check=True, timeout=90)
        yield Running(node, parent, port)
    finally:
        family = descendants(parent.pid)
        parent.kill()
        parent.wait()
        until(lambda: not any(map(parent_of, family)), 15)
        shutil.rmtree(home)


def test_a_request_reaches_the_application_under_its_route_prefix(running: Running) -> None:
    seen = running.get("/echo/one")

    assert (seen["path"], seen["root_path"]) == ("/echo/one", "/echo")


def test_nothing_of_the_node_listens_beyond_loopback(running: Running) -> None:
    listeners = {socket for pid in running.processes() for socket in _listeners(pid)}

    assert running.port in {port for _, port in listeners}
    assert {address for address, _ in listeners} <= LOOPBACK_ADDRESSES


def test_the_folders_of_the_node_and_its_token_are_private(running: Running) -> None:
    environment = running.node.environment()
    sockets = Path(environment["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent

    assert Path(environment["RAY_AUTH_TOKEN_PATH"]).stat().st_mode & 0o777 == 0o600
    assert running.node.home.stat().st_mode & 0o777 == 0o700
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_requests_are_answered_while_the_actor_that_keeps_haproxy_is_replaced(running: Running) -> None:
    (manager,) = running.processes("ray::HAProxyManager")
    (haproxy,) = running.processes("bin/haproxy")
    os.kill(manager, signal.SIGKILL)

    def replaced() -> bool:
        return running.processes("bin/haproxy") not in ([haproxy], []) and parent_of(haproxy) is None

    # Asked without a pause, by several at once: a gap of a moment must not be missed.
    with ThreadPoolExecutor(4) as askers:
        done = threading.Event()
        asking = [askers.submit(running.ask_until, done) for _ in range(4)]
        try:
            until(replaced, 30)
        finally:
            done.set()
        answered = [each.result() for each in asking]
    assert min(answered) > 100
    running.get("/echo/again")


def test_nothing_is_left_when_the_process_that_started_the_node_is_killed(running: Running) -> None:
    family = descendants(running.parent.pid)
    sockets = Path(running.node.environment()["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
    os.kill(running.parent.pid, signal.SIGKILL)

    until(lambda: not any(map(parent_of, family)), 15)
    assert not sockets.exists()
    assert ports.is_free(running.port)


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def _listeners(pid: int) -> list[tuple[str, int]]:
    """Address (hexadecimal, as the kernel shows it) and port of each socket on which the process listens."""
    opened = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                opened.add(os.readlink(descriptor))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in opened:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found
