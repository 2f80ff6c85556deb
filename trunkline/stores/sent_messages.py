"""Agents' messages in Postgres as statuses, answers and typing need them: found again by wamid or by our callback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from trunkline.attempt import Callback
from trunkline.envelope import Envelope
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.marks import is_row_of
from trunkline.stores.values import as_rows, storable

PARKED_FOR_S = 600
# WhatsApp shows a read mark and typing for any message of the last 30 days; beyond a day nobody waits for an answer.
LAST_INBOUND_WITHIN_H = 24

_FIND = f"""
WITH f AS MATERIALIZED (
    SELECT n.*, %(tenant)s AS tenant_id,
           (SELECT s.seen_at FROM seen s WHERE s.tenant_id = %(tenant)s AND s.key_hash = n.message_id) AS seen_at
    FROM (
        SELECT 1 AS rank, %(message)s::uuid AS message_id, %(part)s::int AS part, %(parts)s::int AS parts
        WHERE %(message)s::uuid IS NOT NULL
        UNION ALL
        SELECT 2, message_id, part, parts FROM message_parts WHERE tenant_id = %(tenant)s AND wamid = %(wamid)s
        UNION ALL
        SELECT 3, message_id, 1, 1 FROM messages
        WHERE tenant_id = %(tenant)s AND wamid = %(wamid)s AND direction = 'outbound'
    ) n
)
SELECT m.message_id::text, m.genesys_id, m.wa_id, m.kind, m.status, m.receipt, f.part, f.parts
FROM f CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE {is_row_of("messages", "f", "message_id")} AND direction = 'outbound' OFFSET 0
) m
WHERE m.genesys_id IS NOT NULL
ORDER BY f.rank LIMIT 1
"""

# A proof of the last part settles the message; of an earlier one, the rest is sent as if the answer had come. It counts
# while the answer is still awaited, too: when that never comes, nothing is left to wonder about.
_ADOPT = f"""
WITH told AS MATERIALIZED (
    SELECT a.*, s.seen_at
    FROM (SELECT DISTINCT ON (tenant_id, message_id) *
          FROM json_to_recordset(%(rows)s::json)
               AS r(tenant_id text, message_id uuid, part smallint, parts smallint, wamid text)
          ORDER BY tenant_id, message_id, part DESC) a
    JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
), known AS (
    SELECT m.tenant_id, m.message_id, a.seen_at, m.status, a.part, a.parts, a.wamid
    FROM told a
    JOIN messages m ON {is_row_of("m", "a", "message_id")}
    WHERE m.direction = 'outbound' AND m.status IN ('sending', 'unknown') AND m.parts_done < a.part
    FOR UPDATE OF m {{or_not}}
), adopted AS (
    UPDATE messages m
    SET status = CASE WHEN k.part >= k.parts THEN 'delivered' ELSE 'waiting' END, wamid = k.wamid,
        parts_done = k.part, unknowns = GREATEST(m.unknowns - (k.status = 'unknown')::int, 0), updated_at = now(),
        owner = NULL, claim_until = NULL
    FROM known k
    WHERE {is_row_of("m", "k", "message_id")}
)
INSERT INTO message_events (tenant_id, message_id, event, detail)
SELECT tenant_id, message_id, 'adopted', jsonb_build_object('wamid', wamid) FROM known
WHERE status = 'unknown'
"""

_MARK_DELIVERED = """
WITH marked AS (
    INSERT INTO message_parts (tenant_id, message_id, part, parts, wamid, delivered)
    VALUES (%(tenant)s, %(message)s::uuid, %(part)s, %(parts)s, %(wamid)s, true)
    ON CONFLICT (tenant_id, message_id, part) DO UPDATE SET delivered = true
    RETURNING part
)
SELECT count(*) FROM (
    SELECT part FROM marked
    UNION
    SELECT part FROM message_parts WHERE tenant_id = %(tenant)s AND message_id = %(message)s::uuid AND delivered
) AS delivered_parts
"""

_LAST_INBOUND = """
SELECT m.wamid
FROM conversation_mappings c
JOIN messages m ON m.tenant_id = c.tenant_id AND m.conversation_id = c.conversation_id
WHERE c.tenant_id = %(tenant)s AND c.wa_id = %(wa_id)s AND m.direction = 'inbound' AND m.wamid IS NOT NULL
  AND m.created_at > now() - make_interval(hours => %(hours)s)
ORDER BY m.created_at DESC, m.accepted_at DESC LIMIT 1
"""

_PARK = """
INSERT INTO parked_statuses (tenant_id, message_id, wamid, envelope)
VALUES (%(tenant)s, %(message)s::uuid, %(wamid)s, %(envelope)s)
ON CONFLICT (tenant_id, message_id) DO NOTHING
"""

_PARKED_AND_KNOWN = """
SELECT p.envelope FROM parked_statuses p
WHERE EXISTS (SELECT FROM messages m
              WHERE m.tenant_id = p.tenant_id AND m.wamid = p.wamid AND m.direction = 'outbound')
   OR EXISTS (SELECT FROM message_parts q WHERE q.tenant_id = p.tenant_id AND q.wamid = p.wamid)
ORDER BY p.parked_at LIMIT %(limit)s
"""

_UNPARK = """
DELETE FROM parked_statuses p
USING unnest(%(tenant)s::text[], %(message)s::uuid[]) AS k(tenant_id, message_id)
WHERE p.tenant_id = k.tenant_id AND p.message_id = k.message_id
"""

_FORGET_PARKED = "DELETE FROM parked_statuses WHERE parked_at < now() - make_interval(secs => %s)"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """An agent's message; `receipt` is the last one reported to Genesys, `part` of `parts` the one that was meant."""

    message_id: str
    genesys_id: str
    wa_id: str
    kind: str
    status: str
    receipt: str | None
    part: int
    parts: int


async def adopt_proofs(taken: Connection, proofs: Sequence[tuple[str, Callback, str]]) -> None:
    """Statuses (tenant, part, wamid) prove their sends, except where the outcome is being stored at this moment."""
    if proofs:
        rows = as_rows([_proof_row(tenant_id, part, wamid) for tenant_id, part, wamid in proofs])
        await taken.execute(_ADOPT.format(or_not="SKIP LOCKED"), {"rows": rows})


class SentMessageStore:
    """What is known of messages sent to WhatsApp. Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, tenant_id: str, wamid: str, callback: Callback | None = None) -> SentMessage | None:
        """The agent's message that a status, or a customer's answer, speaks of."""
        parameters = {
            "tenant": tenant_id,
            "wamid": storable(wamid),
            "message": callback.message_id if callback else None,
            "part": callback.part if callback else None,
            "parts": callback.parts if callback else None,
        }
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(SentMessage)) as cursor:
            return await (await cursor.execute(_FIND, parameters)).fetchone()

    async def adopt(self, tenant_id: str, part: Callback, wamid: str) -> None:
        """A status proves that a send went out whose answer is unknown, or has not come yet: it is never repeated."""
        async with connection(self._pool) as taken:
            await taken.execute(_ADOPT.format(or_not=""), {"rows": as_rows([_proof_row(tenant_id, part, wamid)])})

    async def mark_delivered(self, tenant_id: str, part: Callback, wamid: str) -> bool:
        """Note that this part was delivered; whether all parts are."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_MARK_DELIVERED, _of_part(tenant_id, part, wamid))).fetchone()
        return row is not None and int(row[0]) >= part.parts

    async def last_inbound(self, tenant_id: str, wa_id: str) -> str | None:
        """The wamid of the customer's latest message, if it is not too old to be marked as read."""
        parameters = {"tenant": tenant_id, "wa_id": storable(wa_id), "hours": LAST_INBOUND_WITHIN_H}
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_LAST_INBOUND, parameters)).fetchone()
        return row[0] if row else None

    async def park(self, status: Envelope) -> None:
        """Keep a status of a message that nobody here knows, or knows yet."""
        parameters = {
            "tenant": status.tenant_id,
            "message": status.message_id,
            "wamid": storable(status.external_id),
            "envelope": status.to_bytes(),
        }
        async with connection(self._pool) as taken:
            await taken.execute(_PARK, parameters)

    async def parked(self, limit: int) -> list[Envelope]:
        """Parked statuses whose messages are known by now; forgets those that have waited too long."""
        async with connection(self._pool) as taken:
            await taken.execute(_FORGET_PARKED, (PARKED_FOR_S,))
            rows = await (await taken.execute(_PARKED_AND_KNOWN, {"limit": limit})).fetchall()
        return [Envelope.from_bytes(bytes(envelope)) for (envelope,) in rows]

    async def unpark(self, statuses: Sequence[Envelope]) -> None:
        """Keep these no longer."""
        keys = {"tenant": [each.tenant_id for each in statuses], "message": [each.message_id for each in statuses]}
        async with connection(self._pool) as taken:
            await taken.execute(_UNPARK, keys)


def _proof_row(tenant_id: str, part: Callback, wamid: str) -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "message_id": part.message_id,
        "part": part.part,
        "parts": part.parts,
        "wamid": storable(wamid),
    }


def _of_part(tenant_id: str, part: Callback, wamid: str) -> dict[str, object]:
    return {
        "tenant": tenant_id,
        "message": part.message_id,
        "part": part.part,
        "parts": part.parts,
        "wamid": storable(wamid),
    }
