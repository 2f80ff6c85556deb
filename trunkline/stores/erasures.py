"""Who was erased, and what that means for messages of theirs that are still somewhere: they are purged, and stay so."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.envelope import Direction, Envelope
from trunkline.people import person_key
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.marks import is_row_of
from trunkline.stores.values import as_json, as_rows, storable

# A webhook may be repeated for 8 days: for so long people who were erased are looked out for.
REPEATED_WITHIN_DAYS = 9
# Erasures are committed by several hosts: one may show later than one with a later time.
OVERLAP_S = 60.0
ERASED_EVENT = "erased"
# Where nothing is left to do.
SETTLED = frozenset({"delivered", "failed", "dead", "purged"})

# For statements that know a message as `a`: its person was erased, and it had been accepted before.
IS_ERASED = """EXISTS (
    SELECT FROM erasures x
    WHERE x.tenant_id = a.tenant_id AND x.person = a.person AND x.erased_at >= to_timestamp(a.accepted)
)"""

_ASKED = """
json_to_recordset(%(rows)s::json) AS a(tenant_id text, message_id uuid, person uuid, accepted float8)
"""

_ERASED = f"SELECT a.tenant_id, a.message_id::text FROM {_ASKED} WHERE {IS_ERASED}"

# What was claimed once and has no row of its own any more was erased, or let go by retention.
_KNOWN = f"""
FROM {_ASKED}
LEFT JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
LEFT JOIN messages m ON {is_row_of("m", "s")}
"""
_CLOSED = f"""
SELECT a.tenant_id, a.message_id::text {_KNOWN}
WHERE {IS_ERASED} OR s.key_hash IS NOT NULL AND (m.message_id IS NULL OR m.status = 'purged' AND m.wa_id = '')
"""
_STANDING = f"SELECT {IS_ERASED}, m.status, s.key_hash IS NOT NULL {_KNOWN}"

_PURGE = f"""
WITH known AS MATERIALIZED (
    SELECT * FROM seen WHERE tenant_id = %(tenant)s AND key_hash = %(message)s::uuid
), marked AS (
    INSERT INTO seen (tenant_id, key_hash) VALUES (%(tenant)s, %(message)s::uuid)
    ON CONFLICT DO NOTHING RETURNING tenant_id, key_hash
), made AS (
    INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, accepted_at)
    SELECT tenant_id, key_hash, '', %(direction)s, %(kind)s, 'purged', to_timestamp(%(accepted)s) FROM marked
    RETURNING tenant_id, message_id
), changed AS (
    UPDATE messages m
    SET status = 'purged', wa_id = '', conversation_id = NULL, wamid = NULL, genesys_id = NULL, text = NULL,
        receipt = NULL, attempt_id = NULL, owner = NULL, claim_until = NULL, updated_at = now()
    FROM known k
    WHERE {is_row_of("m", "k")} AND m.status IN ('received', 'waiting', 'sending', 'unknown')
    RETURNING m.tenant_id, m.message_id
), purged AS (
    SELECT * FROM made UNION ALL SELECT * FROM changed
)
INSERT INTO message_events (tenant_id, message_id, event, detail)
SELECT tenant_id, message_id, %(event)s, %(detail)s::jsonb FROM purged
"""

_RECENT = """
SELECT person::text, EXTRACT(epoch FROM erased_at)::float8 FROM erasures
WHERE erased_at > GREATEST(to_timestamp(%(since)s), now() - make_interval(days => %(days)s))
"""


class ErasureStore:
    """What became of messages of people who were erased. Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def recent(self, since: float) -> list[tuple[str, float]]:
        """Whose content was erased within the last days, and when, in Unix seconds: what may be new after `since`."""
        parameters = {"since": since - OVERLAP_S, "days": REPEATED_WITHIN_DAYS}
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_RECENT, parameters)).fetchall()
        return [(person, erased_at) for person, erased_at in rows]

    async def settle(self, envelope: Envelope) -> bool:
        """Whether nothing is to be done with it: its person was erased since it was accepted, or it was settled before.

        What was erased while it waited is noted as purged, so that it can be accounted for.
        """
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_STANDING, {"rows": as_rows([_row(envelope)])})).fetchone()
            assert row is not None
            is_erased, status, is_seen = row
            if is_erased and envelope.direction is not Direction.STATUS:
                # Twice: a row that was recorded while the first statement ran is seen by the second only.
                for _ in range(2):
                    await taken.execute(_PURGE, _purged(envelope))
        return bool(is_erased) or (bool(is_seen) if status is None else status in SETTLED)


async def erased_among(taken: Connection, envelopes: Sequence[Envelope]) -> frozenset[tuple[str, str]]:
    """Those (tenant, message) whose person was erased since they were accepted."""
    return await _among(taken, _ERASED, envelopes)


async def closed_among(taken: Connection, envelopes: Sequence[Envelope]) -> frozenset[tuple[str, str]]:
    """Those (tenant, message) of which nothing may be written down again: they were erased, or have been let go."""
    return await _among(taken, _CLOSED, envelopes)


async def _among(taken: Connection, query: str, envelopes: Sequence[Envelope]) -> frozenset[tuple[str, str]]:
    if not envelopes:
        return frozenset()
    rows = as_rows([_row(envelope) for envelope in envelopes])
    found = await (await taken.execute(query, {"rows": rows})).fetchall()
    return frozenset((tenant_id, message_id) for tenant_id, message_id in found)


def _row(envelope: Envelope) -> dict[str, object]:
    return {
        "tenant_id": envelope.tenant_id,
        "message_id": envelope.message_id,
        "person": person_key(envelope.tenant_id, envelope.conversation),
        "accepted": envelope.accepted_at,
    }


def _purged(envelope: Envelope) -> dict[str, object]:
    return {
        "tenant": envelope.tenant_id,
        "message": envelope.message_id,
        "direction": envelope.direction.value,
        "kind": storable(envelope.kind),
        "accepted": envelope.accepted_at,
        "event": ERASED_EVENT,
        "detail": as_json({"was": "waiting"}),
    }
