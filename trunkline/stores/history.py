"""Conversations, messages and dead letters, read for people: what the admin API shows. Writes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from psycopg.rows import class_row

from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.marks import is_row_of
from trunkline.tenancy.history import Conversation, DeadLetter, Event, Message, MessageFacts, Spooled, Waiting

Row = TypeVar("Row")

# The customer's latest message counts whatever conversation it was in: WhatsApp's window is the person's.
_CONVERSATION = """
SELECT tenant_id, conversation_id::text, wa_id, genesys_conversation_id, status, created_at, last_activity_at,
       (SELECT max(p.last_inbound_at) FROM conversation_mappings p
        WHERE p.tenant_id = c.tenant_id AND p.wa_id = c.wa_id) AS last_inbound_at
FROM conversation_mappings c
WHERE tenant_id = %(tenant)s
"""

_MESSAGE_COLUMNS = """
m.tenant_id, m.message_id::text, m.conversation_id::text, m.direction, m.kind, m.status, m.wamid, m.genesys_id, m.text,
m.attempts, m.receipt, m.accepted_at, m.created_at, m.updated_at, m.claim_until, m.wa_id
"""

# Rows of one transaction share their created_at: the time of acceptance, then the id, order those.
_MESSAGES = f"""
SELECT {_MESSAGE_COLUMNS} FROM messages m
WHERE m.tenant_id = %(tenant)s AND m.conversation_id = %(conversation)s AND m.direction <> 'status'
  AND (%(created)s::timestamptz IS NULL
       OR (m.created_at, m.accepted_at, m.message_id) < (%(created)s, %(accepted)s, %(message)s))
ORDER BY m.created_at DESC, m.accepted_at DESC, m.message_id DESC LIMIT %(limit)s
"""

_TENANTS = """
SELECT %(tenant)s::text AS tenant_id WHERE %(tenant)s::text IS NOT NULL
UNION ALL SELECT tenant_id FROM tenants WHERE %(tenant)s::text IS NULL
"""

# The keys begin with the tenant: without one, our own id is looked for under each. A status shares its message's wamid,
# and the message is what people ask for.
_MESSAGE = f"""
SELECT {_MESSAGE_COLUMNS}
FROM (
    SELECT n.* FROM ({_TENANTS}) t CROSS JOIN LATERAL (
        SELECT * FROM seen WHERE tenant_id = t.tenant_id AND key_hash = %(uuid)s OFFSET 0
    ) s JOIN messages n ON {is_row_of("n", "s")} WHERE %(uuid)s::uuid IS NOT NULL
    UNION ALL
    SELECT * FROM messages WHERE wamid = %(id)s AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
    UNION ALL
    SELECT * FROM messages WHERE genesys_id = %(id)s AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
    UNION ALL
    SELECT n.* FROM message_parts p JOIN messages n USING (tenant_id, message_id)
    WHERE p.wamid = %(id)s AND (%(tenant)s::text IS NULL OR p.tenant_id = %(tenant)s)
) m
ORDER BY (m.message_id = %(uuid)s) IS TRUE DESC, (m.direction = 'status'), m.created_at DESC LIMIT 1
"""

_MESSAGE_OF = f"SELECT {_MESSAGE_COLUMNS} FROM messages m WHERE m.tenant_id = %s AND m.message_id = %s"

_EVENTS = """
SELECT at, event, attempt_id::text, detail FROM message_events
WHERE tenant_id = %s AND message_id = %s ORDER BY at
"""

_DEAD_LETTER_COLUMNS = """
id, message_id::text, tenant_id, direction, reason, answer, attempts, wamid, genesys_id, created_at, last_attempt_at,
envelope <> '' AS has_content
"""

_DEAD_LETTER_OF = f"""
SELECT {_DEAD_LETTER_COLUMNS} FROM dead_letters WHERE COALESCE(tenant_id, '') = %s AND message_id = %s
"""

_DEAD_LETTER = f"""
SELECT {_DEAD_LETTER_COLUMNS} FROM dead_letters
WHERE (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
  AND (message_id = %(uuid)s OR wamid = %(id)s OR genesys_id = %(id)s)
ORDER BY created_at DESC LIMIT 1
"""

_LETTER = f"""
SELECT {_DEAD_LETTER_COLUMNS} FROM dead_letters
WHERE id = %(id)s AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
"""

_SPOOLED_COLUMNS = "tenant_id, message_id::text, direction, cause, accepted_at, spooled_at, due_at"
_SPOOLED_OF = f"SELECT {_SPOOLED_COLUMNS} FROM intake_spool WHERE tenant_id = %s AND message_id = %s"

# What has no row of its own until it is claimed, a status for one.
_SPOOLED = f"""
SELECT {_SPOOLED_COLUMNS}
FROM (
    SELECT p.* FROM ({_TENANTS}) t CROSS JOIN LATERAL (
        SELECT * FROM intake_spool WHERE tenant_id = t.tenant_id AND message_id = %(uuid)s
    ) p WHERE %(uuid)s::uuid IS NOT NULL
) s LIMIT 1
"""

_SPOOLED_COUNT = "SELECT count(*) FROM intake_spool WHERE tenant_id = %s"
_REASONS = "SELECT reason, count(*) FROM dead_letters WHERE tenant_id = %s GROUP BY reason ORDER BY reason"

_DEAD_LETTERS = f"""
SELECT {_DEAD_LETTER_COLUMNS} FROM dead_letters
WHERE (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(direction)s::text IS NULL OR direction = %(direction)s)
  AND (%(before)s::bigint IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""


class History:
    """What happened to conversations and messages. A tenant of None means every tenant's, and what belongs to none."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def conversation_with(self, tenant_id: str, wa_id: str) -> Conversation | None:
        """The open conversation with a person, else the latest closed one."""
        query = f"{_CONVERSATION} AND wa_id = %(wa_id)s ORDER BY (status = 'open') DESC, created_at DESC LIMIT 1"
        return await self._conversation(query, {"tenant": tenant_id, "wa_id": wa_id})

    async def conversation(self, tenant_id: str, conversation_id: UUID) -> Conversation | None:
        """The conversation of this id."""
        query = f"{_CONVERSATION} AND conversation_id = %(conversation)s"
        return await self._conversation(query, {"tenant": tenant_id, "conversation": conversation_id})

    async def open_conversations(self, tenant_id: str) -> int:
        """How many conversations of the tenant are open."""
        query = "SELECT count(*) FROM conversation_mappings WHERE tenant_id = %s AND status = 'open'"
        async with connection(self._pool) as taken:
            row = await (await taken.execute(query, (tenant_id,))).fetchone()
        return int(row[0]) if row else 0

    async def messages(
        self,
        tenant_id: str,
        conversation_id: UUID,
        limit: int,
        before: tuple[datetime, datetime, UUID] | None = None,
    ) -> list[Message]:
        """A page of a conversation's messages, newest first, older than `before`: created, accepted, message id."""
        created, accepted, message_id = before or (None, None, None)
        parameters = {
            "tenant": tenant_id,
            "conversation": conversation_id,
            "created": created,
            "accepted": accepted,
            "message": message_id,
            "limit": limit,
        }
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(Message)) as cursor:
            return await (await cursor.execute(_MESSAGES, parameters)).fetchall()

    async def waiting(self, tenant_id: str) -> Waiting:
        """What of the tenant lies in the spool and among the dead letters."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_SPOOLED_COUNT, (tenant_id,))).fetchone()
            reasons = await (await taken.execute(_REASONS, (tenant_id,))).fetchall()
        return Waiting(int(row[0]) if row else 0, dict(reasons))

    async def facts(self, tenant_id: str | None, id: str) -> MessageFacts | None:
        """All that is known of a message, by our own id, its wamid or its Genesys id."""
        parameters = {"tenant": tenant_id, "id": id, "uuid": _uuid_or_none(id)}
        async with connection(self._pool) as taken:
            message = await _one(taken, Message, _MESSAGE, parameters)
            if message is None:
                letter = await _one(taken, DeadLetter, _DEAD_LETTER, parameters)
                spooled = await _one(taken, Spooled, _SPOOLED, parameters) if letter is None else None
                owner = letter or spooled
                return await _facts_of(taken, owner.tenant_id, owner.message_id) if owner else None
            return await _facts_of(taken, message.tenant_id, message.message_id)

    async def letter_facts(self, tenant_id: str | None, letter_id: int) -> MessageFacts | None:
        """All that is known of the message of a dead letter."""
        async with connection(self._pool) as taken:
            letter = await _one(taken, DeadLetter, _LETTER, {"tenant": tenant_id, "id": letter_id})
            return await _facts_of(taken, letter.tenant_id, letter.message_id) if letter else None

    async def dead_letters(
        self,
        tenant_id: str | None,
        limit: int,
        reason: str | None = None,
        direction: str | None = None,
        before: int | None = None,
    ) -> list[DeadLetter]:
        """A page of dead letters, newest first, older than the id `before`."""
        parameters = {
            "tenant": tenant_id,
            "reason": reason,
            "direction": direction,
            "before": before,
            "limit": limit,
        }
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(DeadLetter)) as cursor:
            return await (await cursor.execute(_DEAD_LETTERS, parameters)).fetchall()

    async def _conversation(self, query: str, parameters: dict[str, Any]) -> Conversation | None:
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(Conversation)) as cursor:
            return await (await cursor.execute(query, parameters)).fetchone()


async def _facts_of(taken: Connection, tenant_id: str | None, message_id: str) -> MessageFacts | None:
    """None when all of it has gone since it was found."""
    key = (tenant_id or "", message_id)
    async with taken.cursor(row_factory=class_row(Event)) as cursor:
        events = await (await cursor.execute(_EVENTS, key)).fetchall()
    message = await _one(taken, Message, _MESSAGE_OF, key)
    letter = await _one(taken, DeadLetter, _DEAD_LETTER_OF, key)
    spooled = await _one(taken, Spooled, _SPOOLED_OF, key)
    if message is None and letter is None and spooled is None:
        return None
    return MessageFacts(message, letter, await _tenant_status(taken, tenant_id), events, spooled)


async def _one(taken: Connection, kind: type[Row], query: str, parameters: Any) -> Row | None:
    async with taken.cursor(row_factory=class_row(kind)) as cursor:
        return await (await cursor.execute(query, parameters)).fetchone()


async def _tenant_status(taken: Connection, tenant_id: str | None) -> str | None:
    row = await (await taken.execute("SELECT status FROM tenants WHERE tenant_id = %s", (tenant_id,))).fetchone()
    return row[0] if row else None


def _uuid_or_none(id: str) -> UUID | None:
    try:
        return UUID(id)
    except ValueError:
        return None
