"""The stores as this machine reaches them, without the router between: whether they answer, and how full they are."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pika
import psycopg
import redis
from pika.exceptions import AMQPError, ProbableAccessDeniedError, ProbableAuthenticationError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from redis.backoff import NoBackoff
from redis.retry import Retry

from trunkline.doctor.facts import ASK_WITHIN_S, Facts, Look, Scene, Unseen
from trunkline.errors import ConfigurationError, StoreUnavailable
from trunkline.stores.database import TOO_MANY_CLIENTS, conninfo, translating

APPLICATION_NAME = "trunkline-doctor"
# Nobody has a queue of this name: what is sent there is dropped.
NOBODY = "trunkline-doctor"
# The broker says within this time that it takes nothing.
BLOCKED_WITHIN_S = 0.3
BLOCKED_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """Whether a store answered at `where` (host and port); `error` in the words that operators know."""

    where: str
    error: str | None = None
    latency_ms: float | None = None
    facts: dict[str, Any] | None = None

    @property
    def is_full(self) -> bool:
        """Whether Postgres is there and has no connection left."""
        return self.error == TOO_MANY_CLIENTS


@contextmanager
def postgres(scene: Scene) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection for a few quick questions; raises Unseen without an address, StoreUnavailable in plain words."""
    url = _url(scene, "database_url", "DATABASE_URL")
    options = f"-c statement_timeout={int(ASK_WITHIN_S * 1000)} {conninfo_to_dict(conninfo(url)).get('options') or ''}"
    given = conninfo(url, application_name=APPLICATION_NAME, connect_timeout=int(ASK_WITHIN_S), options=options.strip())
    try:
        with translating(), psycopg.connect(given, autocommit=True, row_factory=dict_row) as connection:
            yield connection
    except psycopg.errors.UndefinedTable:
        raise Unseen("tables are missing: see the check `migrations`") from None


@contextmanager
def redis_client(scene: Scene) -> Iterator[redis.Redis]:
    """A client for a few quick questions; raises Unseen without an address, StoreUnavailable in plain words."""
    url = _url(scene, "redis_url", "REDIS_URL")
    try:
        with redis.Redis.from_url(
            url,
            socket_timeout=ASK_WITHIN_S,
            socket_connect_timeout=ASK_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        ) as client:
            yield client
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL is not a URL of Redis: {error}") from None


def _look_at_postgres(facts: Facts) -> StoreAnswer:
    where = _postgres_address(facts.scene)
    began = time.perf_counter()
    try:
        with postgres(facts.scene) as connection:
            connection.execute("SELECT 1")
    except (StoreUnavailable, ConfigurationError) as error:
        return StoreAnswer(where, str(error))
    return StoreAnswer(where, None, _since(began))


def _look_at_redis(facts: Facts) -> StoreAnswer:
    where = _address(_url(facts.scene, "redis_url", "REDIS_URL"), 6379)
    began = time.perf_counter()
    try:
        with redis_client(facts.scene) as client:
            client.ping()
            latency_ms = _since(began)
            told: Any = client.info()
    except (StoreUnavailable, ConfigurationError) as error:
        return StoreAnswer(where, str(error))
    names = ("used_memory", "maxmemory", "maxmemory_policy", "role", "redis_version")
    return StoreAnswer(where, None, latency_ms, {name: told.get(name) for name in names})


def _look_at_rabbitmq(facts: Facts) -> StoreAnswer:
    url = _url(facts.scene, "rabbitmq_url", "RABBITMQ_URL")
    where = _address(url, 5671 if url.startswith("amqps") else 5672)
    began = time.perf_counter()
    try:
        _reach(where)
        parameters = pika.URLParameters(url)
        parameters.connection_attempts = 1
        parameters.socket_timeout = parameters.stack_timeout = ASK_WITHIN_S
        parameters.blocked_connection_timeout = BLOCKED_CLOSE_S
        connection = pika.BlockingConnection(parameters)
    except (ProbableAuthenticationError, ProbableAccessDeniedError):
        return StoreAnswer(where, "RabbitMQ refuses the user, the password or the virtual host of RABBITMQ_URL")
    except (AMQPError, OSError, ValueError, TypeError) as error:
        return StoreAnswer(where, f"Cannot connect to RabbitMQ: {str(error) or type(error).__name__}")
    latency_ms = _since(began)
    return StoreAnswer(where, None, latency_ms, {"blocked": _is_blocked(connection)})


def _reach(where: str) -> None:
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_WITHIN_S).close()
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "") or str(error)
        raise OSError(f"connect {code} {where}") from None


def _is_blocked(connection: Any) -> bool:
    """Whether an alarm (memory, disk) keeps the broker from taking messages: it says so after the first one."""
    blocked: list[bool] = []
    connection.add_on_connection_blocked_callback(lambda *_: blocked.append(True))
    with suppress(AMQPError):
        connection.channel().basic_publish("", NOBODY, b"")
        connection.process_data_events(BLOCKED_WITHIN_S)
        connection.close()
    return bool(blocked)


def _postgres_address(scene: Scene) -> str:
    given = conninfo_to_dict(conninfo(_url(scene, "database_url", "DATABASE_URL")))
    return f"{given.get('host') or 'local socket'}:{given.get('port') or 5432}"


def _address(url: str, default_port: int) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or "localhost"
        return f"{f'[{host}]' if ':' in host else host}:{parts.port or default_port}"
    except ValueError:
        return "an address that cannot be read"


def _url(scene: Scene, field: str, name: str) -> str:
    scene.require_here()
    url: str = getattr(scene.settings, field)
    if not url:
        raise Unseen(f"{name} is not set and no instance runs here: `scripts/run` starts a private one")
    return url


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


POSTGRES: Look[StoreAnswer] = Look("postgres", _look_at_postgres)
REDIS: Look[StoreAnswer] = Look("redis", _look_at_redis)
RABBITMQ: Look[StoreAnswer] = Look("rabbitmq", _look_at_rabbitmq)
