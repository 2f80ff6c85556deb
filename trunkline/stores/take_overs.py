"""Take-overs in Postgres: how often a message was taken over from a reader that ended before it could claim it."""

from __future__ import annotations

from trunkline.envelope import Envelope
from trunkline.stores.database import Pool, connection

# A message with an attempt has been claimed: whatever ended its reader, it was not its conversion.
_NOTE = """
INSERT INTO take_overs AS t (tenant_id, message_id, count)
SELECT %(tenant)s, %(message)s::uuid, 1
WHERE NOT EXISTS (SELECT FROM messages
                  WHERE tenant_id = %(tenant)s AND message_id = %(message)s::uuid AND attempt_id IS NOT NULL
                    AND created_at = (SELECT seen_at FROM seen
                                      WHERE tenant_id = %(tenant)s AND key_hash = %(message)s::uuid))
ON CONFLICT (tenant_id, message_id) DO UPDATE SET count = t.count + 1, noted_at = now()
RETURNING count
"""

_FORGET = "DELETE FROM take_overs WHERE tenant_id = %(tenant)s AND message_id = %(message)s::uuid"


class TakeOverCounts:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, envelope: Envelope) -> int:
        """Count one more; how many there have been, 0 for a message that was claimed before."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_NOTE, _key(envelope))).fetchone()
        return int(row[0]) if row else 0

    async def forget(self, envelope: Envelope) -> None:
        """It was no poison."""
        async with connection(self._pool) as taken:
            await taken.execute(_FORGET, _key(envelope))


def _key(envelope: Envelope) -> dict[str, str]:
    return {"tenant": envelope.tenant_id, "message": envelope.message_id}
