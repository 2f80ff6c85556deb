"""Runs of the retention job in Postgres: that there is one at a time, when they were, and what they removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from trunkline.stores.audit import append
from trunkline.stores.database import Connection, Pool, connection, conninfo, translating
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.tenancy.retention import RetentionRun, RetentionState

# Any number of 32 bits will do, as long as nothing else in this database locks it: "keep" in ASCII.
LOCK = 0x6B656570
RUNS_KEPT = 100
ACTOR = Actor("retention", "system")

_FORGET_RUNS = "DELETE FROM retention_runs WHERE run_id <= %s"
_LAST = "SELECT began_at, ended_at, removed FROM retention_runs WHERE ended_at IS NOT NULL ORDER BY run_id DESC LIMIT 1"
_NEWEST = "SELECT began_at, ended_at, removed FROM retention_runs ORDER BY run_id DESC LIMIT 1"
_IS_RUNNING = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), EXTRACT(epoch FROM now() - (SELECT max(began_at) FROM retention_runs WHERE ended_at IS NOT NULL))::float8
"""
_TALLY = """
INSERT INTO retention_tallies AS t (tenant_id, what, removed) VALUES (%(owner)s, %(what)s, %(removed)s)
ON CONFLICT (tenant_id, what) DO UPDATE SET removed = t.removed + excluded.removed
"""
_TAKE_TALLIES = "DELETE FROM retention_tallies WHERE tenant_id = %s RETURNING what, removed"


async def tally(taken: Connection, tenant_id: str | None, what: str, removed: int) -> None:
    """Count what was removed in the transaction that removes it: the audit log will tell of it."""
    if removed:
        await taken.execute(_TALLY, {"owner": tenant_id or "", "what": what, "removed": removed})


@asynccontextmanager
async def only_run(database_url: str) -> AsyncIterator[bool]:
    """Whether nobody else in the cluster has this turn, which ends with this, or with our connection.

    Raises StoreUnavailable.
    """
    with translating():
        async with await psycopg.AsyncConnection.connect(conninfo(database_url), autocommit=True) as locking:
            row = await (await locking.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))).fetchone()
            yield bool(row and row[0])


class RetentionRuns:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self) -> int:
        """The number of a run that begins now."""
        async with connection(self._pool) as taken:
            cursor = await taken.execute("INSERT INTO retention_runs DEFAULT VALUES RETURNING run_id")
            row = await cursor.fetchone()
            assert row is not None
            await taken.execute(_FORGET_RUNS, (row[0] - RUNS_KEPT,))
        return int(row[0])

    async def progress(self, run_id: int, removed: Mapping[str, int], *, ended: bool) -> None:
        """What the run has removed so far, and whether that is all."""
        query = "UPDATE retention_runs SET removed = %s, ended_at = CASE WHEN %s THEN now() END WHERE run_id = %s"
        async with connection(self._pool) as taken:
            await taken.execute(query, (Jsonb(dict(removed)), ended, run_id))

    async def untold(self) -> list[str | None]:
        """Tenants, or None for nobody, of whom something was removed that the audit log does not tell yet."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute("SELECT DISTINCT tenant_id FROM retention_tallies")).fetchall()
        return [tenant_id or None for (tenant_id,) in rows]

    async def tell(self, tenant_id: str | None) -> dict[str, int]:
        """Note in the audit log what was removed of a tenant since it was last told, and answer it."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_TAKE_TALLIES, (tenant_id or "",))).fetchall()
            removed = {what: int(count) for what, count in sorted(rows)}
            if removed:
                await append(taken, AuditRecord(ACTOR, "retention.applied", tenant_id, None, after=removed))
        return removed

    async def state(self) -> RetentionState:
        """The last run, the one under way, and how far behind the job is."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_IS_RUNNING, (LOCK,))).fetchone()
            assert row is not None
            is_running, behind_s = row
            async with taken.cursor(row_factory=dict_row) as cursor:
                last = await (await cursor.execute(_LAST)).fetchone()
                newest = await (await cursor.execute(_NEWEST)).fetchone()
        is_under_way = is_running and newest is not None and newest["ended_at"] is None
        return RetentionState(_run(last), _run(newest) if is_under_way else None, behind_s)


def _run(row: dict[str, Any] | None) -> RetentionRun | None:
    return None if row is None else RetentionRun(row["began_at"], row["ended_at"], row["removed"])
