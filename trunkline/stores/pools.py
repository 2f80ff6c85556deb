"""Sizes of the transformer pools that an operator has set."""

from __future__ import annotations

from trunkline.stores.audit import append
from trunkline.stores.database import Pool, connection
from trunkline.tenancy.audit import Actor, AuditRecord

_SAVE = """
INSERT INTO pools (pool, min_size, max_size) VALUES (%s, %s, %s)
ON CONFLICT (pool) DO UPDATE SET min_size = EXCLUDED.min_size, max_size = EXCLUDED.max_size, updated_at = now()
"""


_LOCK = "SELECT min_size, max_size FROM pools WHERE pool = %s FOR UPDATE"


class PoolStore:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> dict[str, tuple[int, int]]:
        """The smallest and the largest size of each pool that was ever given any."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute("SELECT pool, min_size, max_size FROM pools")).fetchall()
        return {pool: (low, high) for pool, low, high in rows}

    async def save(self, pool: str, low: int, high: int, by: Actor) -> None:
        """Keep a pool's smallest and largest size; noted in the audit log as done by `by`."""
        async with connection(self._pool) as taken:
            was = await (await taken.execute(_LOCK, (pool,))).fetchone()
            await taken.execute(_SAVE, (pool, low, high))
            before = {"min": was[0], "max": was[1]} if was else None
            await append(taken, AuditRecord(by, "pool.scaled", None, pool, before, {"min": low, "max": high}))
