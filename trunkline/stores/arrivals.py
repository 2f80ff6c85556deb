"""What intake writes to Postgres: arrivals, best effort after the answer; and what belongs to nobody, before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trunkline.arrival import Arrival, Stray
from trunkline.attempt import Callback
from trunkline.envelope import Direction
from trunkline.protocol.times import window_opened_at
from trunkline.stores.aliases import learn_aliases
from trunkline.stores.conversations import Activity, touch_conversations
from trunkline.stores.customer_files import note_owners
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.erasures import closed_among
from trunkline.stores.marks import HAS_MADE_ITS_MARK
from trunkline.stores.media_fetches import note_files
from trunkline.stores.message_rows import row_of
from trunkline.stores.sent_messages import adopt_proofs
from trunkline.stores.values import as_rows, storable
from trunkline.tenancy.conversations import Conversation

# Only a mark that somebody is inserting at this moment is waited for, in the order of claims: waiting for a message
# that is being settled, while its settler waits for a mark inserted here, would be a deadlock.
_RECORD = f"""
WITH arrived AS MATERIALIZED (
    SELECT a.*
    FROM json_to_recordset(%(rows)s::json)
         AS a(tenant_id text, message_id uuid, wa_id text, conversation_id uuid, direction text, kind text, wamid text,
              genesys_id text, text text, accepted float8)
    LEFT JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
    WHERE s.key_hash IS NULL
), marked AS (
    INSERT INTO seen (tenant_id, key_hash) SELECT tenant_id, message_id FROM arrived
    ORDER BY tenant_id, message_id ON CONFLICT DO NOTHING RETURNING tenant_id, key_hash
)
INSERT INTO messages (tenant_id, message_id, wa_id, conversation_id, direction, kind, status, wamid, genesys_id, text,
                      accepted_at)
SELECT tenant_id, message_id, wa_id, conversation_id, direction, kind, 'received', wamid, genesys_id, text,
       to_timestamp(accepted)
FROM arrived WHERE {HAS_MADE_ITS_MARK}
ON CONFLICT (tenant_id, message_id, created_at) DO NOTHING
"""

_USE_LANES = """
INSERT INTO lanes AS l (tenant_id, direction)
SELECT * FROM unnest(%(tenant)s::text[], %(direction)s::text[]) AS a(tenant_id, direction)
ORDER BY tenant_id, direction
ON CONFLICT (tenant_id, direction) DO UPDATE SET last_used_at = now() WHERE l.last_used_at < now() - interval '1 minute'
"""

_BURY_UNROUTED = """
INSERT INTO dead_letters (tenant_id, message_id, direction, reason, answer, wamid, genesys_id, envelope, wa_id)
SELECT a.tenant_id, a.message_id, a.direction, a.reason, a.answer, a.wamid, a.genesys_id, a.envelope, a.wa_id
FROM unnest(%(tenant)s::text[], %(message)s::uuid[], %(direction)s::text[], %(reason)s::text[], %(answer)s::text[],
            %(wamid)s::text[], %(genesys)s::text[], %(body)s::bytea[], %(wa_id)s::text[])
     AS a(tenant_id, message_id, direction, reason, answer, wamid, genesys_id, envelope, wa_id)
WHERE NOT EXISTS (SELECT FROM seen s WHERE s.tenant_id = a.tenant_id AND s.key_hash = a.message_id)
ON CONFLICT (COALESCE(tenant_id, ''), message_id) DO NOTHING
"""

_UNROUTED_HELD = "SELECT count(*), COALESCE(sum(octet_length(envelope)), 0) FROM dead_letters WHERE tenant_id IS NULL"


class ArrivalStore:
    """Writes arrivals and strays in groups."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        """Record envelopes as received, with their conversations; raises StoreUnavailable.

        Nothing is written down of messages that were erased, or let go by retention, and whose webhook is repeated.
        """
        async with connection(self._pool) as taken:
            closed = await closed_among(taken, [arrival.envelope for arrival in arrivals if arrival.is_message])
            kept = [each for each in arrivals if (each.envelope.tenant_id, each.envelope.message_id) not in closed]
            await _record_messages(taken, [arrival for arrival in kept if arrival.is_message])
            await learn_aliases(taken, [alias for arrival in kept for alias in arrival.aliases])
            files = [arrival for arrival in kept if arrival.file is not None]
            await note_files(taken, files)
            await note_owners(taken, files)
            await adopt_proofs(taken, [proof for arrival in arrivals if (proof := _proof(arrival))])
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
            "wa_id": [storable(stray.wa_id) for stray in strays],
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
    conversations = await touch_conversations(taken, [_activity(arrival) for arrival in arrivals])
    rows = [
        _row(arrival, conversations[arrival.envelope.tenant_id, storable(arrival.envelope.conversation)])
        for arrival in arrivals
    ]
    await taken.execute(_RECORD, {"rows": as_rows(rows)})


def _proof(arrival: Arrival) -> tuple[str, Callback, str] | None:
    """The send that a status proves; its lane may be held, and whoever waits for news of the send must not."""
    envelope = arrival.envelope
    if envelope.direction is not Direction.STATUS:
        return None
    part = Callback.read(envelope.payload["status"].get("biz_opaque_callback_data"))
    return (envelope.tenant_id, part, envelope.external_id) if part else None


def _row(arrival: Arrival, conversation: Conversation) -> dict[str, Any]:
    return {
        **row_of(arrival.envelope),
        "wa_id": conversation.wa_id,
        "conversation_id": conversation.conversation_id,
        "text": storable(arrival.text),
    }


def _activity(arrival: Arrival) -> Activity:
    envelope = arrival.envelope
    inbound_at = None
    if envelope.direction is Direction.INBOUND:
        inbound_at = window_opened_at(envelope.payload.get("message"), envelope.accepted_at)
    return Activity(envelope.tenant_id, envelope.conversation, envelope.accepted_at, arrival.window_hours, inbound_at)
