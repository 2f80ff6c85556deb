"""Removes what nobody will ask for again."""

from __future__ import annotations

from typing import Any

from trunkline.stores.database import Pool, connection
from trunkline.stores.marks import is_row_of

# A webhook may be repeated for 8 days; clocks may differ.
SEEN_KEPT_DAYS = 9
TAKE_OVERS_KEPT_DAYS = 1
# Marks whose message went before they could be forgotten are looked for hour by hour, and again within a day.
LOOKED_FOR_H = 24
# So few that nobody waits for their locks.
BATCH = 10_000

# Before this, no message has a row any more.
_OLDEST_MESSAGE = r"""
SELECT LEAST(min(to_date(substr(c.relname, 10), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC'),
             (SELECT min(created_at) FROM messages_default))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'messages'::regclass AND c.relname ~ '^messages_\d{4}_\d{2}$'
"""
_SEEN_BEFORE_ALL = """
DELETE FROM seen WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM seen WHERE seen_at < LEAST(now() - make_interval(days => %(days)s), %(oldest)s) LIMIT %(limit)s
))
"""
# A mark whose message has a row leads to it, however old it is. As a value, the row is looked up for each mark; as a
# condition, all of `messages` might be read.
_SEEN = f"""
DELETE FROM seen WHERE ctid = ANY (ARRAY(
    SELECT s.ctid FROM seen s
    WHERE s.seen_at < now() - make_interval(days => %(days)s, hours => %(hours)s)
      AND s.seen_at >= now() - make_interval(days => %(days)s, hours => %(hours)s + 1)
      AND (SELECT m.created_at FROM messages m WHERE {is_row_of("m", "s")}) IS NULL
    LIMIT %(limit)s
))
"""
_TAKE_OVERS = """
DELETE FROM take_overs WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM take_overs WHERE noted_at < now() - make_interval(days => %(days)s) LIMIT %(limit)s
))
"""


class Housekeeping:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool, batch: int = BATCH) -> None:
        self._pool = pool
        self._batch = batch

    async def forget_seen(self) -> int:
        """Remove marks of webhooks that cannot be repeated any more, and whose message has no row; answers how many.

        One whose message goes later than that stays until the partition of that time has gone.
        """
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_OLDEST_MESSAGE)).fetchone()
        removed = await self._remove(_SEEN_BEFORE_ALL, SEEN_KEPT_DAYS, oldest=row[0] if row else None)
        for hours in range(LOOKED_FOR_H):
            removed += await self._remove(_SEEN, SEEN_KEPT_DAYS, hours=hours)
        return removed

    async def forget_take_overs(self) -> int:
        """Remove notes on messages that have killed nobody lately; answers how many."""
        return await self._remove(_TAKE_OVERS, TAKE_OVERS_KEPT_DAYS)

    async def _remove(self, statement: str, days: int, **more: Any) -> int:
        removed = 0
        while True:
            async with connection(self._pool) as taken:
                count = (await taken.execute(statement, {"days": days, "limit": self._batch, **more})).rowcount
            removed += count
            if count < self._batch:
                return removed
