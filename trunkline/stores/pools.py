"""Sizes of the transformer pools that an operator has set."""

from __future__ import annotations

from trunkline.stores.database import Pool, connection

_SAVE = """
INSERT INTO pools (pool, min_size, max_size) VALUES (%s, %s, %s)
ON CONFLICT (pool) DO UPDATE SET min_size = EXCLUDED.min_size, max_size = EXCLUDED.max_size, updated_at = now()
"""


class PoolStore:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> dict[str, tuple[int, int]]:
        """The smallest and the largest size of each pool that was ever given any."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute("SELECT pool, min_size, max_size FROM pools")).fetchall()
        return {pool: (low, high) for pool, low, high in rows}

    async def save(self, pool: str, low: int, high: int) -> None:
        """Keep a pool's smallest and largest size."""
        async with connection(self._pool) as taken:
            await taken.execute(_SAVE, (pool, low, high))
