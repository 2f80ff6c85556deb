"""Which lanes have carried something, and what Postgres knows of that which waits in them."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.envelope import Direction
from trunkline.stores.database import Pool, connection

_RECENT = """
SELECT l.tenant_id, l.direction FROM lanes l JOIN tenants t USING (tenant_id)
WHERE l.last_used_at > now() - interval '8 days' AND t.status <> 'deleted' ORDER BY l.last_used_at DESC
"""

# A tenant's lanes follow each other, and those of a deleted one may still hold something.
_PAGE = """
SELECT tenant_id, direction FROM lanes
WHERE direction = ANY(%(directions)s)
  AND (%(after_tenant)s::text IS NULL OR (tenant_id, direction) > (%(after_tenant)s, %(after_direction)s))
ORDER BY tenant_id, direction LIMIT %(limit)s
"""

_WITH_SPOOLED = "SELECT DISTINCT tenant_id, direction FROM intake_spool"

_SPOOLED = """
SELECT l.tenant_id, l.direction, p.count, p.oldest
FROM unnest(%(tenant)s::text[], %(direction)s::text[]) AS l(tenant_id, direction)
CROSS JOIN LATERAL (
    SELECT count(*), EXTRACT(epoch FROM min(accepted_at))::float8 AS oldest FROM intake_spool
    WHERE tenant_id = l.tenant_id AND direction = l.direction
) p
WHERE p.count > 0
"""

# There is no index of what waits, for it would cost every message twice its writes: so this may take long.
_OLDEST_RECORDED = """
SELECT tenant_id, direction, EXTRACT(epoch FROM min(accepted_at))::float8
FROM messages WHERE tenant_id = ANY(%(tenant)s) AND status IN ('received', 'waiting') GROUP BY tenant_id, direction
"""


class LaneStore:
    """The lanes that have carried something; every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def recent(self) -> list[tuple[str, Direction]]:
        """Lanes used within the last 8 days, most recent first."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_RECENT)).fetchall()
        return [(tenant_id, Direction(direction)) for tenant_id, direction in rows]

    async def page(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> list[tuple[str, Direction]]:
        """Lanes in order of tenant and direction, behind the place `after`."""
        parameters = {
            "directions": [direction.value for direction in directions],
            "after_tenant": after[0] if after else None,
            "after_direction": after[1] if after else None,
            "limit": limit,
        }
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_PAGE, parameters)).fetchall()
        return [(tenant_id, Direction(direction)) for tenant_id, direction in rows]

    async def with_spooled(self) -> list[tuple[str, Direction]]:
        """Lanes with something in the spool."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_WITH_SPOOLED)).fetchall()
        return [(tenant_id, Direction(direction)) for tenant_id, direction in rows]

    async def spooled(self, lanes: Sequence[tuple[str, Direction]]) -> dict[tuple[str, Direction], tuple[int, float]]:
        """How many of each lane lie in the spool, and when the oldest was accepted; lanes with none are left out."""
        parameters = {
            "tenant": [tenant_id for tenant_id, _ in lanes],
            "direction": [direction.value for _, direction in lanes],
        }
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_SPOOLED, parameters)).fetchall()
        return {(tenant_id, Direction(direction)): (count, oldest) for tenant_id, direction, count, oldest in rows}

    async def oldest_recorded(self, tenants: Sequence[str], within_s: float) -> dict[tuple[str, Direction], float]:
        """When the oldest recorded message that waits was accepted, by lane; StoreUnavailable if it takes longer."""
        async with connection(self._pool) as taken:
            await taken.execute("SELECT set_config('statement_timeout', %s, true)", (f"{within_s * 1000:.0f}ms",))
            rows = await (await taken.execute(_OLDEST_RECORDED, {"tenant": list(tenants)})).fetchall()
        return {(tenant_id, Direction(direction)): oldest for tenant_id, direction, oldest in rows}
