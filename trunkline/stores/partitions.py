"""Partitions of `messages`, one for each month in UTC: made before the month begins, dropped once it is long over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from trunkline.stores.database import Connection, Pool, connection

MONTHS_AHEAD = 1
# Whoever waits to have a table for itself makes everybody behind it wait, too.
LOCK_WITHIN = "500ms"
# The rows of a month are many, and nobody waits for the answer.
READ_WITHIN = "10min"

# Two who make partitions at once would wait for each other.
_ONE_AT_A_TIME = "LOCK TABLE ONLY messages IN SHARE UPDATE EXCLUSIVE MODE"
_MAKE = """
SELECT count(*) FROM generate_series(0, %(ahead)s) AS ahead
WHERE make_messages_partition((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))::date)
"""

# Tables named for a month; one that is no partition any more is left of a drop that was broken off.
_MONTHS = r"""
SELECT c.relname AS name, c.relispartition AS is_partition,
       to_date(substr(c.relname, 10), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS begins,
       (to_date(substr(c.relname, 10), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' AS ends
FROM pg_class c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'messages'::regclass)
  AND c.relkind = 'r' AND c.relname ~ '^messages_\d{4}_\d{2}$'
ORDER BY c.relname
"""

_HAS_UNSETTLED = """
SELECT EXISTS (SELECT FROM {partition} WHERE status NOT IN ('delivered', 'failed', 'dead', 'purged'))
"""
# What was dead a moment ago may have been replayed since: then it waits in the spool.
_HAS_REPLAYED = """
SELECT EXISTS (
    SELECT FROM intake_spool p JOIN seen s ON s.tenant_id = p.tenant_id AND s.key_hash = p.message_id
    WHERE s.seen_at >= %(begins)s AND s.seen_at < %(ends)s
)
"""
_DETACH = "ALTER TABLE messages DETACH PARTITION {partition}"
# What belongs to its messages goes with it; of each tenant it is counted, until the audit log tells of it.
_CLEAR = (
    """
    INSERT INTO retention_tallies AS t (tenant_id, what, removed)
    SELECT tenant_id, 'messages', count(*) FROM {partition} GROUP BY tenant_id
    ON CONFLICT (tenant_id, what) DO UPDATE SET removed = t.removed + excluded.removed
    """,
    "DELETE FROM message_parts p USING {partition} m WHERE p.tenant_id = m.tenant_id AND p.message_id = m.message_id",
    "DELETE FROM message_events e USING {partition} m WHERE e.tenant_id = m.tenant_id AND e.message_id = m.message_id",
    "DROP TABLE {partition}",
)


@dataclass(frozen=True, slots=True)
class _Month:
    name: str
    is_partition: bool
    begins: datetime
    ends: datetime

    def within(self, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(partition=sql.Identifier(self.name))


class MessagePartitions:
    """Every method raises StoreUnavailable, too when somebody else has `messages` for longer than a moment."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def make_ahead(self) -> int:
        """Make the partitions of this month and the next; how many there were not.

        A month whose rows have gone to the default partition already keeps them there, and gets none.
        """
        async with connection(self._pool) as taken:
            await _wait_little(taken)
            await taken.execute(_ONE_AT_A_TIME)
            row = await (await taken.execute(_MAKE, {"ahead": MONTHS_AHEAD})).fetchone()
        return int(row[0]) if row else 0

    async def drop_before(self, before: datetime) -> int:
        """Drop the months that had ended by then, with all that belongs to their messages; how many.

        A month with a message that is not settled stays. Marks stay: they are forgotten once they are old enough.
        """
        for month in await self._months():
            if month.is_partition and month.ends <= before and not await self._has_unsettled(month):
                await self._detach(month)
        detached = [month for month in await self._months() if not month.is_partition]
        for month in detached:
            async with connection(self._pool) as taken:
                await _read_long(taken)
                for statement in _CLEAR:
                    await taken.execute(month.within(statement))
        return len(detached)

    async def _months(self) -> list[_Month]:
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(_Month)) as cursor:
            return await (await cursor.execute(_MONTHS)).fetchall()

    async def _has_unsettled(self, month: _Month) -> bool:
        async with connection(self._pool) as taken:
            await _read_long(taken)
            return await _is_true(taken, month.within(_HAS_UNSETTLED))

    async def _detach(self, month: _Month) -> None:
        async with connection(self._pool) as taken:
            await _wait_little(taken)
            await taken.execute("LOCK TABLE ONLY messages IN ACCESS EXCLUSIVE MODE")
            if not await _is_true(taken, sql.SQL(_HAS_REPLAYED), {"begins": month.begins, "ends": month.ends}):
                await taken.execute(month.within(_DETACH))


async def _wait_little(taken: Connection) -> None:
    await taken.execute(f"SET LOCAL lock_timeout = '{LOCK_WITHIN}'")


async def _read_long(taken: Connection) -> None:
    await taken.execute(f"SET LOCAL statement_timeout = '{READ_WITHIN}'")


async def _is_true(
    taken: Connection, query: sql.SQL | sql.Composed, parameters: dict[str, datetime] | None = None
) -> bool:
    row = await (await taken.execute(query, parameters)).fetchone()
    return row is not None and bool(row[0])
