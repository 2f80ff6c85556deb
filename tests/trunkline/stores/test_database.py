"""The pool, and its failures in the words that operators know."""

from __future__ import annotations

import asyncio
import socket

import psycopg
import pytest

from trunkline.errors import StoreUnavailable
from trunkline.stores import database
from trunkline.stores.database import Pool, connection, open_pool, probe, translating

pytestmark = pytest.mark.services


async def test_work_is_committed_on_leaving_and_undone_on_failure(pool: Pool) -> None:
    async with connection(pool) as taken:
        await taken.execute("CREATE TABLE IF NOT EXISTS noted (n int)")
        await taken.execute("INSERT INTO noted VALUES (1)")
    with pytest.raises(ZeroDivisionError):
        async with connection(pool) as taken:
            await taken.execute("INSERT INTO noted VALUES (2)")
            _ = 1 // 0
    async with connection(pool) as taken:
        assert await (await taken.execute("SELECT n FROM noted")).fetchall() == [(1,)]


async def test_operators_see_whose_connection_it_is(pool: Pool) -> None:
    async with connection(pool) as taken:
        row = await (await taken.execute("SELECT current_setting('application_name')")).fetchone()
    assert row == ("trunkline",)


async def test_an_exhausted_pool_says_connection_pool_timeout(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT_FOR_CONNECTION_S", 0.05)
    async with open_pool(database_url, min_size=1, max_size=1) as small, connection(small):
        with pytest.raises(StoreUnavailable, match=r"^Connection pool timeout$"):
            async with connection(small):
                pass


async def test_a_server_that_is_away_is_not_called_a_pool_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_FOR_CONNECTION_S", 0.05)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody@127.0.0.1:{unused.getsockname()[1]}/none"
        async with open_pool(url, min_size=0, max_size=1) as away:
            with pytest.raises(StoreUnavailable, match="Postgres cannot be reached"):
                await probe(away)


async def test_a_full_server_says_too_many_clients_already() -> None:
    with pytest.raises(StoreUnavailable, match=r"^Too many clients already$"):
        async with translating():
            raise psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients already")


async def test_connections_that_died_while_idle_fail_no_request(database_url: str) -> None:
    async with open_pool(database_url, min_size=3, max_size=3) as idle:
        await idle.wait()
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        async with asyncio.timeout(3):
            await asyncio.gather(*(probe(idle) for _ in range(6)))
