"""Where a running platform writes things down: its log files, its stores, what Ray tells of its actors, and `ps`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from redis import Redis

from scripts.faults.platform import Platform
from scripts.launcher.service import ROOT

# Columns that hold what people wrote, by table; retention and erasure empty them.
CONTENT = {
    ("messages", "text"),
    ("intake_spool", "envelope"),
    ("dead_letters", "envelope"),
    ("parked_statuses", "envelope"),
}
# Everything that Ray's head keeps: what it knows of actors, workers, jobs and tasks, and its table of keys and values,
# in which Serve keeps what it is to run.
_TELL_ALL = """
import ray, sys
from ray._private.state import state
from ray.experimental import internal_kv
ray.init(address=sys.argv[1], namespace="secrecy", log_to_driver=False, logging_level="ERROR")
head = state._connect_and_get_accessor()
told = [*head.get_actor_table(None, None), *head.get_worker_table(), *head.get_job_table(), *head.get_task_events()]
for namespace in (None, b"fun", b"serve", b"session", b"cluster", b"job", b"dashboard"):
    for key in internal_kv._internal_kv_list(b"", namespace=namespace):
        told += [key, internal_kv._internal_kv_get(key, namespace=namespace) or b""]
for each in told:
    sys.stdout.buffer.write(each)
"""


@dataclass(frozen=True, slots=True)
class Written:
    """Something that was written down, and where."""

    where: str
    content: bytes


def log_files(platform: Platform) -> Iterator[Written]:
    """Every file that the platform's processes log to, and what the launcher has printed but for the keys it made."""
    made = (platform.environment["ADMIN_API_KEY"], platform.environment["CREDENTIALS_KEYS"])
    printed = [line for line in platform.said().splitlines() if not any(key in line for key in made)]
    # Passwords are told there too, for people to look into the stores.
    yield Written("the launcher", "\n".join(line for line in printed if "://" not in line).encode())
    for folder in (platform.home / "logs", platform.home / "ray" / "sessions", platform.home / "rabbitmq" / "log"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield Written(str(path.relative_to(platform.home)), path.read_bytes())


def redis_keys(platform: Platform) -> Iterator[Written]:
    """Every key of Redis with its value."""
    with Redis.from_url(platform.environment["REDIS_URL"]) as redis:
        for key in redis.scan_iter():
            yield Written(f"redis {key!r}", bytes(key))
            yield Written(f"redis {key!r}", bytes(redis.dump(key) or b""))


def columns(platform: Platform) -> Iterator[tuple[str, str, bytes]]:
    """Every column of every row in Postgres: table, column, and its value."""
    with psycopg.connect(platform.environment["DATABASE_URL"]) as link:
        tables = link.execute(
            "SELECT c.oid::regclass::text, c.relname FROM pg_class c WHERE c.relkind = 'r' "
            "AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        for _, table in tables:
            names = link.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))).description
            for column in [each.name for each in names or []]:
                query = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
                for (value,) in link.execute(query):
                    content = value if isinstance(value, bytes) else json.dumps(value, default=str).encode()
                    yield table, column, content


def told_by_ray(platform: Platform) -> Written:
    """What Ray's head keeps of actors, jobs and Serve."""
    environment = {**os.environ, **platform.environment}
    command = [sys.executable, "-c", _TELL_ALL, platform.environment["RAY_ADDRESS"]]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=True)
    return Written("Ray's head", told.stdout)


def titles(platform: Platform) -> Iterator[Written]:
    """The command line of each of its processes, which every user of the machine can read."""
    for pid in platform.descendants():
        try:
            yield Written(f"process {pid}", Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue  # it has ended
