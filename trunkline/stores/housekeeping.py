"""Removes what nobody will ask for again."""

from __future__ import annotations

from trunkline.stores.database import Pool, connection

# A webhook may be repeated for 8 days; clocks may differ.
SEEN_KEPT_DAYS = 9
TAKE_OVERS_KEPT_DAYS = 1
# So few that nobody waits for their locks.
BATCH = 10_000

_SEEN = """
DELETE FROM seen WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM seen WHERE seen_at < now() - make_interval(days => %(days)s) LIMIT %(limit)s
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
        """Remove marks of webhooks that cannot be repeated any more; answers how many."""
        return await self._remove(_SEEN, SEEN_KEPT_DAYS)

    async def forget_take_overs(self) -> int:
        """Remove notes on messages that have killed nobody lately; answers how many."""
        return await self._remove(_TAKE_OVERS, TAKE_OVERS_KEPT_DAYS)

    async def _remove(self, statement: str, days: int) -> int:
        removed = 0
        while True:
            async with connection(self._pool) as taken:
                count = (await taken.execute(statement, {"days": days, "limit": self._batch})).rowcount
            removed += count
            if count < self._batch:
                return removed
