"""What the figures were measured on: hardware, system, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pika
import psycopg
import redis

from scripts.launcher.service import ROOT

PACKAGES = ("ray", "uvicorn", "uvloop", "aiohttp", "httpx", "pika", "psycopg", "pydantic")


def describe() -> dict[str, Any]:
    """The machine, its system, and how busy it was before the measurement began."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{_distribution()}, Linux {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
    }


def versions(environment: Mapping[str, str]) -> dict[str, str]:
    """Versions of Python, of the packages that count, and of the stores in this environment."""
    return {
        "Python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "PostgreSQL": _postgres(environment["DATABASE_URL"]),
        "RabbitMQ": _rabbitmq(environment["RABBITMQ_URL"]),
        "Redis": _redis(environment["REDIS_URL"]),
    }


def _postgres(url: str) -> str:
    with psycopg.connect(url, connect_timeout=5) as connection:
        return str(connection.info.parameter_status("server_version")).split(" ")[0]


def _redis(url: str) -> str:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        return str(client.info("server")["redis_version"])


def _rabbitmq(url: str) -> str:
    told: dict[str, Any] = {}

    def opened(connection: pika.SelectConnection) -> None:
        told.update(connection.server_properties)  # forgotten when it closes
        connection.close()

    # The blocking adapter does not show what the server says of itself.
    connection = pika.SelectConnection(
        pika.URLParameters(url),
        on_open_callback=opened,
        on_open_error_callback=lambda failed, _: failed.ioloop.stop(),
        on_close_callback=lambda closed, _: closed.ioloop.stop(),
    )
    connection.ioloop.start()
    connection.ioloop.close()
    return str(told.get("version", "unknown"))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return platform.system()


def _commit() -> str:
    with suppress(OSError):
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return found.stdout.strip() or "unknown"
    return "unknown"
