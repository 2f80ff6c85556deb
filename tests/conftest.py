"""Real stores for the tests: a database of its own for each module, made from one that was migrated once."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from redis.asyncio import Redis
from xdist.scheduler import LoadScopeScheduling

from trunkline.stores.database import Pool, conninfo, open_pool
from trunkline.stores.migrations import migrate_up

# Where tests share a running platform, in the order in which the faults, which depend on time, have the machine for
# themselves and one busy worker; a second platform follows once the tests without one are done.
FIRST_PLATFORM = ("tests/faults/", "tests/platform/")
SECOND_PLATFORM = ("tests/platform/test_doctor.py", "tests/platform/test_pages.py", "tests/platform/test_secrecy.py")
WITHOUT_PLATFORM = 1


class Rows(LoadScopeScheduling):  # type: ignore[misc]
    """What two workers may run beside each other: two rows of tests that share a platform, and modules of the rest."""

    def _split_scope(self, nodeid: str) -> str:
        row = _row_of(nodeid)
        return nodeid.partition("::")[0] if row == WITHOUT_PLATFORM else f"platform {row}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Rows:
    """How the tests are given to the workers: in the order in which they were collected."""
    config.option.loadscopereorder = False
    return Rows(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first platform begins, the second one is last."""
    items.sort(key=lambda item: _row_of(item.nodeid))


def _row_of(nodeid: str) -> int:
    if nodeid.startswith(SECOND_PLATFORM):
        return WITHOUT_PLATFORM + 1
    return WITHOUT_PLATFORM - 1 if nodeid.startswith(FIRST_PLATFORM) else WITHOUT_PLATFORM


def _from_environment(name: str) -> str:
    url = os.environ.get(name, "")
    if not url:
        pytest.fail(f"{name} is not set: run the tests with scripts/test, which starts the stores")
    return url


@contextmanager
def _database(template: str | None = None) -> Iterator[str]:
    """A database with a name of its own, dropped afterwards, whoever is still connected."""
    server = _from_environment("DATABASE_URL")
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        copied = sql.SQL("TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), copied))
        try:
            yield conninfo(server, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """A database without a table."""
    with _database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_database() -> Iterator[str]:
    """The name of a migrated database that nobody uses, to be copied."""
    with _database() as url:
        migrate_up(url)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture(scope="module")
def database_url(migrated_database: str) -> Iterator[str]:
    """A migrated database of the module's own."""
    with _database(migrated_database) as url:
        yield url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to the module's database."""
    async with open_pool(database_url, min_size=1, max_size=4) as opened:
        yield opened


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The tests' Redis. Others may use it too: tests keep to keys of tenants with random names."""
    return _from_environment("REDIS_URL")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the tests' Redis."""
    async with Redis.from_url(redis_url) as client:
        yield client
