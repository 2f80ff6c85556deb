"""The audit log in Postgres: added to in the transaction of what it tells of, read, followed, and cut by retention."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row

from trunkline.stores.database import Connection, Pool, connection, conninfo, translating
from trunkline.stores.values import storable
from trunkline.tenancy.audit import (
    Actor,
    AuditEntry,
    AuditRecord,
    ChainLink,
    ChainPage,
    Place,
    Verified,
    content_hash,
    follow,
    link,
)

# The lock of the head lines those up who append, until their transactions end. jsonb is hashed as Postgres writes it,
# since it may order and space an object otherwise than it was given.
_HEAD = """
SELECT last_id, last_hash, clock_timestamp() AS at, %(before)s::jsonb::text AS before, %(after)s::jsonb::text AS after
FROM audit_head FOR UPDATE
"""

_INSERT = """
WITH head AS (
    UPDATE audit_head SET last_id = %(id)s, last_hash = %(hash)s
)
INSERT INTO audit_log (id, at, key_id, role, address, action, tenant_id, subject, before, after, content_hash,
                       previous_hash, hash)
VALUES (%(id)s, %(at)s, %(key_id)s, %(role)s, %(address)s, %(action)s, %(tenant_id)s, %(subject)s, %(before)s::jsonb,
        %(after)s::jsonb, %(content_hash)s, %(previous_hash)s, %(hash)s)
"""

_ENTRIES = """
SELECT id, at, key_id, role, address, action, tenant_id, subject, before, after, hash FROM audit_log
WHERE (%(older_than)s::bigint IS NULL OR id < %(older_than)s)
  AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
ORDER BY id DESC LIMIT %(limit)s
"""

# An entry that retention removed has left its content's hash, which is all that is needed to go on behind it.
_CHAIN = """
SELECT id, at, key_id, role, address, action, tenant_id, subject, before::text, after::text, content_hash,
       previous_hash, hash
FROM audit_log WHERE id > %(after)s
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, content_hash, NULL, NULL
FROM audit_removed WHERE id > %(after)s
ORDER BY id LIMIT %(limit)s
"""

# Not with IS NOT DISTINCT FROM, which no index serves.
_EXPIRED = """
SELECT id, content_hash FROM audit_log
WHERE (tenant_id = %(tenant)s::text OR %(tenant)s::text IS NULL AND tenant_id IS NULL) AND at < %(before)s
ORDER BY id LIMIT %(limit)s
"""
_NOTE_REMOVED = """
INSERT INTO audit_removed (id, content_hash) SELECT * FROM unnest(%(ids)s::bigint[], %(hashes)s::bytea[])
"""

_REMOVED = "SELECT id, content_hash FROM audit_removed WHERE id > %s ORDER BY id LIMIT %s"
_MOVE_ANCHOR = "UPDATE audit_head SET anchor_id = %s, anchor_hash = %s"
_FORGET_REMOVED = "DELETE FROM audit_removed WHERE id <= %s"


async def append(taken: Connection, record: AuditRecord) -> None:
    """Note this within the caller's transaction, as its last statement: whoever appends meanwhile waits for its end."""
    told = _plain(record)
    shown = {"before": _as_json(record.before), "after": _as_json(record.after)}
    async with taken.cursor(row_factory=dict_row) as cursor:
        head: Any = await (await cursor.execute(_HEAD, shown)).fetchone()
        id = head["last_id"] + 1
        content = content_hash(id, head["at"], told, head["before"], head["after"])
        chained = {
            "content_hash": content,
            "previous_hash": head["last_hash"],
            "hash": link(head["last_hash"], content),
        }
        await cursor.execute(_INSERT, {"id": id, "at": head["at"], **_columns(told), **shown, **chained})


async def append_if_kept(database_url: str, record: AuditRecord) -> None:
    """Note this on a connection of its own, where the database has an audit log; raises StoreUnavailable."""
    async with translating(), await psycopg.AsyncConnection.connect(conninfo(database_url)) as taken:
        row = await (await taken.execute("SELECT to_regclass('audit_log')")).fetchone()
        if row is not None and row[0] is not None:
            await append(taken, record)


class AuditStore:
    """The audit log. Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, record: AuditRecord) -> None:
        """Note what is not changed in Postgres, before it is done."""
        async with connection(self._pool) as taken:
            await append(taken, record)

    async def entries(
        self, limit: int, before: int | None = None, tenant_id: str | None = None, action: str | None = None
    ) -> list[AuditEntry]:
        """A page of entries, newest first, older than the entry `before`; of one tenant, or one action, if given."""
        parameters = {"older_than": before, "tenant": tenant_id, "action": action, "limit": limit}
        async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            rows = await (await cursor.execute(_ENTRIES, parameters)).fetchall()
        return [AuditEntry(row["id"], row["at"], _record(row), row["hash"]) for row in rows]

    async def verify(self, limit: int, after: Place | None = None) -> Verified:
        """Check the next entries of the chain, at most `limit`, behind a place that was reached; or from its start.

        Entries that retention removes meanwhile, and those that are added, do not disturb it.
        """
        async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            # The head and the entries as of one moment.
            await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            head: Any = await (await cursor.execute("SELECT * FROM audit_head")).fetchone()
            anchor = Place(head["anchor_id"], head["anchor_hash"])
            start = anchor if after is None or after.id < anchor.id else after
            rows = await (await cursor.execute(_CHAIN, {"after": start.id, "limit": limit})).fetchall()
        page = ChainPage(anchor, start, Place(head["last_id"], head["last_hash"]), len(rows) < limit)
        return follow(page, [_link(row) for row in rows])

    async def prune(self, tenant_id: str | None, before: datetime, batch: int) -> int:
        """Remove a tenant's entries from before that time, or with None those of no tenant: at most `batch`, how many.

        The chain can be followed across them as before. Whoever calls notes that it was done.
        """
        async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            # Two that prune at once would remove the same ones.
            await cursor.execute("SELECT FROM audit_head FOR UPDATE")
            expired = {"tenant": tenant_id, "before": before, "limit": batch}
            rows = await (await cursor.execute(_EXPIRED, expired)).fetchall()
            ids = [row["id"] for row in rows]
            await cursor.execute(_NOTE_REMOVED, {"ids": ids, "hashes": [row["content_hash"] for row in rows]})
            await cursor.execute("DELETE FROM audit_log WHERE id = ANY(%s)", (ids,))
            await _move_anchor(taken, batch)
        return len(rows)


async def _move_anchor(taken: Connection, batch: int) -> None:
    """Let the chain begin behind the removed entries that nothing older stays before; at most a batch of them."""
    async with taken.cursor(row_factory=dict_row) as cursor:
        head: Any = await (await cursor.execute("SELECT anchor_id, anchor_hash FROM audit_head")).fetchone()
        anchor = Place(head["anchor_id"], head["anchor_hash"])
        for row in await (await cursor.execute(_REMOVED, (anchor.id, batch))).fetchall():
            if row["id"] != anchor.id + 1:
                break
            anchor = Place(row["id"], link(anchor.hash, row["content_hash"]))
        if anchor.id > head["anchor_id"]:
            await cursor.execute(_MOVE_ANCHOR, (anchor.id, anchor.hash))
            await cursor.execute(_FORGET_REMOVED, (anchor.id,))


def _as_json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(_storable(value), default=str).decode()


def _storable(value: Any) -> Any:
    """The value without what jsonb refuses, however deep."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(str(name)): _storable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_storable(inner) for inner in value]
    return value


def _plain(record: AuditRecord) -> AuditRecord:
    """The record without `before` and `after`, as its columns can hold it."""
    actor = Actor(storable(record.actor.key_id), record.actor.role, storable(record.actor.address))
    return AuditRecord(actor, record.action, record.tenant_id, storable(record.subject))


def _columns(record: AuditRecord) -> dict[str, str | None]:
    return {
        "key_id": record.actor.key_id,
        "role": record.actor.role,
        "address": record.actor.address,
        "action": record.action,
        "tenant_id": record.tenant_id,
        "subject": record.subject,
    }


def _record(row: dict[str, Any]) -> AuditRecord:
    actor = Actor(row["key_id"], row["role"], row["address"])
    return AuditRecord(actor, row["action"], row["tenant_id"], row["subject"], row["before"], row["after"])


def _link(row: dict[str, Any]) -> ChainLink:
    if row["hash"] is None:
        return ChainLink(row["id"], row["content_hash"])
    record = _record({**row, "before": None, "after": None})
    actual = content_hash(row["id"], row["at"], record, row["before"], row["after"])
    return ChainLink(row["id"], row["content_hash"], actual, row["previous_hash"], row["hash"])
