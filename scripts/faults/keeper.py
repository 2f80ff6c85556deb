"""`python -m scripts.faults.keeper FOLDER PORT`: what the platform at PORT needs around it, in a process of its own.

Private stores, each behind a proxy, and the sandbox at the next port, which outlives the platform as real clouds do. It
prints one line of JSON when all are ready, then answers each line of orders with one line, and stops everything when
its input ends. A store is stopped, killed and started by order only: nobody else starts it again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from config.settings import Settings
from scripts.faults.tcp_proxy import TcpProxy, through
from scripts.launcher import install, processes, stores
from scripts.launcher.applications import Sandbox, sandbox_defaults
from scripts.launcher.console import Console
from scripts.launcher.errors import LauncherError, StopRequestedError
from scripts.launcher.home import Home
from scripts.launcher.ports import LOOPBACK
from scripts.launcher.stores import Store, Wish
from scripts.launcher.supervisor import Child, Supervisor

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 15.0
POLL_S = 0.05
NAMES = {"DATABASE_URL": "postgres", "REDIS_URL": "redis", "RABBITMQ_URL": "rabbitmq"}


class KeptStore:
    """One store: its server's process and the proxy in front of it."""

    def __init__(self, store: Store, child: Child, children: Callable[[], set[int]], proxy: TcpProxy) -> None:
        self.url = store.url
        self.proxied_url = through(proxy, store.url)
        self.variable = store.variable
        self._child = child
        self._children = children
        self._proxy = proxy

    async def stop(self, order: Mapping[str, Any]) -> None:
        """As an operator stops it; killed if it takes too long."""
        self._child.tell(self._child.service.stop_signal)
        deadline = asyncio.get_running_loop().time() + STOPPED_WITHIN_S
        while self._child.status() is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(POLL_S)
        await self.kill(order)

    async def kill(self, order: Mapping[str, Any]) -> None:
        """kill -9, it and what it has started."""
        self._child.kill()
        processes.end_orphans(self._children())

    async def start(self, order: Mapping[str, Any]) -> None:
        """Start it, on its port and with its data; returns when it answers."""
        self._child.spawn()
        deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
        # In a thread: a look may take seconds, and the proxies go on meanwhile.
        while not await asyncio.to_thread(self._child.service.ready):
            if self._child.status() is not None or asyncio.get_running_loop().time() > deadline:
                raise LauncherError(f"{self._child.service.name} does not start; see {self._child.log}")
            await asyncio.sleep(POLL_S)

    async def cut(self, order: Mapping[str, Any]) -> None:
        """Break its connections."""
        self._proxy.cut()

    async def sever(self, order: Mapping[str, Any]) -> None:
        """Break its connections in the middle of what a side says next."""
        self._proxy.sever(order["side"])

    async def swallow(self, order: Mapping[str, Any]) -> None:
        """Pass on nothing that a side says, until the next cut."""
        self._proxy.swallow(order["side"])

    async def connections(self, order: Mapping[str, Any]) -> int:
        """How many connections were ever made to it."""
        return self._proxy.connections


def main(folder: Path, port: int) -> int:
    """Start, report, obey, stop."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each refusal of a broker that is still starting
    home = Home(folder)
    supervisor = Supervisor(home.logs, Console(quiet=True))
    try:
        obtain = partial(install.install, home=home, supervisor=supervisor)
        # Durable ones: a fast one that is killed forgets what it has confirmed.
        chosen = stores.choose({}, Wish(), home, obtain, lambda text: None)
        url = f"http://{LOOPBACK}:{port + 1}"
        clouds = sandbox_defaults(Settings(), url)
        router = f"http://{LOOPBACK}:{port}"
        sandbox = supervisor.start(Sandbox(home, port + 1, router, {**os.environ, **clouds}))
        stores.start(chosen, supervisor)
        supervisor.wait_ready(sandbox)
        asyncio.run(_obey(chosen, supervisor, {**clouds, "SANDBOX_URL": url}))
    except StopRequestedError:
        pass
    except (LauncherError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        supervisor.stop()
    return 0


async def _obey(chosen: list[Store], supervisor: Supervisor, clouds: Mapping[str, str]) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, orders.feed_eof)

    def children() -> set[int]:
        return {child.pid for child in supervisor.children if child.pid is not None}

    proxies: list[TcpProxy] = []
    kept: dict[str, KeptStore] = {}
    for store in chosen:
        server = store.services[-1]  # before it may come what it needs, which is left alone
        child = next(each for each in supervisor.children if each.service is server)
        host, _, port = store.where.partition(":")
        proxy = TcpProxy(host, int(port))
        await proxy.open()
        proxies.append(proxy)
        kept[NAMES[store.variable]] = KeptStore(store, child, children, proxy)
    ready = {name: {"variable": s.variable, "url": s.url, "proxied": s.proxied_url} for name, s in kept.items()}
    print(json.dumps({"ready": ready, "clouds": clouds}), flush=True)
    try:
        while line := await orders.readline():
            print(json.dumps(await _carry_out(kept, json.loads(line))), flush=True)
            processes.collect_dead_orphans(children())
    finally:
        for proxy in proxies:
            await proxy.close()


async def _carry_out(kept: Mapping[str, KeptStore], order: Mapping[str, Any]) -> dict[str, Any]:
    act: Callable[[Mapping[str, Any]], Awaitable[Any]] = getattr(kept[order["store"]], order["do"])
    try:
        return {"done": await act(order)}
    except (LauncherError, OSError) as error:
        return {"error": str(error)}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
