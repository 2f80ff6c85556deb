"""Purging in Postgres: what is taken from a lane on request is settled as purged, with who asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trunkline.envelope import Direction, Envelope
from trunkline.people import person_key
from trunkline.stores.database import Pool, connection
from trunkline.stores.erasures import IS_ERASED
from trunkline.stores.marks import HAS_MADE_ITS_MARK, is_row_of
from trunkline.stores.message_rows import row_of
from trunkline.stores.spool import unspool
from trunkline.stores.values import as_json, as_rows

EVENT = "purged"

# A message that nobody has recorded yet gets its row here, so that it can be accounted for, and its mark, so that its
# webhook, repeated, is a repetition. What was settled before stays as it is. Rows are locked in the order in which
# everybody locks them.
_PURGE = f"""
WITH given AS MATERIALIZED (
    SELECT a.*, s.seen_at, {IS_ERASED} AS erased
    FROM json_to_recordset(%(rows)s::json)
         AS a(tenant_id text, message_id uuid, wa_id text, direction text, kind text, wamid text, genesys_id text,
              accepted float8, person uuid)
    LEFT JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
), marked AS (
    INSERT INTO seen (tenant_id, key_hash) SELECT tenant_id, message_id FROM given
    ORDER BY tenant_id, message_id ON CONFLICT DO NOTHING RETURNING tenant_id, key_hash
), made AS (
    INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, wamid, genesys_id, accepted_at)
    SELECT tenant_id, message_id, CASE WHEN erased THEN '' ELSE wa_id END, direction, kind, 'purged',
           CASE WHEN NOT erased THEN wamid END, CASE WHEN NOT erased THEN genesys_id END, to_timestamp(accepted)
    FROM given WHERE {HAS_MADE_ITS_MARK}
    ON CONFLICT (tenant_id, message_id, created_at) DO NOTHING
    RETURNING tenant_id, message_id
), held AS MATERIALIZED (
    SELECT m.tenant_id, m.message_id, g.seen_at
    FROM given g JOIN messages m ON {is_row_of("m", "g", "message_id")}
    WHERE m.status IN ('received', 'waiting', 'sending', 'unknown')
    ORDER BY g.tenant_id, g.message_id FOR UPDATE OF m
), changed AS (
    UPDATE messages m SET status = 'purged', owner = NULL, claim_until = NULL, updated_at = now()
    FROM held h WHERE {is_row_of("m", "h", "message_id")}
    RETURNING m.tenant_id, m.message_id
), purged AS (
    SELECT * FROM made UNION ALL SELECT * FROM changed
)
INSERT INTO message_events (tenant_id, message_id, event, detail)
SELECT tenant_id, message_id, %(event)s, %(detail)s::jsonb FROM purged
"""

# What was recorded and is neither in the queue nor in the spool was taken away by somebody else.
_SETTLE_LOST = """
WITH purged AS (
    UPDATE messages m SET status = 'purged', owner = NULL, claim_until = NULL, updated_at = now()
    WHERE m.tenant_id = %(tenant)s AND m.direction = %(direction)s AND m.status IN ('received', 'waiting')
      AND m.accepted_at < to_timestamp(%(before)s)
      AND NOT EXISTS (SELECT FROM intake_spool p WHERE p.tenant_id = m.tenant_id AND p.message_id = m.message_id)
    RETURNING m.tenant_id, m.message_id
)
INSERT INTO message_events (tenant_id, message_id, event, detail)
SELECT tenant_id, message_id, %(event)s, %(detail)s::jsonb FROM purged
"""

_SPOOLED = """
SELECT message_id::text, envelope FROM intake_spool
WHERE tenant_id = %(tenant)s AND direction = %(direction)s AND spooled_at <= to_timestamp(%(before)s)
ORDER BY wa_id, accepted_at, id LIMIT %(limit)s
"""

_REMOVE = "DELETE FROM intake_spool WHERE tenant_id = %(tenant)s AND message_id = ANY(%(unreadable)s::uuid[])"


class PurgeStore:
    """Every method raises StoreUnavailable. `by` is the id of the key that asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def purge(self, envelopes: Sequence[Envelope], by: str) -> None:
        """Settle as purged what is not settled yet, and remove it from the spool; all or none of it."""
        parameters = {
            "rows": as_rows([_row(envelope) for envelope in envelopes]),
            "event": EVENT,
            "detail": as_json({"by": by}),
        }
        async with connection(self._pool) as taken:
            purged = (await taken.execute(_PURGE, parameters)).rowcount
            if purged < len({envelope.message_id for envelope in envelopes}):
                # A row that was recorded while the first statement ran is seen by the second only.
                await taken.execute(_PURGE, parameters)
            await unspool(taken, envelopes)

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        """Remove from the spool what has no row of its own."""
        async with connection(self._pool) as taken:
            await unspool(taken, envelopes)

    async def spooled(self, tenant_id: str, direction: Direction, before: float, limit: int) -> list[Envelope]:
        """Some of what was put into the lane's spool before then (Unix seconds); what is no envelope is removed."""
        parameters = {"tenant": tenant_id, "direction": direction.value, "before": before, "limit": limit}
        found: list[Envelope] = []
        async with connection(self._pool) as taken:
            while not found and (rows := await (await taken.execute(_SPOOLED, parameters)).fetchall()):
                unreadable: list[str] = []
                for message_id, body in rows:
                    try:
                        found.append(Envelope.from_bytes(bytes(body)))
                    except ValueError:
                        unreadable.append(message_id)
                await taken.execute(_REMOVE, {"tenant": tenant_id, "unreadable": unreadable})
        return found

    async def settle_lost(self, tenant_id: str, direction: Direction, before: float, by: str) -> int:
        """Settle what was accepted before then, waits, and is nowhere: somebody emptied the queue; how many."""
        parameters = {
            "tenant": tenant_id,
            "direction": direction.value,
            "before": before,
            "event": EVENT,
            "detail": as_json({"by": by, "found": "nowhere"}),
        }
        async with connection(self._pool) as taken:
            return (await taken.execute(_SETTLE_LOST, parameters)).rowcount


def _row(envelope: Envelope) -> dict[str, Any]:
    return {**row_of(envelope), "person": person_key(envelope.tenant_id, envelope.conversation)}
