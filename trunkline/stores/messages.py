"""Messages in Postgres: recorded on arrival, claimed before a request leaves, settled after its answer; in groups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from trunkline.attempt import (
    NEWS_WITHIN_S,
    Behind,
    Busy,
    Claim,
    ClaimAnswer,
    Erased,
    Granted,
    Outcome,
    OutOfDate,
    Settled,
    Uncertain,
)
from trunkline.envelope import Direction, Envelope
from trunkline.people import person_key
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.erasures import IS_ERASED, erased_among
from trunkline.stores.marks import HAS_MADE_ITS_MARK, is_row_of
from trunkline.stores.message_rows import genesys_id_of, row_of, wamid_of
from trunkline.stores.values import as_json, as_rows, storable

CONVERSATIONS_REMEMBERED = 20_000

# Two transactions must never wait for each other in a circle, and each settles before it claims. So a claim waits only
# for a mark that somebody is inserting at this moment, in one order everywhere (tenant, message); a row that exists and
# is locked is passed over, for its settler may want what was settled here before. Every join is by a key of a table:
# two parts of the statement joined with each other would compare each row with every other one.
#
# What is older in the spool goes first. What comes from the spool itself also waits for what the broker still holds of
# its conversation, as far as arrivals have been recorded: `alone` says that the queue was looked into.
_OLDER_SPOOLED = """
    FROM intake_spool p
    WHERE p.tenant_id = a.tenant_id AND p.direction = a.direction AND p.wa_id = a.wa_id
      AND p.accepted_at < to_timestamp(a.accepted) AND p.message_id <> a.message_id
"""
_IS_BEHIND_SPOOL = f"EXISTS (SELECT {_OLDER_SPOOLED})"
_IS_BEHIND = f"""(
    {_IS_BEHIND_SPOOL}
    OR CASE WHEN a.spooled THEN EXISTS (
        SELECT FROM conversation_mappings k
        JOIN messages o ON o.tenant_id = k.tenant_id AND o.conversation_id = k.conversation_id
        WHERE k.tenant_id = a.tenant_id AND k.wa_id = a.wa_id AND o.direction = a.direction
          AND o.accepted_at < to_timestamp(a.accepted)
          AND (o.status = 'sending' AND o.claim_until > now() OR NOT a.alone AND o.status IN ('received', 'waiting'))
    ) ELSE false END
)"""
_CLAIM_OF_ANY = f"""
WITH asked AS MATERIALIZED (
    SELECT a.*, s.seen_at, {_IS_BEHIND} AS behind
    FROM json_to_recordset(%(rows)s::json)
         AS a(tenant_id text, message_id uuid, wa_id text, conversation_id uuid, direction text, kind text, wamid text,
              genesys_id text, text text, accepted float8, epoch bigint, attempt_id uuid, owner text, claim_s float8,
              spooled boolean, alone boolean, person uuid)
    JOIN tenant_activations t ON t.tenant_id = a.tenant_id AND t.epoch = a.epoch
    LEFT JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
    WHERE NOT {IS_ERASED}
), marked AS (
    INSERT INTO seen (tenant_id, key_hash) SELECT tenant_id, message_id FROM asked
    WHERE seen_at IS NULL AND NOT behind
    ORDER BY tenant_id, message_id ON CONFLICT DO NOTHING RETURNING tenant_id, key_hash
), made AS (
    INSERT INTO messages (tenant_id, message_id, wa_id, conversation_id, direction, kind, status, wamid, genesys_id,
                          text, attempts, attempt_id, owner, claimed_at, claim_until, accepted_at)
    SELECT tenant_id, message_id, wa_id, conversation_id, direction, kind, 'sending', wamid, genesys_id,
           text, 1, attempt_id, owner, now(), now() + make_interval(secs => claim_s), to_timestamp(accepted)
    FROM asked WHERE {HAS_MADE_ITS_MARK}
    ON CONFLICT (tenant_id, message_id, created_at) DO NOTHING
    RETURNING attempt_id, attempts, parts_done, unknowns
), held AS (
    SELECT a.tenant_id, a.message_id, a.seen_at, a.attempt_id, a.owner, a.claim_s, a.conversation_id, a.text
    FROM asked a
    JOIN messages m ON {is_row_of("m", "a", "message_id")}
    WHERE (SELECT count(*) FROM made) >= 0  -- after every wait
      AND (m.status IN ('received', 'waiting') AND NOT a.behind
           OR m.status = 'unknown'
              AND (m.direction <> 'outbound' OR m.updated_at < now() - make_interval(secs => %(news)s)))
    FOR UPDATE OF m SKIP LOCKED
), taken AS (
    UPDATE messages m
    SET status = 'sending', attempts = m.attempts + 1, attempt_id = a.attempt_id, owner = a.owner, claimed_at = now(),
        claim_until = now() + make_interval(secs => a.claim_s), updated_at = now(),
        conversation_id = COALESCE(m.conversation_id, a.conversation_id), text = COALESCE(m.text, a.text)
    FROM held a
    WHERE {is_row_of("m", "a", "message_id")}
    RETURNING m.attempt_id, m.attempts, m.parts_done, m.unknowns
)
SELECT attempt_id::text, attempts, parts_done, unknowns FROM (SELECT * FROM made UNION ALL SELECT * FROM taken) claimed
"""

# Each mention of messages costs something for every partition, in every execution: where nothing comes from the spool,
# there is one less.
_CLAIM = _CLAIM_OF_ANY.replace(_IS_BEHIND, _IS_BEHIND_SPOOL)

# Why a claim was not granted.
_STANDING = f"""
SELECT a.tenant_id, a.message_id::text, t.epoch IS NOT DISTINCT FROM a.epoch AS current, m.status, m.attempt_id::text,
       m.owner, EXTRACT(epoch FROM m.claim_until - now())::float8 AS left_s,
       EXTRACT(epoch FROM m.updated_at + make_interval(secs => %(news)s) - now())::float8 AS news_in_s,
       {_IS_BEHIND} AS behind,
       (SELECT EXTRACT(epoch FROM p.due_at - now())::float8 {_OLDER_SPOOLED} ORDER BY p.accepted_at, p.id LIMIT 1),
       {IS_ERASED} AS erased
FROM json_to_recordset(%(rows)s::json)
     AS a(tenant_id text, message_id uuid, wa_id text, direction text, accepted float8, epoch bigint,
          spooled boolean, alone boolean, person uuid)
LEFT JOIN tenant_activations t ON t.tenant_id = a.tenant_id
LEFT JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
LEFT JOIN messages m ON {is_row_of("m", "s")}
"""

_STATUSES = f"""
SELECT k.tenant_id, k.message_id::text, m.status
FROM unnest(%(tenant)s::text[], %(message)s::uuid[]) AS k(tenant_id, message_id)
LEFT JOIN seen s ON s.tenant_id = k.tenant_id AND s.key_hash = k.message_id
LEFT JOIN messages m ON {is_row_of("m", "s")}
"""

# An outcome is taken from whoever made the attempt; a late "delivered" is believed even from a superseded one, and
# what is given up without an attempt needs none. A message of a person who was erased, which has nobody, takes none.
_SETTLE = f"""
WITH o AS MATERIALIZED (
    SELECT a.*, s.seen_at
    FROM json_to_recordset(%(rows)s::json)
         AS a(tenant_id text, message_id uuid, attempt_id uuid, status text, parts_done int, wamid text,
              genesys_id text, uncounted int)
    JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
)
UPDATE messages m
SET status = o.status, parts_done = GREATEST(m.parts_done, o.parts_done), wamid = COALESCE(o.wamid, m.wamid),
    genesys_id = COALESCE(o.genesys_id, m.genesys_id), attempts = m.attempts - o.uncounted,
    unknowns = m.unknowns + (o.status = 'unknown')::int, owner = NULL, claim_until = NULL, updated_at = now()
FROM o
WHERE {is_row_of("m", "o", "message_id")}
  AND (m.attempt_id = o.attempt_id AND m.status = 'sending' OR o.status = 'delivered'
       OR o.status = 'dead' AND m.status IN ('received', 'waiting'))
  AND NOT (m.status = 'purged' AND m.wa_id = '')
"""

_EVENTS = """
INSERT INTO message_events (tenant_id, message_id, event, attempt_id, detail)
SELECT * FROM unnest(%(tenant)s::text[], %(message)s::uuid[], %(event)s::text[], %(attempt)s::uuid[],
                     %(detail)s::jsonb[])
"""

_BURY = f"""
INSERT INTO dead_letters (tenant_id, message_id, direction, reason, answer, attempts, wamid, genesys_id, envelope,
                          wa_id, last_attempt_at, ordered_at)
SELECT d.tenant_id, d.message_id, d.direction, d.reason, d.answer, COALESCE(m.attempts, 0), d.wamid, d.genesys_id,
       d.envelope, d.wa_id, m.claimed_at, COALESCE(m.accepted_at, now())
FROM unnest(%(tenant)s::text[], %(message)s::uuid[], %(direction)s::text[], %(reason)s::text[], %(answer)s::text[],
            %(wamid)s::text[], %(genesys)s::text[], %(envelope)s::bytea[], %(wa_id)s::text[])
     AS d(tenant_id, message_id, direction, reason, answer, wamid, genesys_id, envelope, wa_id)
LEFT JOIN seen s ON s.tenant_id = d.tenant_id AND s.key_hash = d.message_id
LEFT JOIN messages m ON {is_row_of("m", "s")}
ON CONFLICT (COALESCE(tenant_id, ''), message_id) DO UPDATE
SET reason = excluded.reason, answer = excluded.answer, attempts = excluded.attempts,
    last_attempt_at = excluded.last_attempt_at, ordered_at = excluded.ordered_at
"""

_LEARN_CONVERSATIONS = """
UPDATE conversation_mappings c SET genesys_conversation_id = o.genesys_conversation_id
FROM (
    SELECT k.tenant_id, k.conversation_id, a.genesys_conversation_id
    FROM unnest(%(tenant)s::text[], %(conversation)s::uuid[], %(genesys_conversation)s::text[])
         AS a(tenant_id, conversation_id, genesys_conversation_id)
    JOIN conversation_mappings k USING (tenant_id, conversation_id)
    WHERE k.genesys_conversation_id IS DISTINCT FROM a.genesys_conversation_id
    ORDER BY k.tenant_id, k.wa_id FOR UPDATE OF k
) o
WHERE c.tenant_id = o.tenant_id AND c.conversation_id = o.conversation_id
"""

# The WhatsApp messages of an agent's message that became several.
_PARTS = """
INSERT INTO message_parts AS p (tenant_id, message_id, part, parts, wamid)
SELECT tenant_id, message_id, part, parts, wamid
FROM json_to_recordset(%(rows)s::json)
     AS a(tenant_id text, message_id uuid, part smallint, parts smallint, wamid text)
ON CONFLICT (tenant_id, message_id, part) DO UPDATE SET wamid = COALESCE(excluded.wamid, p.wamid)
"""

# Which receipt Genesys has for an agent's message: the first stays.
_RECEIPTS = f"""
WITH r AS MATERIALIZED (
    SELECT a.*, s.seen_at
    FROM json_to_recordset(%(rows)s::json) AS a(tenant_id text, message_id uuid, receipt text)
    JOIN seen s ON s.tenant_id = a.tenant_id AND s.key_hash = a.message_id
)
UPDATE messages m
SET receipt = r.receipt,
    status = CASE WHEN r.receipt = 'Failed' AND m.status = 'delivered' THEN 'failed' ELSE m.status END
FROM r
WHERE {is_row_of("m", "r", "message_id")} AND m.receipt IS NULL
"""


class MessageStore:
    """Claims and outcomes of messages."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._learned: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def exchange(self, outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> list[ClaimAnswer | Exception]:
        """Store `outcomes`, then answer `claims`, in one transaction; raises StoreUnavailable."""
        async with connection(self._pool) as taken:
            await _settle(taken, outcomes)
            learned = await self._learn_conversations(taken, outcomes)
            answers = await _claim(taken, claims)
        self._learned.update(learned)  # only now is it stored
        while len(self._learned) > CONVERSATIONS_REMEMBERED:
            self._learned.popitem(last=False)
        return answers

    async def statuses(self, envelopes: Sequence[Envelope]) -> list[str | None]:
        """Where each message stands, None where it has no row; raises StoreUnavailable."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_STATUSES, _keys(envelopes))).fetchall()
        found = {(tenant_id, message_id): status for tenant_id, message_id, status in rows}
        return [found.get((envelope.tenant_id, envelope.message_id)) for envelope in envelopes]

    async def bury_unreadable(self, tenant_id: str, direction: Direction, message_id: str, body: bytes) -> None:
        """Keep a queue's message that is not an envelope as a dead letter `poison`."""
        row = {
            "tenant": [tenant_id], "message": [message_id], "direction": [direction.value], "reason": ["poison"],
            "answer": ["not an envelope of Trunkline"], "wamid": [None], "genesys": [None], "envelope": [body],
            "wa_id": [None],
        }  # fmt: skip
        async with connection(self._pool) as taken:
            await taken.execute(_BURY, row)

    async def _learn_conversations(self, taken: Connection, outcomes: Sequence[Outcome]) -> dict[tuple[str, str], str]:
        """Note, and answer, Genesys' conversation ids not noted yet by this process; they hardly ever change."""
        news: dict[tuple[str, str], str] = {}
        for outcome in outcomes:
            if outcome.conversation_id and outcome.genesys_conversation_id:
                key = (outcome.envelope.tenant_id, outcome.conversation_id)
                if self._learned.get(key) != outcome.genesys_conversation_id:
                    news[key] = outcome.genesys_conversation_id
        if news:
            await taken.execute(
                _LEARN_CONVERSATIONS,
                {
                    "tenant": [tenant_id for tenant_id, _ in news],
                    "conversation": [conversation_id for _, conversation_id in news],
                    "genesys_conversation": [storable(genesys_id) for genesys_id in news.values()],
                },
            )
        return news


async def _claim(taken: Connection, claims: Sequence[Claim]) -> list[ClaimAnswer | Exception]:
    granted: dict[str, ClaimAnswer] = {}  # by attempt: a group may hold two claims of one message
    left = claims
    # Twice: a row that was recorded while the first statement ran is seen by the second only.
    for _ in range(2):
        if left:
            parameters = {"rows": as_rows([_claim_row(claim) for claim in left]), "news": NEWS_WITHIN_S}
            statement = _CLAIM_OF_ANY if any(claim.spooled for claim in left) else _CLAIM
            rows = await (await taken.execute(statement, parameters)).fetchall()
            granted.update({attempt_id: Granted(*facts) for attempt_id, *facts in rows})
            left = [claim for claim in left if claim.attempt_id not in granted]
    standing = await _standing(taken, left) if left else {}
    return [
        granted.get(claim.attempt_id) or standing[claim.envelope.tenant_id, claim.envelope.message_id]
        for claim in claims
    ]


def _claim_row(claim: Claim) -> dict[str, Any]:
    envelope = claim.envelope
    return {
        **row_of(envelope),
        "conversation_id": claim.conversation_id,
        "text": storable(claim.text),
        "epoch": claim.epoch,
        "attempt_id": claim.attempt_id,
        "owner": claim.owner,
        "claim_s": claim.claim_s,
        "spooled": claim.spooled,
        "alone": claim.alone,
        "person": person_key(envelope.tenant_id, envelope.conversation),
    }


async def _standing(taken: Connection, claims: Sequence[Claim]) -> dict[tuple[str, str], ClaimAnswer]:
    parameters = {"rows": as_rows([_claim_row(claim) for claim in claims]), "news": NEWS_WITHIN_S}
    rows = await (await taken.execute(_STANDING, parameters)).fetchall()
    return {(tenant_id, message_id): _why_not(*standing) for tenant_id, message_id, *standing in rows}


def _why_not(
    current: bool,
    status: str | None,
    attempt_id: str,
    owner: str | None,
    left_s: float | None,
    news_in_s: float,
    behind: bool,
    due_in_s: float | None,
    erased: bool,
) -> ClaimAnswer:
    match status:
        case _ if erased:
            return Erased()
        case _ if not current:
            return OutOfDate()
        case None | "received" | "waiting" if behind:
            return Behind(due_in_s)
        case None:
            return Settled("erased")  # claimed once, and its row has gone since: its repetition is dropped
        case "sending":
            return Busy(attempt_id, owner or "", left_s or 0.0)
        case "unknown":
            return Uncertain(max(0.0, news_in_s))
        case "received" | "waiting":
            return Uncertain(0.0)
        case _:
            return Settled(status)


async def _settle(taken: Connection, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    ordered = sorted(outcomes, key=lambda outcome: (outcome.envelope.tenant_id, outcome.envelope.message_id))
    await taken.execute(_SETTLE, {"rows": as_rows([_outcome_row(outcome) for outcome in ordered])})
    if receipts := [_receipt_row(outcome) for outcome in ordered if outcome.receipt is not None]:
        await taken.execute(_RECEIPTS, {"rows": as_rows(receipts)})
    telling = [outcome for outcome in ordered if _is_part(outcome) or _is_told(outcome)]
    erased = await erased_among(taken, [outcome.envelope for outcome in telling])
    telling = [each for each in telling if (each.envelope.tenant_id, each.envelope.message_id) not in erased]
    if parts := [_part_row(outcome) for outcome in telling if _is_part(outcome)]:
        await taken.execute(_PARTS, {"rows": as_rows(parts)})
    await _tell(taken, [outcome for outcome in telling if _is_told(outcome)])
    await _bury(taken, [outcome for outcome in telling if outcome.dead_letter is not None])


def _is_part(outcome: Outcome) -> bool:
    return outcome.parts > 1 and bool(outcome.wamid)


def _is_told(outcome: Outcome) -> bool:
    """Whether its message's row does not tell all of it."""
    return outcome.event != "delivered" or bool(outcome.detail) or outcome.dead_letter is not None


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "tenant_id": outcome.envelope.tenant_id,
        "message_id": outcome.envelope.message_id,
        "attempt_id": outcome.attempt_id,
        "status": outcome.status,
        "parts_done": outcome.parts_done,
        "wamid": storable(outcome.wamid),
        "genesys_id": storable(outcome.genesys_id),
        "uncounted": 0 if outcome.counted else 1,
    }


def _part_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "tenant_id": outcome.envelope.tenant_id,
        "message_id": outcome.envelope.message_id,
        "part": outcome.parts_done,
        "parts": outcome.parts,
        "wamid": storable(outcome.wamid),
    }


def _receipt_row(outcome: Outcome) -> dict[str, Any]:
    assert outcome.receipt is not None
    return {
        "tenant_id": outcome.envelope.tenant_id,
        "message_id": outcome.receipt.message_id,
        "receipt": outcome.receipt.status,
    }


async def _tell(taken: Connection, outcomes: Sequence[Outcome]) -> None:
    if outcomes:
        await taken.execute(
            _EVENTS,
            {
                **_keys([outcome.envelope for outcome in outcomes]),
                "event": [outcome.event for outcome in outcomes],
                "attempt": [outcome.attempt_id for outcome in outcomes],
                "detail": [as_json(outcome.detail) for outcome in outcomes],
            },
        )


async def _bury(taken: Connection, outcomes: Sequence[Outcome]) -> None:
    dead = [(outcome.envelope, outcome.dead_letter) for outcome in outcomes if outcome.dead_letter is not None]
    if dead:
        envelopes = [envelope for envelope, _ in dead]
        await taken.execute(
            _BURY,
            {
                **_keys(envelopes),
                "direction": [envelope.direction.value for envelope in envelopes],
                "reason": [letter.reason for _, letter in dead],
                "answer": [storable(letter.answer) for _, letter in dead],
                "wamid": [wamid_of(envelope) for envelope in envelopes],
                "genesys": [genesys_id_of(envelope) for envelope in envelopes],
                "envelope": [envelope.to_bytes() for envelope in envelopes],
                "wa_id": [storable(envelope.conversation) for envelope in envelopes],
            },
        )


def _keys(envelopes: Sequence[Envelope]) -> dict[str, Any]:
    return {"tenant": [e.tenant_id for e in envelopes], "message": [e.message_id for e in envelopes]}
