"""The spool: envelopes that wait in Postgres and come before anything newer of their conversation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from operator import itemgetter
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
SELECT envelope, due_at <= now() FROM intake_spool
WHERE tenant_id = %(tenant)s AND direction = %(direction)s AND wa_id = %(wa_id)s
ORDER BY accepted_at, id LIMIT %(limit)s
"""

_POSTPONE = """
UPDATE intake_spool p SET due_at = now() + make_interval(secs => %(wait_s)s)
FROM unnest(%(tenant)s::text[], %(message)s::uuid[]) AS k(tenant_id, message_id)
WHERE p.tenant_id = k.tenant_id AND p.message_id = k.message_id
"""

# A message that was replayed since it came to its end is there anew.
_REMOVE = """
DELETE FROM intake_spool p
USING unnest(%(tenant)s::text[], %(message)s::uuid[], %(accepted)s::float8[]) AS k(tenant_id, message_id, accepted)
WHERE p.tenant_id = k.tenant_id AND p.message_id = k.message_id AND p.accepted_at <= to_timestamp(k.accepted)
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


async def unspool(taken: Connection, envelopes: Sequence[Envelope]) -> None:
    """Take envelopes out of the spool, as part of the caller's transaction."""
    accepted = [envelope.accepted_at for envelope in envelopes]
    await taken.execute(_REMOVE, {**_keys(envelopes), "accepted": accepted})


class SpoolStore:
    """Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, envelopes: Sequence[Envelope], cause: Cause = "broker_away") -> None:
        """Put envelopes into the spool, in their order."""
        async with connection(self._pool) as taken:
            await append_rows(taken, envelopes, cause)

    async def park(self, envelopes: Sequence[Envelope], wait_s: float) -> None:
        """Put envelopes of a conversation into the spool, not due before `wait_s`; those there already wait as long."""
        async with connection(self._pool) as taken:
            await append_rows(taken, envelopes, "parked", wait_s)
            await taken.execute(_POSTPONE, {**_keys(envelopes), "wait_s": wait_s})

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
        """The first envelopes of a conversation, in order; none while the first is not due."""
        parameters = {
            "tenant": tenant_id,
            "direction": direction.value,
            "wa_id": storable(wa_id),
            "limit": CONVERSATION_LIMIT,
        }
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_OF_CONVERSATION, parameters)).fetchall()
        return [Envelope.from_bytes(bytes(envelope)) for envelope, _ in takewhile(itemgetter(1), rows)]

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        """Keep these no longer: their outcomes are stored."""
        async with connection(self._pool) as taken:
            await unspool(taken, envelopes)


def _keys(envelopes: Sequence[Envelope]) -> dict[str, list[str]]:
    return {"tenant": [each.tenant_id for each in envelopes], "message": [each.message_id for each in envelopes]}
