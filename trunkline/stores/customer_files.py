"""Whose customers' files are, in Postgres; and which of them were erased, so that every node removes its own."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.arrival import Arrival
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.values import as_rows, storable

_NOTE = """
INSERT INTO customer_files (tenant_id, media_id, wa_id)
SELECT DISTINCT ON (tenant_id, media_id) tenant_id, media_id, wa_id
FROM json_to_recordset(%(rows)s::json) AS a(tenant_id text, media_id text, wa_id text)
ORDER BY tenant_id, media_id
ON CONFLICT (tenant_id, media_id) DO NOTHING
"""

_IS_ERASED = "SELECT FROM customer_files WHERE tenant_id = %s AND media_id = %s AND erased_at IS NOT NULL"

_ERASED = """
SELECT tenant_id, media_id FROM customer_files
WHERE erased_at > now() - make_interval(secs => %(within_s)s)
"""


class CustomerFileStore:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def is_erased(self, tenant_id: str, media_id: str) -> bool:
        """Whether this file was erased: nobody may load it again."""
        async with connection(self._pool) as taken:
            return (await taken.execute(_IS_ERASED, (tenant_id, storable(media_id)))).rowcount > 0

    async def erased(self, within_s: float) -> list[tuple[str, str]]:
        """Files that were erased within the last seconds, as tenant and id."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_ERASED, {"within_s": within_s})).fetchall()
        return [(tenant_id, media_id) for tenant_id, media_id in rows]


async def note_owners(taken: Connection, arrivals: Sequence[Arrival]) -> None:
    """Write down whose the files of these arrivals are, in the caller's transaction."""
    rows = [
        {
            "tenant_id": arrival.envelope.tenant_id,
            "media_id": storable(arrival.file.media_id),
            "wa_id": storable(arrival.envelope.conversation),
        }
        for arrival in arrivals
        if arrival.file is not None
    ]
    if rows:
        await taken.execute(_NOTE, {"rows": as_rows(rows)})
