"""Files of customers that are still to be fetched, in Postgres: for messages whose lane is held for long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trunkline.arrival import Arrival
from trunkline.envelope import Direction
from trunkline.media_fetch import KEPT_BY_META_DAYS, DueFetch
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.values import as_rows, storable

# Whoever delivers the message fetches its file; after so long it is fetched even if the message is still held.
FIRST_DUE_S = 60
# Doubled with each try, until Meta keeps the file no longer.
AGAIN_S = 120

_NOTE = """
INSERT INTO media_fetches (tenant_id, media_id, phone_number_id, due_at)
SELECT DISTINCT ON (tenant_id, media_id) tenant_id, media_id, phone_number_id,
       now() + make_interval(secs => %(due_s)s)
FROM json_to_recordset(%(rows)s::json)
     AS a(tenant_id text, media_id text, phone_number_id text)
ORDER BY tenant_id, media_id
ON CONFLICT (tenant_id, media_id) DO NOTHING
"""

# Taken for as long as a fetch may last: whoever dies over it leaves it to another.
_TAKE = """
UPDATE media_fetches f
SET attempts = f.attempts + 1, due_at = now() + make_interval(secs => %(again_s)s * 2 ^ LEAST(f.attempts, 8))
FROM (
    SELECT tenant_id, media_id FROM media_fetches WHERE due_at <= now()
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) d
WHERE f.tenant_id = d.tenant_id AND f.media_id = d.media_id
RETURNING f.tenant_id, f.media_id, f.phone_number_id
"""

_FORGET = "DELETE FROM media_fetches WHERE tenant_id = %s AND media_id = %s"
_FORGET_LOST = "DELETE FROM media_fetches WHERE created_at < now() - make_interval(days => %s)"


class MediaFetches:
    """The list of files to fetch, shared by all who fetch."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take_due(self, limit: int) -> list[DueFetch]:
        """Files that nobody else fetches at this moment, to be tried now; raises StoreUnavailable."""
        async with connection(self._pool) as taken:
            await taken.execute(_FORGET_LOST, (KEPT_BY_META_DAYS,))
            rows = await (await taken.execute(_TAKE, {"limit": limit, "again_s": AGAIN_S})).fetchall()
        return [DueFetch(*row) for row in rows]

    async def done(self, tenant_id: str, media_id: str) -> None:
        """The file is kept, or will never be."""
        async with connection(self._pool) as taken:
            await taken.execute(_FORGET, (tenant_id, storable(media_id)))


async def note_files(taken: Connection, arrivals: Sequence[Arrival]) -> None:
    """Put the files of these arrivals on the list, in the caller's transaction."""
    rows = [_row(arrival) for arrival in arrivals if arrival.envelope.direction is Direction.INBOUND]
    if rows:
        await taken.execute(_NOTE, {"rows": as_rows(rows), "due_s": FIRST_DUE_S})


def _row(arrival: Arrival) -> dict[str, Any]:
    file = arrival.file
    assert file is not None
    return {
        "tenant_id": arrival.envelope.tenant_id,
        "media_id": storable(file.media_id),
        "phone_number_id": storable(arrival.envelope.payload["phoneNumberId"]),
    }
