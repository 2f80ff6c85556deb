"""Stores of our own, to be stopped, killed, started, flushed and cut off: the keeper process, seen from outside."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psycopg
import redis
from psycopg.rows import dict_row

from scripts.faults.tcp_proxy import Side
from scripts.launcher.home import Home
from scripts.launcher.postgres import PostgresServer
from scripts.launcher.processes import die_with
from scripts.launcher.service import ROOT, python

STARTED_WITHIN_S = 180.0  # it may have to install them first
ANSWERED_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0

Name = Literal["postgres", "redis", "rabbitmq"]


class StoresFailed(AssertionError):
    """The stores did not do as they were told."""


class Stores:
    """PostgreSQL, Redis and RabbitMQ in a temporary folder, each behind a proxy, and the clouds of a platform."""

    def __init__(self, router_port: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trunkline-stores-"))
        self.folder.chmod(0o711)  # as Home does for a folder that it makes itself
        self.environment: dict[str, str] = {}  # what the platform is told
        self._urls: dict[str, str] = {}
        self._router_port = router_port
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the keeper; from the main thread, with which it ends."""
        with (self.folder / "keeper.log").open("wb") as log:
            self._process = subprocess.Popen(
                python("scripts.faults.keeper", str(self.folder), str(self._router_port)),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )
        told = self._hear(STARTED_WITHIN_S)
        proxied = {store["variable"]: store["proxied"] for store in told["ready"].values()}
        self.environment = {**proxied, **told["clouds"]}
        self._urls = {name: store["url"] for name, store in told["ready"].items()}

    def remove(self) -> None:
        """Stop the stores and remove their data."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        shutil.rmtree(PostgresServer.data_folder(Home(self.folder)), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what is done to a store ---

    def stop(self, name: Name) -> None:
        """Stop it as an operator does."""
        self._order("stop", name)

    def kill(self, name: Name) -> None:
        """kill -9."""
        self._order("kill", name)

    def run(self, name: Name) -> None:
        """Start it again; returns when it answers."""
        self._order("start", name)

    def cut(self, name: Name) -> None:
        """Break every connection to it."""
        self._order("cut", name)

    def sever(self, name: Name, side: Side) -> None:
        """Break every connection to it in the middle of what this side says next."""
        self._order("sever", name, side=side)

    def swallow(self, name: Name, side: Side) -> None:
        """Let nothing through that this side says, until the next cut."""
        self._order("swallow", name, side=side)

    def connections(self, name: Name) -> int:
        """How many connections were ever made to it."""
        return int(self._order("connections", name))

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self._urls["redis"]) as client:
            client.flushall()

    # --- what is in them ---

    @property
    def database_url(self) -> str:
        """PostgreSQL itself, without the proxy."""
        return self._urls["postgres"]

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What PostgreSQL answers."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()

    def execute(self, *statements: str) -> None:
        """Have PostgreSQL do something, each statement on its own."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    # --- the keeper ---

    def _order(self, do: str, name: Name, **more: str) -> Any:
        with self._turn:
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"do": do, "store": name, **more}).encode() + b"\n")
            self._process.stdin.flush()
            return self._hear(ANSWERED_WITHIN_S)["done"]

    def _hear(self, within_s: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], within_s)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise StoresFailed(f"no answer:\n{(self.folder / 'keeper.log').read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StoresFailed(answer["error"])
        return answer
