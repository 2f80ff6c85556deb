"""Epochs of tenants: each activation has a higher one, and only the highest may claim."""

from __future__ import annotations

from trunkline.stores.database import Pool, connection

_ACTIVATE = """
INSERT INTO tenant_activations AS a (tenant_id, epoch, cell) VALUES (%s, 1, %s)
ON CONFLICT (tenant_id) DO UPDATE SET epoch = a.epoch + 1, cell = excluded.cell, activated_at = now()
RETURNING epoch
"""


class ActivationStore:
    """Hands out epochs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def activate(self, tenant_id: str, cell: str) -> int:
        """The epoch of a new activation in `cell`; every older one is fenced from now on."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_ACTIVATE, (tenant_id, cell))).fetchone()
        assert row is not None
        return int(row[0])
