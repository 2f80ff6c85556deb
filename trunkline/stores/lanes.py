"""Which lanes have carried something lately."""

from __future__ import annotations

from trunkline.envelope import Direction
from trunkline.stores.database import Pool, connection

_RECENT = """
SELECT l.tenant_id, l.direction FROM lanes l JOIN tenants t USING (tenant_id)
WHERE l.last_used_at > now() - interval '8 days' AND t.status <> 'deleted' ORDER BY l.last_used_at DESC
"""


class LaneStore:
    """The lanes that a starting supervisor looks into."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def recent(self) -> list[tuple[str, Direction]]:
        """Lanes used within the last 8 days, most recent first."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_RECENT)).fetchall()
        return [(tenant_id, Direction(direction)) for tenant_id, direction in rows]
