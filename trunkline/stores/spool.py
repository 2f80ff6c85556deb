"""The spool: envelopes that wait in Postgres and come before anything newer of their conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from trunkline.envelope import Direction, Envelope
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.values import as_rows, storable

Cause = Literal["broker_away", "parked", "replayed"]
# Of one conversation at a time: the rest follows when these are done.
CONVERSATION_LIMIT = 50

# A message that is in the spool already keeps its place.
_APPEND = """
INSERT INTO intake_spool (tenant_id, direction, wa_id, message_id, cause, envelope, accepted_at, due_at)
SELECT a.tenant_id, a.direction, a.wa_id, a.message_id, %(cause)s, e.envelope, to_timestamp(a.accepted),
       now() + make_interval(secs => %(wait_s)s)
FROM json_to_recordset(%(rows)s::json)
     AS a(position int, tenant_id text, direction text, wa_id text, message_id uuid, accepted float8)
JOIN unnest(%(envelopes)s::bytea[]) WITH ORDINALITY AS e(envelope, position) USING (position)
ORDER BY a.position
ON CONFLICT (tenant_id, message_id) DO NOTHING
"""

_LANES = "SELECT DISTINCT tenant_id, direction FROM intake_spool WHERE due_at <= now()"

# A conversation is due when its first row is.
_HEADS = """
SELECT h.tenant_id, h.direction, h.wa_id
FROM unnest(%(tenant)s::text[], %(direction)s::text[]) AS l(tenant_id, direction)
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (wa_id) tenant_id, direction, wa_id, due_at FROM intake_spool
    WHERE tenant_id = l.tenant_id AND direction = l.direction
    ORDER BY wa_id, accepted_at, id
) h
WHERE h.due_at <= now() LIMIT %(limit)s
"""

_OF_CONVERSATION = """
SELECT envelope FROM intake_spool
WHERE tenant_id = %(tenant)s AND direction = %(direction)s AND wa_id = %(wa_id)s
ORDER BY accepted_at, id LIMIT %(limit)s
"""

_REMOVE = """
DELETE FROM intake_spool p USING unnest(%(tenant)s::text[], %(message)s::uuid[]) AS k(tenant_id, message_id)
WHERE p.tenant_id = k.tenant_id AND p.message_id = k.message_id
"""


async def append_rows(taken: Connection, envelopes: Sequence[Envelope], cause: Cause, wait_s: float = 0.0) -> None:
    """Put envelopes into the spool, in their order, as part of the caller's transaction."""
    rows = [
        {
            "position": position,
            "tenant_id": envelope.tenant_id,
            "direction": envelope.direction.value,
            "wa_id": storable(envelope.conversation),
            "message_id": envelope.message_id,
            "accepted": envelope.accepted_at,
        }
        for position, envelope in enumerate(envelopes, start=1)
    ]
    bodies = [envelope.to_bytes() for envelope in envelopes]
    await taken.execute(_APPEND, {"rows": as_rows(rows), "envelopes": bodies, "cause": cause, "wait_s": wait_s})


class SpoolStore:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, envelopes: Sequence[Envelope], cause: Cause, wait_s: float = 0.0) -> None:
        """Put envelopes into the spool, in their order; not due before `wait_s` seconds have passed."""
        async with connection(self._pool) as taken:
            await append_rows(taken, envelopes, cause, wait_s)

    async def lanes(self) -> list[tuple[str, Direction]]:
        """Lanes with something that is due."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_LANES)).fetchall()
        return [(tenant_id, Direction(direction)) for tenant_id, direction in rows]

    async def due(self, lanes: Sequence[tuple[str, Direction]], limit: int) -> list[tuple[str, Direction, str]]:
        """Conversations of these lanes whose first envelope is due: tenant, direction, customer."""
        parameters = {
            "tenant": [tenant_id for tenant_id, _ in lanes],
            "direction": [direction.value for _, direction in lanes],
            "limit": limit,
        }
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_HEADS, parameters)).fetchall()
        return [(tenant_id, Direction(direction), wa_id) for tenant_id, direction, wa_id in rows]

    async def of_conversation(self, tenant_id: str, direction: Direction, wa_id: str) -> list[Envelope]:
        """The first envelopes of a conversation, in order."""
        parameters = {
            "tenant": tenant_id,
            "direction": direction.value,
            "wa_id": storable(wa_id),
            "limit": CONVERSATION_LIMIT,
        }
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_OF_CONVERSATION, parameters)).fetchall()
        return [Envelope.from_bytes(bytes(envelope)) for (envelope,) in rows]

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        """Keep these no longer: their outcomes are stored."""
        keys = {"tenant": [each.tenant_id for each in envelopes], "message": [each.message_id for each in envelopes]}
        async with connection(self._pool) as taken:
            await taken.execute(_REMOVE, keys)
