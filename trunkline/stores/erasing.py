"""Removes a person's content from Postgres, place by place, in batches that nobody has to wait for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from trunkline.errors import StoreUnavailable
from trunkline.people import Erasure, masked, person_key
from trunkline.stores.audit import append
from trunkline.stores.database import Pool, connection
from trunkline.stores.erasures import ERASED_EVENT
from trunkline.stores.marks import HAS_MADE_ITS_MARK, is_row_of
from trunkline.tenancy.audit import Actor, AuditRecord

BATCH = 500
# Rows that somebody has locked are passed over and looked at again; locks last for moments.
AGAIN_S = 0.05
FINISHED_WITHIN_S = 10.0

# A person may be known by several addresses, and each of them may lead to others.
_ADDRESSES = """
WITH RECURSIVE known(address) AS (
    SELECT %(address)s::text
    UNION
    SELECT unnest(ARRAY[a.address, a.identity])
    FROM known k JOIN aliases a ON a.tenant_id = %(tenant)s AND (a.address = k.address OR a.identity = k.address)
)
SELECT address FROM known ORDER BY address = %(address)s DESC, address
"""

_NOTE = """
WITH noted AS (
    INSERT INTO erasures AS e (tenant_id, person, erased_at)
    SELECT %(tenant)s, person, statement_timestamp() FROM unnest(%(persons)s::uuid[]) AS p(person)
    ON CONFLICT (tenant_id, person) DO UPDATE SET erased_at = GREATEST(e.erased_at, excluded.erased_at)
)
INSERT INTO unfinished_erasures (tenant_id, addresses, erased_at)
VALUES (%(tenant)s, %(addresses)s, statement_timestamp())
RETURNING erasure_id, EXTRACT(epoch FROM erased_at)::float8
"""

# Whoever began before an erasure was noted may not know of it, and write down what was removed: such transactions are
# waited for, but none of ours lasts for a minute.
_UNFINISHED = """
SELECT u.erasure_id, u.tenant_id, u.addresses, EXTRACT(epoch FROM u.erased_at)::float8
FROM unfinished_erasures u
WHERE u.erased_at < now() - make_interval(secs => %(known_s)s)
  AND (u.erased_at < now() - interval '1 minute'
       OR NOT EXISTS (SELECT FROM pg_stat_activity
                      WHERE datname = current_database() AND backend_type = 'client backend'
                        AND pid <> pg_backend_pid() AND xact_start < u.erased_at + make_interval(secs => %(known_s)s)))
ORDER BY u.erasure_id LIMIT %(limit)s
"""
_FINISH = "DELETE FROM unfinished_erasures WHERE erasure_id = %s"

# What has a row of messages loses it with all that belongs to it; what was not settled keeps a bare one, as purged.
# The statuses of unknown recipients are kept under the message they speak of.
_MESSAGES = f"""
WITH known AS (
    SELECT tenant_id, message_id, created_at AS seen_at, status, wamid FROM messages
    WHERE tenant_id = %(tenant)s AND wa_id = ANY(%(addresses)s) AND wa_id <> ''
      AND LEAST(accepted_at, created_at) <= to_timestamp(%(erased_at)s)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), found AS (
    SELECT tenant_id, message_id, seen_at, status FROM known
    UNION
    (SELECT s.tenant_id, s.message_id, s.created_at, s.status
     FROM (SELECT tenant_id, wamid FROM known
           UNION SELECT p.tenant_id, p.wamid FROM known k JOIN message_parts p USING (tenant_id, message_id)) k
     JOIN messages s ON s.tenant_id = k.tenant_id AND s.wa_id = k.wamid AND s.wa_id <> '')
), purged AS (
    UPDATE messages m
    SET status = 'purged', wa_id = '', conversation_id = NULL, wamid = NULL, genesys_id = NULL, text = NULL,
        receipt = NULL, attempt_id = NULL, owner = NULL, claim_until = NULL, updated_at = now()
    FROM found f
    WHERE {is_row_of("m", "f", "message_id")}
      AND m.status IN ('received', 'waiting', 'sending', 'unknown')
    RETURNING m.tenant_id, m.message_id
), gone AS (
    DELETE FROM messages m USING found f
    WHERE {is_row_of("m", "f", "message_id")}
      AND m.status NOT IN ('received', 'waiting', 'sending', 'unknown')
    RETURNING m.message_id
), events AS (
    DELETE FROM message_events e USING found f
    WHERE e.tenant_id = f.tenant_id AND e.message_id = f.message_id RETURNING e.message_id
), parts AS (
    DELETE FROM message_parts p USING found f WHERE p.tenant_id = f.tenant_id AND p.message_id = f.message_id
), letters AS (
    DELETE FROM dead_letters d USING found f
    WHERE COALESCE(d.tenant_id, '') = f.tenant_id AND d.message_id = f.message_id RETURNING d.id
), told AS (
    INSERT INTO message_events (tenant_id, message_id, event, detail)
    SELECT p.tenant_id, p.message_id, %(event)s, jsonb_build_object('was', f.status)
    FROM purged p JOIN found f USING (tenant_id, message_id)
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM purged), (SELECT count(*) FROM events),
       (SELECT count(*) FROM letters)
"""

_ARE_LEFT = """
SELECT EXISTS (
    SELECT FROM messages
    WHERE tenant_id = %(tenant)s AND wa_id = ANY(%(addresses)s) AND wa_id <> ''
      AND LEAST(accepted_at, created_at) <= to_timestamp(%(erased_at)s)
)
"""

# Those whose message has no row: given up before it was claimed, at this very moment perhaps, or kept without becoming
# an envelope.
_DEAD_LETTERS = """
WITH gone AS (
    DELETE FROM dead_letters WHERE id = ANY (ARRAY(
        SELECT id FROM dead_letters WHERE tenant_id = %(tenant)s AND wa_id = ANY(%(addresses)s)
          AND CASE WHEN created_at <= to_timestamp(%(erased_at)s) THEN true
                   WHEN envelope = '' THEN false
                   ELSE (convert_from(envelope, 'UTF8')::json ->> 'acceptedAt')::float8 <= %(erased_at)s END
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )) RETURNING tenant_id, message_id
), marked AS (
    INSERT INTO seen (tenant_id, key_hash) SELECT tenant_id, message_id FROM gone ON CONFLICT DO NOTHING
), events AS (
    DELETE FROM message_events e USING gone g WHERE e.tenant_id = g.tenant_id AND e.message_id = g.message_id
    RETURNING e.message_id
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM events)
"""

# A message that is not recorded yet gets its bare row here; a status has none before it is claimed.
_SPOOLED = f"""
WITH gone AS (
    DELETE FROM intake_spool WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM intake_spool
        WHERE tenant_id = %(tenant)s AND direction IN ('inbound', 'outbound', 'status') AND wa_id = ANY(%(addresses)s)
          AND LEAST(accepted_at, spooled_at) <= to_timestamp(%(erased_at)s)
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )) RETURNING tenant_id, message_id, direction, accepted_at, envelope
), marked AS (
    INSERT INTO seen (tenant_id, key_hash) SELECT tenant_id, message_id FROM gone
    ORDER BY tenant_id, message_id ON CONFLICT DO NOTHING RETURNING tenant_id, key_hash
), kept AS (
    INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, accepted_at)
    SELECT tenant_id, message_id, '', direction, convert_from(envelope, 'UTF8')::json ->> 'kind', 'purged', accepted_at
    FROM gone WHERE direction <> 'status' AND {HAS_MADE_ITS_MARK}
    RETURNING tenant_id, message_id
), events AS (
    DELETE FROM message_events e USING gone g WHERE e.tenant_id = g.tenant_id AND e.message_id = g.message_id
    RETURNING e.message_id
), told AS (
    INSERT INTO message_events (tenant_id, message_id, event, detail)
    SELECT tenant_id, message_id, %(event)s, '{{"was": "waiting"}}' FROM kept
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM events)
"""

_PARKED = """
WITH gone AS (
    DELETE FROM parked_statuses
    WHERE tenant_id = %(tenant)s AND convert_from(envelope, 'UTF8')::json ->> 'conversation' = ANY(%(addresses)s)
      AND parked_at <= to_timestamp(%(erased_at)s)
    RETURNING message_id
)
SELECT count(*), 0 FROM gone
"""

_FILES = """
UPDATE customer_files SET erased_at = now(), wa_id = ''
WHERE tenant_id = %(tenant)s AND wa_id = ANY(%(addresses)s) AND wa_id <> ''
  AND created_at <= to_timestamp(%(erased_at)s)
RETURNING media_id
"""
_FETCHES = "DELETE FROM media_fetches WHERE tenant_id = %(tenant)s AND media_id = ANY(%(files)s)"

_CONVERSATION_IDS = """
SELECT conversation_id::text FROM conversation_mappings WHERE tenant_id = %(tenant)s AND wa_id = ANY(%(addresses)s)
"""

# A person who has written since is somebody whom we know; the message may be on its way to its row.
_CONVERSATIONS = """
DELETE FROM conversation_mappings c
WHERE c.tenant_id = %(tenant)s AND c.wa_id = ANY(%(addresses)s)
  AND (c.last_activity_at <= to_timestamp(%(erased_at)s) OR c.last_activity_at < now() - interval '2 seconds')
  AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.conversation_id)
"""
_ALIASES = """
DELETE FROM aliases a
WHERE a.tenant_id = %(tenant)s AND (a.address = ANY(%(addresses)s) OR a.identity = ANY(%(addresses)s))
  AND NOT EXISTS (SELECT FROM conversation_mappings c WHERE c.tenant_id = a.tenant_id AND c.wa_id = a.identity)
"""


class ErasingStore:
    """Every method but `begin` may be repeated, and removes what is left. Raises StoreUnavailable."""

    def __init__(self, pool: Pool, batch: int = BATCH) -> None:
        self._pool = pool
        self._batch = batch

    async def begin(self, tenant_id: str, address: str, by: Actor) -> Erasure:
        """Note that everything accepted until now is erased, of the person with this address, under all of theirs.

        From here on nothing of it is delivered, nor written down again. `by` is who asked, for the audit log.
        """
        parameters = {"tenant": tenant_id, "address": address}
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_ADDRESSES, parameters)).fetchall()
            addresses = [known for (known,) in rows]
            persons = [person_key(tenant_id, known) for known in addresses]
            noting = {"tenant": tenant_id, "addresses": addresses, "persons": persons}
            noted = await (await taken.execute(_NOTE, noting)).fetchone()
            assert noted is not None
            after = {"addresses": len(addresses)}
            await append(taken, AuditRecord(by, "person.erased", tenant_id, masked(address), after=after))
        return Erasure(noted[0], tenant_id, tuple(addresses), noted[1])

    async def unfinished(self, known_s: float) -> list[Erasure]:
        """Erasures of which everybody knows by now, `known_s` after they were noted, to be looked at once more."""
        async with connection(self._pool) as taken:
            asked = {"known_s": known_s, "limit": self._batch}
            rows = await (await taken.execute(_UNFINISHED, asked)).fetchall()
        return [Erasure(id, tenant_id, tuple(addresses), at) for id, tenant_id, addresses, at in rows]

    async def finished(self, erasure: Erasure) -> None:
        """Nothing is left to be looked at, and nobody keeps the addresses any more."""
        async with connection(self._pool) as taken:
            await taken.execute(_FINISH, (erasure.id,))

    async def remove_messages(self, erasure: Erasure) -> Counter[str]:
        """Remove messages, their events and dead letters, and what waits in the spool; how many of each."""
        removed: Counter[str] = Counter()
        for name, query in (("deadLetters", _DEAD_LETTERS), ("spooled", _SPOOLED), ("parkedStatuses", _PARKED)):
            removed.update(await self._all_of(name, query, erasure))
        until = time.monotonic() + FINISHED_WITHIN_S
        while True:
            gone, purged, events, letters = await self._one(_MESSAGES, self._parameters(erasure))
            removed.update(messages=gone, purged=purged, events=events, deadLetters=letters)
            if gone + purged == 0:
                (is_left,) = await self._one(_ARE_LEFT, self._parameters(erasure))
                if not is_left:
                    return removed
                if time.monotonic() > until:
                    raise StoreUnavailable("messages of this person are in use: erase again")
                await asyncio.sleep(AGAIN_S)

    async def forget_files(self, erasure: Erasure) -> list[str]:
        """The ids of the person's files, which nobody may load or show from now on."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_FILES, self._parameters(erasure))).fetchall()
            files = [media_id for (media_id,) in rows]
            await taken.execute(_FETCHES, {"tenant": erasure.tenant_id, "files": files})
        return files

    async def conversation_ids(self, erasure: Erasure) -> list[str]:
        """The ids of the person's conversations."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_CONVERSATION_IDS, self._parameters(erasure))).fetchall()
        return [conversation_id for (conversation_id,) in rows]

    async def remove_conversations(self, erasure: Erasure) -> Counter[str]:
        """Remove the person's conversations and aliases, unless the person has written since; how many of each."""
        parameters = self._parameters(erasure)
        async with connection(self._pool) as taken:
            conversations = (await taken.execute(_CONVERSATIONS, parameters)).rowcount
            aliases = (await taken.execute(_ALIASES, parameters)).rowcount
        return Counter(conversations=conversations, aliases=aliases)

    async def _all_of(self, name: str, query: str, erasure: Erasure) -> Counter[str]:
        removed: Counter[str] = Counter()
        while True:
            count, events = await self._one(query, self._parameters(erasure))
            removed.update({name: count, "events": events})
            if count < self._batch:
                return removed

    async def _one(self, query: str, parameters: dict[str, Any]) -> Sequence[Any]:
        async with connection(self._pool) as taken:
            row = await (await taken.execute(query, parameters)).fetchone()
        assert row is not None
        return row

    def _parameters(self, erasure: Erasure) -> dict[str, Any]:
        return {
            "tenant": erasure.tenant_id,
            "addresses": list(erasure.addresses),
            "erased_at": erasure.erased_at,
            "limit": self._batch,
            "event": ERASED_EVENT,
        }
