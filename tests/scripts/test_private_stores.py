"""The private stores, for real: data kept, deaths repaired, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pika
import psycopg
import pytest
import redis

from scripts.launcher import postgres, processes, rabbitmq, redis_server
from scripts.launcher.errors import LauncherError
from scripts.launcher.guard import descendants
from scripts.launcher.home import Home
from scripts.launcher.ports import is_free
from scripts.launcher.service import ROOT
from tests.waiting import until

pytestmark = pytest.mark.services

CHECKS = {"DATABASE_URL": postgres.check, "REDIS_URL": redis_server.check, "RABBITMQ_URL": rabbitmq.check}


@dataclass
class Running:
    """A supervising process and what it said of its children."""

    process: subprocess.Popen[str]
    urls: dict[str, str]
    pids: dict[str, int]

    def all_gone(self, family: list[int]) -> bool:
        """Whether nothing of it lives or listens."""
        listening = [urlsplit(url).port or 0 for url in self.urls.values()]
        return all(map(is_free, listening)) and not any(processes.start_time(pid) for pid in family)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One folder for all tests here: making the data takes longer than starting on them."""
    path = Path(tempfile.mkdtemp(prefix="trunkline-stores-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(postgres.PostgresServer.data_folder(Home(path)), ignore_errors=True)
    shutil.rmtree(path)


@contextlib.contextmanager
def running(home: Path) -> Iterator[Running]:
    """The stores, until the end of the block or until they are stopped in it."""
    command = [sys.executable, "-m", "tests.scripts.launch_stores", str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said, "the stores did not start"
            yield Running(process, **json.loads(said))
        finally:
            process.terminate()
            process.wait(timeout=30)


def answers(variable: str, url: str) -> bool:
    try:
        CHECKS[variable](url)
    except LauncherError:
        return False
    return True


def write(urls: dict[str, str]) -> None:
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('row')")
    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        client.set("kept", "key")
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(urls["RABBITMQ_URL"]))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"message", pika.BasicProperties(delivery_mode=2))


def read(urls: dict[str, str]) -> list[str]:
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    with redis.Redis.from_url(urls["REDIS_URL"], decode_responses=True) as client:
        key = client.get("kept")
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(urls["RABBITMQ_URL"]))) as connection:
        _, _, message = connection.channel().basic_get("kept", auto_ack=True)
    return [row[0] if row else "", str(key), message.decode()]


def test_data_are_kept_over_a_restart_and_the_addresses_too(home: Path) -> None:
    with running(home) as first:
        write(first.urls)
        assert urlsplit(first.urls["REDIS_URL"]).username == "default"  # without one, redis-cli -u does not log in
        family = descendants(first.process.pid)
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(timeout=30) == 0
        assert first.all_gone(family)
    with running(home) as second:
        assert second.urls == first.urls
        assert read(second.urls) == ["row", "key", "message"]


def test_a_killed_store_comes_back_at_its_address(home: Path) -> None:
    with running(home) as stores:
        for name in ("PostgreSQL", "Redis", "RabbitMQ", "epmd"):
            os.kill(stores.pids[name], signal.SIGKILL)
        until(lambda: all(processes.start_time(pid) is None for pid in stores.pids.values()), 30)
        until(lambda: all(answers(variable, url) for variable, url in stores.urls.items()), 30)


def test_nothing_outlives_a_supervisor_that_is_killed(home: Path) -> None:
    with running(home) as stores:
        family = descendants(stores.process.pid)
        assert len(family) > len(stores.pids)
        stores.process.kill()
        until(lambda: stores.all_gone(family), within_s=15.0)
