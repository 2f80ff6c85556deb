"""Conversations in Postgres: opened by a customer's message, closed by idleness."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.grouping import Grouped
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.keys import MAPPING_TTL_S, mapping_by_conversation, mapping_by_wa_id
from trunkline.stores.values import as_rows, storable
from trunkline.tenancy.conversations import RECENT_S, Conversation

GROUP_LIMIT = 500

# Both statements lock in the order (tenant, customer), like every other writer of this table.
_CLOSE_IDLE = """
UPDATE conversation_mappings c SET status = 'closed'
FROM (
    SELECT k.tenant_id, k.conversation_id
    FROM json_to_recordset(%(rows)s::json) AS a(tenant_id text, wa_id text, at float8, hours int)
    JOIN conversation_mappings k ON k.tenant_id = a.tenant_id AND k.wa_id = a.wa_id AND k.status = 'open'
    WHERE k.last_activity_at < to_timestamp(a.at) - make_interval(hours => a.hours)
    ORDER BY k.tenant_id, k.wa_id FOR UPDATE OF k
) idle
WHERE c.tenant_id = idle.tenant_id AND c.conversation_id = idle.conversation_id
"""

_TOUCH = """
INSERT INTO conversation_mappings AS c (tenant_id, wa_id, created_at, last_activity_at, last_inbound_at)
SELECT tenant_id, wa_id, to_timestamp(min(at)), to_timestamp(max(at)), to_timestamp(max(inbound_at))
FROM json_to_recordset(%(rows)s::json) AS a(tenant_id text, wa_id text, at float8, inbound_at float8)
GROUP BY tenant_id, wa_id ORDER BY tenant_id, wa_id
ON CONFLICT (tenant_id, wa_id) WHERE status = 'open' DO UPDATE
SET last_activity_at = GREATEST(c.last_activity_at, excluded.last_activity_at),
    last_inbound_at = GREATEST(c.last_inbound_at, excluded.last_inbound_at)
RETURNING c.tenant_id, c.wa_id, c.conversation_id::text, EXTRACT(epoch FROM c.last_activity_at)::float8 AS active_at,
          c.last_inbound_at
"""

# With what limits and windows need to know of the person. Sends of more than the latest few conversations lie too far
# back to count. What was touched is not seen by the look-ups beside it: they see the time before.
_OPEN = f"""
WITH touched AS ({_TOUCH})
SELECT t.tenant_id, t.wa_id, t.conversation_id, t.active_at,
       EXTRACT(epoch FROM GREATEST(t.last_inbound_at, (
           SELECT max(k.last_inbound_at) FROM conversation_mappings k
           WHERE k.tenant_id = t.tenant_id AND k.wa_id = t.wa_id
       )))::float8,
       ARRAY(
           SELECT EXTRACT(epoch FROM m.claimed_at)::float8
           FROM (
               SELECT k.conversation_id FROM conversation_mappings k
               WHERE k.tenant_id = t.tenant_id AND k.wa_id = t.wa_id ORDER BY k.created_at DESC LIMIT 3
           ) latest
           JOIN messages m ON m.tenant_id = t.tenant_id AND m.conversation_id = latest.conversation_id
           -- A message that became several was sent as often.
           CROSS JOIN generate_series(1, GREATEST(1, m.parts_done))
           WHERE m.direction = 'outbound' AND m.claimed_at > now() - make_interval(secs => %(recent)s)
       )
FROM touched t
"""

_LAST_INBOUND = """
SELECT a.tenant_id, a.wa_id, EXTRACT(epoch FROM (
           SELECT max(k.last_inbound_at) FROM conversation_mappings k
           WHERE k.tenant_id = a.tenant_id AND k.wa_id = a.wa_id
       ))::float8
FROM json_to_recordset(%(rows)s::json) AS a(tenant_id text, wa_id text)
"""


@dataclass(frozen=True, slots=True)
class Activity:
    """A customer was heard of, or written to, at `at`; `inbound_at` is the time of the customer's own message."""

    tenant_id: str
    wa_id: str
    at: float
    window_hours: int
    inbound_at: float | None = None


async def touch_conversations(taken: Connection, activities: Sequence[Activity]) -> dict[tuple[str, str], Conversation]:
    """Note activity, closing and opening conversations as their windows say; answers by (tenant, customer).

    The answers tell nothing of the person's other conversations.
    """
    rows = _rows(activities)
    await taken.execute(_CLOSE_IDLE, {"rows": rows})
    found = await (await taken.execute(_TOUCH, {"rows": rows})).fetchall()
    return {(tenant, wa_id): Conversation(conversation, wa_id, at) for tenant, wa_id, conversation, at, _ in found}


def _rows(activities: Sequence[Activity]) -> str:
    return as_rows(
        [
            {
                "tenant_id": activity.tenant_id,
                "wa_id": storable(activity.wa_id),
                "at": activity.at,
                "hours": activity.window_hours,
                "inbound_at": activity.inbound_at,
            }
            for activity in activities
        ]
    )


class ConversationStore:
    """Opens conversations for the tenants of one process, many in one statement."""

    def __init__(self, pool: Pool, redis: Redis) -> None:
        self._pool = pool
        self._redis = redis
        self._caching: set[asyncio.Task[None]] = set()
        self._open: Grouped[Activity, Conversation] = Grouped(self._open_group, GROUP_LIMIT)
        self._last_inbound: Grouped[tuple[str, str], float | None] = Grouped(self._look_up_group, GROUP_LIMIT)

    async def open(
        self, tenant_id: str, wa_id: str, at: float, window_hours: int, inbound_at: float | None = None
    ) -> Conversation:
        """The customer's open conversation, a new one if the last was idle longer than the window.

        `inbound_at` is the customer's own time of a message of theirs. Raises StoreUnavailable.
        """
        return await self._open(Activity(tenant_id, wa_id, at, window_hours, inbound_at))

    async def last_inbound(self, tenant_id: str, wa_id: str) -> float | None:
        """The time of the customer's latest message in any conversation; raises StoreUnavailable."""
        return await self._last_inbound((tenant_id, wa_id))

    async def _open_group(self, activities: Sequence[Activity]) -> list[Conversation | Exception]:
        rows = _rows(activities)
        async with connection(self._pool) as taken:
            await taken.execute(_CLOSE_IDLE, {"rows": rows})
            opened = await (await taken.execute(_OPEN, {"rows": rows, "recent": RECENT_S})).fetchall()
        found = {
            (tenant, wa_id): Conversation(conversation, wa_id, at, inbound_at, tuple(sends))
            for tenant, wa_id, conversation, at, inbound_at, sends in opened
        }
        caching = asyncio.create_task(self._cache(found))
        self._caching.add(caching)
        caching.add_done_callback(self._caching.discard)
        return [found[activity.tenant_id, storable(activity.wa_id)] for activity in activities]

    async def _look_up_group(self, persons: Sequence[tuple[str, str]]) -> list[float | Exception | None]:
        asked = [(tenant_id, storable(wa_id)) for tenant_id, wa_id in persons]
        rows = as_rows([{"tenant_id": tenant_id, "wa_id": wa_id} for tenant_id, wa_id in dict.fromkeys(asked)])
        async with connection(self._pool) as taken:
            found = await (await taken.execute(_LAST_INBOUND, {"rows": rows})).fetchall()
        by_person = {(tenant, wa_id): at for tenant, wa_id, at in found}
        return [by_person[person] for person in asked]

    async def _cache(self, found: dict[tuple[str, str], Conversation]) -> None:
        """Leave the mappings where operators and other processes look them up; losing them harms nothing."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for (tenant_id, wa_id), conversation in found.items():
                    value = orjson.dumps(
                        {"tenantId": tenant_id, "waId": wa_id, "conversationId": conversation.conversation_id}
                    )
                    pipeline.set(mapping_by_wa_id(tenant_id, wa_id), value, ex=MAPPING_TTL_S)
                    pipeline.set(
                        mapping_by_conversation(tenant_id, conversation.conversation_id), value, ex=MAPPING_TTL_S
                    )
                await pipeline.execute()
        except (RedisError, OSError):
            return
