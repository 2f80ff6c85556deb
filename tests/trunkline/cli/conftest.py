"""The command line against an admin API that is served for real."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from redis.asyncio import Redis

from tests.trunkline.admin_app import ADMIN_KEY, AdminApp
from trunkline.cli.main import main
from trunkline.stores.database import open_pool


@dataclass
class Served:
    """An admin API that listens, and the thread's loop that it runs in."""

    url: str
    admin: AdminApp
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Any) -> Any:
        """Do something in the API's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=10)


@dataclass
class Ran:
    """What a call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed."""
        return json.loads(self.out)


@pytest.fixture(scope="module")
def served(database_url: str, redis_url: str) -> Iterator[Served]:
    """The admin API on a free port of loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    found: list[Served] = []
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        async with open_pool(database_url, min_size=1, max_size=4) as pool, Redis.from_url(redis_url) as redis:
            admin = AdminApp(pool, redis)
            server = uvicorn.Server(uvicorn.Config(admin.app, log_level="warning", lifespan="off"))
            servers.append(server)
            found.append(Served(f"http://127.0.0.1:{listening.getsockname()[1]}", admin, asyncio.get_running_loop()))
            ready.set()
            await server.serve(sockets=[listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield found[0]
    servers[0].should_exit = True
    thread.join(10)


Run = Callable[..., Ran]


@pytest.fixture
def run(served: Served, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line as the first admin."""

    def call(*arguments: str, key: str = ADMIN_KEY, url: str = served.url) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(["--url", url, "--key", key, *arguments])
        printed = capsys.readouterr()
        return Ran(int(exited.value.code or 0), printed.out, printed.err)

    return call
