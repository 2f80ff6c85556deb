"""Dead letters in Postgres: found again, oldest first, and put back on their way in one transaction."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from psycopg.rows import class_row

from trunkline.envelope import Direction, Envelope
from trunkline.stores.audit import append
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.marks import HAS_MADE_ITS_MARK, is_row_of
from trunkline.stores.message_rows import row_of
from trunkline.stores.spool import append_rows
from trunkline.stores.values import as_json, as_rows, storable
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.tenancy.history import LetterFilter, Revival, StoredLetter

# Times are stored in microseconds, and a float of today's size is no finer than a quarter of one.
STEP_S = 1e-5

_FROM = f"""
FROM dead_letters d
LEFT JOIN seen s ON s.tenant_id = d.tenant_id AND s.key_hash = d.message_id
LEFT JOIN messages m ON {is_row_of("m", "s")}
LEFT JOIN tenants t ON t.tenant_id = d.tenant_id
WHERE (%(tenant)s::text IS NULL OR d.tenant_id = %(tenant)s)
"""

_LETTERS = f"""
SELECT d.id, d.message_id::text, d.tenant_id, d.reason, d.envelope AS body,
       d.ordered_at, m.status AS state,
       d.tenant_id IS NULL OR COALESCE(t.status, 'deleted') <> 'deleted' AS tenant_exists
{_FROM} AND d.id = ANY(%(ids)s) ORDER BY d.ordered_at, d.id
"""

# Those whose message was delivered, whose content or whose tenant has gone, are left out: they would be in the way of
# the others.
_OLDEST = f"""
SELECT d.ordered_at, d.id
{_FROM}
  AND (%(reason)s::text IS NULL OR d.reason = %(reason)s)
  AND (%(direction)s::text IS NULL OR d.direction = %(direction)s)
  AND (%(ids)s::bigint[] IS NULL OR d.id = ANY(%(ids)s))
  AND (%(after_id)s::bigint IS NULL OR (d.ordered_at, d.id) > (%(after)s, %(after_id)s))
  AND (m.status IS NULL OR m.status = 'dead') AND (d.tenant_id IS NULL OR t.status <> 'deleted')
  AND d.envelope <> ''
ORDER BY d.ordered_at, d.id LIMIT %(limit)s
"""

# Nothing is waited for: a letter that somebody else replays, or whose message is being settled, is passed over.
_TAKE = f"""
WITH letters AS MATERIALIZED (
    SELECT id, tenant_id, message_id FROM dead_letters WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE SKIP LOCKED
), marked AS MATERIALIZED (
    SELECT l.id, s.* FROM letters l JOIN seen s ON s.tenant_id = l.tenant_id AND s.key_hash = l.message_id
), held AS MATERIALIZED (
    SELECT k.id, m.status
    FROM marked k
    JOIN messages m ON {is_row_of("m", "k")}
    FOR UPDATE OF m SKIP LOCKED
)
SELECT l.id FROM letters l LEFT JOIN held h USING (id)
WHERE h.status = 'dead'
   OR h.id IS NULL AND NOT EXISTS (
       SELECT FROM marked k
       JOIN messages m ON {is_row_of("m", "k")}
       WHERE k.id = l.id
   )
"""

# When the last of what waits in these conversations was accepted.
_LATEST = """
SELECT EXTRACT(epoch FROM max(p.accepted_at))::float8
FROM json_to_recordset(%(rows)s::json) AS k(tenant_id text, direction text, wa_id text)
JOIN intake_spool p USING (tenant_id, direction, wa_id)
"""

# Its place in the spool is a new one, and readers that ended over it say nothing about the next.
_UNSPOOL = """
DELETE FROM intake_spool p USING unnest(%(tenant)s::text[], %(message)s::uuid[]) AS k(tenant_id, message_id)
WHERE p.tenant_id = k.tenant_id AND p.message_id = k.message_id
"""
_FORGET_TAKE_OVERS = """
DELETE FROM take_overs o USING unnest(%(tenant)s::text[], %(message)s::uuid[]) AS k(tenant_id, message_id)
WHERE o.tenant_id = k.tenant_id AND o.message_id = k.message_id
"""

# As new, but for what the far side knows of it: its parts that were accepted, and its receipt. One whose row has gone
# gets another, since its claim would take it for the repetition of a message that was delivered; and the mark of that
# one, so that it is found.
_REVIVE = f"""
WITH a AS MATERIALIZED (
    SELECT r.*, s.seen_at, m.status
    FROM json_to_recordset(%(rows)s::json)
         AS r(tenant_id text, message_id uuid, wa_id text, direction text, kind text, wamid text, genesys_id text,
              accepted float8)
    LEFT JOIN seen s ON s.tenant_id = r.tenant_id AND s.key_hash = r.message_id
    LEFT JOIN messages m ON {is_row_of("m", "s")}
), revived AS (
    UPDATE messages m
    SET status = 'waiting', attempts = 0, unknowns = 0, accepted_at = to_timestamp(a.accepted), owner = NULL,
        claim_until = NULL, updated_at = now()
    FROM a
    WHERE {is_row_of("m", "a", "message_id")} AND m.status = 'dead'
), moved AS (
    UPDATE seen s SET seen_at = now() FROM a
    WHERE a.status IS NULL AND s.tenant_id = a.tenant_id AND s.key_hash = a.message_id AND s.seen_at = a.seen_at
    RETURNING s.tenant_id, s.key_hash
), added AS (
    INSERT INTO seen (tenant_id, key_hash) SELECT tenant_id, message_id FROM a WHERE seen_at IS NULL
    ORDER BY tenant_id, message_id ON CONFLICT DO NOTHING RETURNING tenant_id, key_hash
), marked AS (
    SELECT * FROM moved UNION ALL SELECT * FROM added
)
INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, wamid, genesys_id, accepted_at)
SELECT tenant_id, message_id, wa_id, direction, kind, 'waiting', wamid, genesys_id, to_timestamp(accepted)
FROM a WHERE {HAS_MADE_ITS_MARK}
ON CONFLICT (tenant_id, message_id, created_at) DO NOTHING
"""

# A status has a row only once it was claimed, and may turn out to have nothing left to tell: it is as if never seen.
_FORGET_STATUSES = f"""
WITH k AS MATERIALIZED (
    SELECT s.* FROM unnest(%(tenant)s::text[], %(message)s::uuid[]) AS a(tenant_id, message_id)
    JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
), forgotten AS (
    DELETE FROM messages m USING k
    WHERE {is_row_of("m", "k")}
)
DELETE FROM seen s USING k WHERE s.tenant_id = k.tenant_id AND s.key_hash = k.key_hash
"""

_TELL = """
INSERT INTO message_events (tenant_id, message_id, event, detail)
SELECT tenant_id, message_id, 'replayed', detail
FROM unnest(%(tenant)s::text[], %(message)s::uuid[], %(detail)s::jsonb[]) AS a(tenant_id, message_id, detail)
"""


class DeadLetterStore:
    """Every method raises StoreUnavailable. `clock` gives Unix seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock

    async def load(self, tenant_id: str | None, ids: Sequence[int]) -> list[StoredLetter]:
        """The dead letters of these ids, oldest first; without those that are not of the tenant that is named."""
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(StoredLetter)) as cursor:
            return await (await cursor.execute(_LETTERS, {"tenant": tenant_id, "ids": list(ids)})).fetchall()

    async def oldest(
        self, wanted: LetterFilter, limit: int, after: tuple[datetime, int] | None = None
    ) -> list[tuple[datetime, int]]:
        """Places (`ordered_at` and id) of dead letters that may be replayed, oldest first, behind the place `after`."""
        parameters = {
            "tenant": wanted.tenant_id,
            "reason": wanted.reason,
            "direction": wanted.direction,
            "ids": list(wanted.ids) if wanted.ids is not None else None,
            "after": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        }
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_OLDEST, parameters)).fetchall()
        return [(ordered_at, letter_id) for ordered_at, letter_id in rows]

    async def revive(self, revivals: Sequence[Revival], by: Actor) -> list[Revival]:
        """Put the envelopes of dead letters into the spool, in their order, as if accepted now; `by` is who asked.

        Answers those that were: of two who replay a letter at once, one does. The audit log notes them.
        """
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_TAKE, {"ids": [each.letter_id for each in revivals]})).fetchall()
            free = {letter_id for (letter_id,) in rows}
            revived = await self._accepted_now(taken, [each for each in revivals if each.letter_id in free])
            await _revive(taken, [envelope for each in revived if not each.rerouted for envelope in each.envelopes])
            await _tell(taken, revived, by.key_id)
            envelopes = [envelope for each in revived for envelope in each.envelopes]
            await taken.execute(_UNSPOOL, _keys(envelopes))
            await append_rows(taken, envelopes, "replayed")
            await taken.execute("DELETE FROM dead_letters WHERE id = ANY(%s)", ([each.letter_id for each in revived],))
            await _note(taken, revived, by)
        return revived

    async def _accepted_now(self, taken: Connection, revivals: Sequence[Revival]) -> list[Revival]:
        """They come after what was accepted until now and, of their conversations, waits in the spool."""
        conversations = {
            (envelope.tenant_id, envelope.direction.value, storable(envelope.conversation))
            for each in revivals
            for envelope in each.envelopes
        }
        rows = [{"tenant_id": t, "direction": d, "wa_id": w} for t, d, w in sorted(conversations)]
        row = await (await taken.execute(_LATEST, {"rows": as_rows(rows)})).fetchone()
        accepted_at = max(self._clock(), (row[0] if row and row[0] else 0.0) + STEP_S)
        revived: list[Revival] = []
        for each in revivals:
            envelopes: list[Envelope] = []
            for envelope in each.envelopes:
                envelopes.append(dataclasses.replace(envelope, accepted_at=accepted_at))
                accepted_at += STEP_S
            revived.append(dataclasses.replace(each, envelopes=envelopes))
        return revived


async def _revive(taken: Connection, envelopes: Sequence[Envelope]) -> None:
    await taken.execute(_FORGET_TAKE_OVERS, _keys(envelopes))
    messages = [envelope for envelope in envelopes if envelope.direction is not Direction.STATUS]
    await taken.execute(_REVIVE, {"rows": as_rows([row_of(envelope) for envelope in messages])})
    statuses = [envelope for envelope in envelopes if envelope.direction is Direction.STATUS]
    await taken.execute(_FORGET_STATUSES, _keys(statuses))


async def _tell(taken: Connection, revivals: Sequence[Revival], by: str) -> None:
    told = [(envelope, each) for each in revivals for envelope in each.envelopes]
    details = [as_json({"by": by, "reason": each.reason, "dead_letter": str(each.letter_id)}) for _, each in told]
    await taken.execute(_TELL, {**_keys([envelope for envelope, _ in told]), "detail": details})


async def _note(taken: Connection, revivals: Sequence[Revival], by: Actor) -> None:
    """An entry for each tenant: what belonged to none when it was given up is the tenant's now."""
    replayed: dict[str | None, list[Revival]] = {}
    for each in revivals:
        replayed.setdefault(each.envelopes[0].tenant_id if each.envelopes else None, []).append(each)
    for tenant_id, theirs in replayed.items():
        ids = [str(each.letter_id) for each in theirs]
        reasons = dict(Counter(each.reason for each in theirs))
        after = {"deadLetters": ids, "reasons": reasons}
        subject = ids[0] if len(ids) == 1 else f"{len(ids)} dead letters"
        await append(taken, AuditRecord(by, "dead_letters.replayed", tenant_id, subject, after=after))


def _keys(envelopes: Sequence[Envelope]) -> dict[str, list[str]]:
    return {"tenant": [each.tenant_id for each in envelopes], "message": [each.message_id for each in envelopes]}
