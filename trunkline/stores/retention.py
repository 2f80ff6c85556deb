"""What is removed from Postgres once it has been kept for long enough: one statement a kind, a batch at a time.

Nothing here waits for a lock, and nothing that is not settled is touched, unless its tenant is gone for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from trunkline.stores.audit import AuditStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.housekeeping import SEEN_KEPT_DAYS
from trunkline.stores.marks import is_row_of
from trunkline.stores.retention_runs import tally
from trunkline.tenancy.retention import Keeping

# So few that whoever wants one of the rows does not notice.
BATCH = 1000

_SETTLED = "status IN ('delivered', 'failed', 'dead', 'purged')"
# Rows that stay lie before those that go: each batch begins behind the one before.
_BEHIND = "(created_at, {id}) > (%(at)s::timestamptz, %(id)s::uuid)"

_TEXTS = f"""
WITH due AS (
    SELECT tenant_id, message_id, created_at AS seen_at FROM messages
    WHERE tenant_id = %(tenant)s AND created_at < %(before)s AND text IS NOT NULL AND {_SETTLED}
      AND {_BEHIND.format(id="message_id")}
    ORDER BY created_at, message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), gone AS (
    UPDATE messages m SET text = NULL FROM due d
    WHERE {is_row_of("m", "d", "message_id")}
    RETURNING m.created_at, m.message_id
)
SELECT created_at, message_id FROM gone
"""

# The mark goes along, unless its webhook may still be repeated.
_MESSAGES = f"""
WITH due AS (
    SELECT tenant_id, message_id, created_at AS seen_at FROM messages
    WHERE tenant_id = %(tenant)s AND created_at < %(before)s AND accepted_at IS NOT NULL AND (%(over)s OR {_SETTLED})
      AND {_BEHIND.format(id="message_id")}
    ORDER BY created_at, message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM seen s USING due d
    WHERE s.tenant_id = d.tenant_id AND s.key_hash = d.message_id AND s.seen_at = d.seen_at
      AND d.seen_at < now() - make_interval(days => {SEEN_KEPT_DAYS})
), events AS (
    DELETE FROM message_events e USING due d WHERE e.tenant_id = d.tenant_id AND e.message_id = d.message_id
), parts AS (
    DELETE FROM message_parts p USING due d WHERE p.tenant_id = d.tenant_id AND p.message_id = d.message_id
), gone AS (
    DELETE FROM messages m USING due d WHERE {is_row_of("m", "d", "message_id")}
    RETURNING m.created_at, m.message_id
)
SELECT created_at, message_id FROM gone
"""

# Of messages that have no row: what was given up before it was claimed, or replayed.
_EVENTS = """
DELETE FROM message_events WHERE ctid = ANY (ARRAY(
    SELECT e.ctid FROM message_events e
    WHERE e.tenant_id = %(tenant)s AND e.at < %(before)s
      AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = e.tenant_id AND m.message_id = e.message_id)
    ORDER BY e.at LIMIT %(limit)s
))
"""

_CONVERSATIONS = f"""
WITH due AS (
    SELECT tenant_id, conversation_id FROM conversation_mappings c
    WHERE tenant_id = %(tenant)s AND created_at < %(before)s AND last_activity_at < %(before)s
      AND {_BEHIND.format(id="conversation_id")}
      AND NOT EXISTS (SELECT FROM messages m
                      WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.conversation_id)
    ORDER BY created_at, conversation_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM conversation_mappings c USING due d
WHERE c.tenant_id = d.tenant_id AND c.conversation_id = d.conversation_id
RETURNING c.created_at, c.conversation_id, c.wa_id
"""
_ALIASES = """
DELETE FROM aliases a USING unnest(%(wa_ids)s::text[]) AS k(wa_id)
WHERE a.tenant_id = %(tenant)s AND a.identity = k.wa_id
  AND NOT EXISTS (SELECT FROM conversation_mappings c WHERE c.tenant_id = a.tenant_id AND c.wa_id = k.wa_id)
"""

# What belongs to no tenant is found by the same indexes.
_LETTER_CONTENTS = """
UPDATE dead_letters SET envelope = '' WHERE id = ANY (ARRAY(
    SELECT id FROM dead_letters WHERE {owner} AND created_at < %(before)s AND envelope <> ''
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
"""
_LETTERS = """
DELETE FROM dead_letters WHERE id = ANY (ARRAY(
    SELECT id FROM dead_letters WHERE {owner} AND created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
"""

_FILES = """
DELETE FROM customer_files WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM customer_files WHERE tenant_id = %(tenant)s AND created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
"""

# The id stays taken, since entries of the audit log name it.
_REMAINS = (
    "DELETE FROM intake_spool WHERE tenant_id = %(tenant)s",
    "DELETE FROM parked_statuses WHERE tenant_id = %(tenant)s",
    "DELETE FROM media_fetches WHERE tenant_id = %(tenant)s",
    "DELETE FROM aliases WHERE tenant_id = %(tenant)s",
    "DELETE FROM erasures WHERE tenant_id = %(tenant)s",
    "DELETE FROM unfinished_erasures WHERE tenant_id = %(tenant)s",
    "DELETE FROM lanes WHERE tenant_id = %(tenant)s",
    "DELETE FROM tenant_activations WHERE tenant_id = %(tenant)s",
    "DELETE FROM tenant_api_keys WHERE tenant_id = %(tenant)s",
    "UPDATE tenants SET name = '' WHERE tenant_id = %(tenant)s AND status = 'deleted'",
)
_CREDENTIALS = "DELETE FROM tenant_credentials WHERE tenant_id = %(tenant)s"


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which row the next batch begins."""

    at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Batch:
    """How many rows went, and where the next batch begins; None when there is nothing left to remove."""

    removed: int
    next: Place | None = None
    is_last: bool = True


class RetentionStore:
    """Removes a batch of one kind of a tenant's data. Every method raises StoreUnavailable.

    Each batch is counted in its own transaction, until the audit log tells of it.
    """

    def __init__(self, pool: Pool, batch: int = BATCH) -> None:
        self._pool = pool
        self._batch = batch
        self._audit = AuditStore(pool)

    async def remove_texts(self, keeping: Keeping, behind: Place | None) -> Batch:
        """Take the texts from messages that stay."""
        return await self._walk("texts", _TEXTS, keeping, keeping.content_before, behind)

    async def remove_messages(self, keeping: Keeping, behind: Place | None) -> Batch:
        """Remove messages with their events and parts; what webhooks may repeat stays known by its hash."""
        return await self._walk("messages", _MESSAGES, keeping, keeping.metadata_before, behind)

    async def remove_conversations(self, keeping: Keeping, behind: Place | None) -> Batch:
        """Remove conversations without messages, and the aliases of people who have no other."""
        parameters = self._parameters(keeping, keeping.conversations_before, behind)
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_CONVERSATIONS, parameters)).fetchall()
            wa_ids = sorted({wa_id for _, _, wa_id in rows})
            aliases = (await taken.execute(_ALIASES, {**parameters, "wa_ids": wa_ids})).rowcount
            await tally(taken, keeping.tenant_id, "aliases", aliases)
            await tally(taken, keeping.tenant_id, "conversations", len(rows))
        return self._next([(created_at, id) for created_at, id, _ in rows])

    async def remove_events(self, keeping: Keeping, _: Place | None) -> Batch:
        """Remove what was told of messages that have no row."""
        return await self._remove("events", _EVENTS, keeping, keeping.metadata_before)

    async def remove_letter_contents(self, keeping: Keeping, _: Place | None) -> Batch:
        """Take the content from dead letters that stay: they can be looked at, and no longer replayed."""
        return await self._remove("deadLetterContents", _LETTER_CONTENTS, keeping, keeping.content_before)

    async def remove_letters(self, keeping: Keeping, _: Place | None) -> Batch:
        """Remove dead letters."""
        return await self._remove("deadLetters", _LETTERS, keeping, keeping.metadata_before)

    async def remove_files(self, keeping: Keeping, _: Place | None) -> Batch:
        """Remove the records of files; the files themselves go on each node as they reach their age."""
        return await self._remove("fileRecords", _FILES, keeping, keeping.files_before)

    async def remove_audit_entries(self, keeping: Keeping, _: Place | None) -> Batch:
        """Remove entries of the audit log; the chain can be followed across them."""
        removed = await self._audit.prune(keeping.tenant_id, keeping.audit_before, self._batch)
        async with connection(self._pool) as taken:
            await tally(taken, keeping.tenant_id, "auditEntries", removed)
        return Batch(removed, is_last=removed < self._batch)

    async def remove_tenant(self, keeping: Keeping) -> None:
        """Remove what is left of a tenant that was deleted long ago, its credentials and keys included."""
        async with connection(self._pool) as taken:
            for statement in _REMAINS:
                await taken.execute(statement, {"tenant": keeping.tenant_id})
            removed = (await taken.execute(_CREDENTIALS, {"tenant": keeping.tenant_id})).rowcount
            await tally(taken, keeping.tenant_id, "credentials", removed)

    async def _walk(self, what: str, query: str, keeping: Keeping, before: datetime, behind: Place | None) -> Batch:
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(query, self._parameters(keeping, before, behind))).fetchall()
            await tally(taken, keeping.tenant_id, what, len(rows))
        return self._next([(created_at, id) for created_at, id in rows])

    async def _remove(self, what: str, query: str, keeping: Keeping, before: datetime) -> Batch:
        owner = "tenant_id IS NULL" if keeping.tenant_id is None else "tenant_id = %(tenant)s"
        async with connection(self._pool) as taken:
            statement = query.replace("{owner}", owner)
            removed = (await taken.execute(statement, self._parameters(keeping, before, None))).rowcount
            await tally(taken, keeping.tenant_id, what, removed)
        return Batch(removed, is_last=removed < self._batch)

    def _next(self, rows: list[tuple[datetime, UUID]]) -> Batch:
        return Batch(len(rows), Place(*max(rows)) if rows else None, is_last=len(rows) < self._batch)

    def _parameters(self, keeping: Keeping, before: datetime, behind: Place | None) -> dict[str, Any]:
        return {
            "tenant": keeping.tenant_id,
            "before": before,
            "at": behind.at if behind else "-infinity",
            "id": behind.id if behind else UUID(int=0),
            "over": keeping.is_over,
            "limit": self._batch,
        }
