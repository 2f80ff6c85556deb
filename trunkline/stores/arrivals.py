"""What intake writes to Postgres: arrivals, best effort after the answer; and what belongs to nobody, before it."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.arrival import Arrival, Stray
from trunkline.envelope import Direction
from trunkline.stores.conversations import Activity, touch_conversations
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.values import storable

# Rows that exist are left out before the insert: waiting for one that is being settled, while its settler waits for
# a row inserted here, would be a deadlock.
_RECORD = """
INSERT INTO messages (tenant_id, message_id, wa_id, conversation_id, direction, kind, status, wamid, genesys_id, text,
                      accepted_at)
SELECT a.tenant_id, a.message_id, a.wa_id, a.conversation_id, a.direction, a.kind, 'received', a.wamid, a.genesys_id,
       a.text, to_timestamp(a.accepted)
FROM unnest(%(tenant)s::text[], %(message)s::uuid[], %(wa_id)s::text[], %(conversation)s::uuid[], %(direction)s::text[],
            %(kind)s::text[], %(wamid)s::text[], %(genesys)s::text[], %(text)s::text[], %(accepted)s::float8[])
     AS a(tenant_id, message_id, wa_id, conversation_id, direction, kind, wamid, genesys_id, text, accepted)
WHERE NOT EXISTS (SELECT FROM seen s WHERE s.tenant_id = a.tenant_id AND s.key_hash = a.message_id)
  AND NOT EXISTS (SELECT FROM messages e WHERE e.tenant_id = a.tenant_id AND e.message_id = a.message_id)
ORDER BY a.tenant_id, a.message_id
ON CONFLICT (tenant_id, message_id) DO NOTHING
"""

_USE_LANES = """
INSERT INTO lanes AS l (tenant_id, direction)
SELECT * FROM unnest(%(tenant)s::text[], %(direction)s::text[]) AS a(tenant_id, direction)
ORDER BY tenant_id, direction
ON CONFLICT (tenant_id, direction) DO UPDATE SET last_used_at = now() WHERE l.last_used_at < now() - interval '1 minute'
"""

_BURY_UNROUTED = """
INSERT INTO dead_letters (tenant_id, message_id, direction, reason, answer, wamid, genesys_id, envelope)
SELECT a.tenant_id, a.message_id, a.direction, a.reason, a.answer, a.wamid, a.genesys_id, a.envelope
FROM unnest(%(tenant)s::text[], %(message)s::uuid[], %(direction)s::text[], %(reason)s::text[], %(answer)s::text[],
            %(wamid)s::text[], %(genesys)s::text[], %(body)s::bytea[])
     AS a(tenant_id, message_id, direction, reason, answer, wamid, genesys_id, envelope)
ON CONFLICT (COALESCE(tenant_id, ''), message_id) DO NOTHING
"""

_UNROUTED_HELD = "SELECT count(*), COALESCE(sum(octet_length(envelope)), 0) FROM dead_letters WHERE tenant_id IS NULL"


class ArrivalStore:
    """Writes arrivals and strays in groups."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        """Record envelopes as received, with their conversations; raises StoreUnavailable."""
        async with connection(self._pool) as taken:
            await _record_messages(taken, [arrival for arrival in arrivals if arrival.is_message])
            lanes = sorted({(arrival.envelope.tenant_id, arrival.envelope.direction.value) for arrival in arrivals})
            await taken.execute(_USE_LANES, {"tenant": [t for t, _ in lanes], "direction": [d for _, d in lanes]})

    async def bury(self, strays: Sequence[Stray]) -> None:
        """Keep strays as dead letters; raises StoreUnavailable."""
        parameters = {
            "tenant": [stray.tenant_id for stray in strays],
            "message": [stray.message_id for stray in strays],
            "direction": [stray.direction.value for stray in strays],
            "reason": [stray.reason for stray in strays],
            "answer": [storable(stray.answer) for stray in strays],
            "wamid": [storable(stray.wamid) for stray in strays],
            "genesys": [storable(stray.genesys_id) for stray in strays],
            "body": [stray.body for stray in strays],
        }
        async with connection(self._pool) as taken:
            await taken.execute(_BURY_UNROUTED, parameters)

    async def count_unrouted(self) -> tuple[int, int]:
        """How many dead letters belong to no tenant, and their bytes."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_UNROUTED_HELD)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)


async def _record_messages(taken: Connection, arrivals: Sequence[Arrival]) -> None:
    if not arrivals:
        return
    envelopes = [arrival.envelope for arrival in arrivals]
    conversations = await touch_conversations(taken, [_activity(arrival) for arrival in arrivals])
    await taken.execute(
        _RECORD,
        {
            "tenant": [e.tenant_id for e in envelopes],
            "message": [e.message_id for e in envelopes],
            "wa_id": [storable(e.conversation) for e in envelopes],
            "conversation": [conversations[e.tenant_id, storable(e.conversation)].conversation_id for e in envelopes],
            "direction": [e.direction.value for e in envelopes],
            "kind": [storable(e.kind) for e in envelopes],
            "wamid": [storable(e.external_id) if e.direction is Direction.INBOUND else None for e in envelopes],
            "genesys": [storable(e.external_id) if e.direction is Direction.OUTBOUND else None for e in envelopes],
            "text": [storable(arrival.text) for arrival in arrivals],
            "accepted": [e.accepted_at for e in envelopes],
        },
    )


def _activity(arrival: Arrival) -> Activity:
    envelope = arrival.envelope
    inbound_at = envelope.accepted_at if envelope.direction is Direction.INBOUND else None
    return Activity(envelope.tenant_id, envelope.conversation, envelope.accepted_at, arrival.window_hours, inbound_at)
