"""What Postgres can say in numbers of all that it keeps; asked now and then, and never for long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from trunkline.stores.database import Pool, connection

# A count is not worth more: it is left out then, and tried again.
WITHIN_MS = 2000

_SPOOLED = """
SELECT tenant_id, direction, cause, count(*), EXTRACT(epoch FROM min(accepted_at))::float8
FROM intake_spool GROUP BY 1, 2, 3
"""
_DEAD_LETTERS = "SELECT reason, count(*) FROM dead_letters GROUP BY reason"
_CONNECTIONS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int
"""
_CLOCK = "SELECT EXTRACT(epoch FROM clock_timestamp())::float8"
_BACKED_UP = """
SELECT EXTRACT(epoch FROM at)::float8 FROM audit_log WHERE action = 'database.backed_up' ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Spooled:
    """What a lane has in the spool for one cause; the oldest was accepted at `oldest_at` (Unix seconds)."""

    tenant_id: str
    direction: str
    cause: str
    count: int
    oldest_at: float


class CountStore:
    """Every method raises StoreUnavailable, also when the answer takes too long."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def spooled(self) -> list[Spooled]:
        """All of the spool, by lane and cause."""
        return [Spooled(*row) for row in await self._ask(_SPOOLED)]

    async def dead_letters(self) -> dict[str, int]:
        """How many are kept, by reason."""
        return {reason: count for reason, count in await self._ask(_DEAD_LETTERS)}

    async def connections(self) -> tuple[int, int]:
        """Connections that there are, and as many as are allowed."""
        ((used, most),) = await self._ask(_CONNECTIONS)
        return used, most

    async def clock_skew_s(self) -> float:
        """How far Postgres' clock is ahead of ours; off by half of a question's time at most."""
        async with connection(self._pool) as taken:
            began = time.time()
            row = await (await taken.execute(_CLOCK)).fetchone()
            return float(row[0]) - (began + time.time()) / 2 if row else 0.0

    async def backed_up_at(self) -> float | None:
        """When the last backup was made, in Unix seconds; None when there was none."""
        rows = await self._ask(_BACKED_UP)
        return float(rows[0][0]) if rows else None

    async def _ask(self, query: str) -> list[tuple[Any, ...]]:
        async with connection(self._pool) as taken:
            await taken.execute("SELECT set_config('statement_timeout', %s, true)", (f"{WITHIN_MS}ms",))
            return await (await taken.execute(query)).fetchall()
