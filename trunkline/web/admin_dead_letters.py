"""Routes about messages that were given up: shown with every attempt, and replayed."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Body, Query
from pydantic import Field, StringConstraints, TypeAdapter

from trunkline.delivery.replay import Refused
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.history import DeadLetter, LetterFilter
from trunkline.web.admin_messages import TraceAttempt, TraceStep
from trunkline.web.admin_models import Answer, Asked, Cursor, Limit, Time, decode_cursor, page_of
from trunkline.web.auth import Acting, Services, TenantOrAll, keyed_router
from trunkline.web.error_answers import may_answer
from trunkline.web.errors import ApiError, not_found
from trunkline.web.traces import trace_of

log = logging.getLogger(__name__)

router = keyed_router(tag="dead letters")

Reason = Literal[
    "unrouted",
    "rejected",
    "exhausted",
    "unknown_outcome",
    "invalid",
    "unsupported",
    "window_closed",
    "media_unavailable",
    "poison",
    "tenant_deleted",
]
Direction = Literal["inbound", "outbound", "status"]
ReasonQuery = Annotated[Reason | None, Query(description="only those given up for this reason")]
DirectionQuery = Annotated[Direction | None, Query(description="only this way")]

# As large as a key of Postgres can be.
LETTER_ID = re.compile(r"[0-9]{1,18}")
REPLAYED_BY_DEFAULT = 100
LARGEST_REPLAY = 1000
_BEFORE = TypeAdapter(tuple[int])


class DeadLetterShown(Answer):
    """A message given up."""

    id: str
    message_id: str
    reason: str
    direction: str
    tenant_id: str | None
    wamid: str | None
    genesys_id: str | None
    answer: str | None
    attempts: int
    created_at: Time
    last_attempt_at: Time | None


class DeadLetterPage(Answer):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetterShown]
    next_cursor: str | None


class Attempted(Answer):
    """What was done for a message given up: its steps, each attempt with the cloud's answer, and what can be done."""

    steps: list[TraceStep]
    attempts: list[TraceAttempt]
    advice: str | None


class DeadLetterDetails(DeadLetterShown):
    """A message given up, and its way there."""

    trace: Attempted


class ReplayOne(Asked):
    """Whether to replay a dead letter, or only to say whether that can be done."""

    dry_run: bool = False


class ReplayMany(ReplayOne):
    """Which dead letters to replay, oldest first; without ids, a reason or a direction, all that can be."""

    reason: Reason | None = None
    direction: Direction | None = None
    ids: list[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]] | None = Field(
        None, max_length=LARGEST_REPLAY, description="only these"
    )
    limit: int = Field(REPLAYED_BY_DEFAULT, ge=1, le=LARGEST_REPLAY, description="how many at most")


Wish = TypeVar("Wish", bound=ReplayOne)


class Replayed(Answer):
    """What was replayed, or would be; the ids are those of the dead letters, in the order of the replay."""

    replayed: int
    dry_run: bool
    ids: list[str]


@router.get("/dead-letters")
async def list_dead_letters(
    tenant_id: TenantOrAll,
    services: Services,
    reason: ReasonQuery = None,
    direction: DirectionQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeadLetterPage:
    """Messages that were given up; those that belong to no tenant show with admin and operator keys only."""
    before = decode_cursor(cursor, _BEFORE)
    rows = await services.history.dead_letters(tenant_id, limit + 1, reason, direction, before[0] if before else None)
    page, next_cursor = page_of(rows, limit, lambda row: (row.id,))
    return DeadLetterPage(dead_letters=[_shown(row) for row in page], next_cursor=next_cursor)


@router.post("/dead-letters/replay")
async def replay_many(
    tenant_id: TenantOrAll,
    actor: Acting,
    services: Services,
    query: Annotated[ReplayMany, Query()],
    body: Annotated[ReplayMany | None, Body()] = None,
) -> Replayed:
    """Deliver again, oldest first and behind what was sent meanwhile, what was given up; what cannot be is left."""
    asked = _asked(query, body)
    ids = [int(each) for each in asked.ids] if asked.ids is not None else None
    wanted = LetterFilter(tenant_id, asked.reason, asked.direction, ids)
    found = await services.replays.many(wanted, asked.limit, actor, dry_run=asked.dry_run)
    if not asked.dry_run:
        _tell(actor, tenant_id, len(found), reason=asked.reason, direction=asked.direction)
    return _replayed(found, asked.dry_run)


@router.get("/dead-letters/{id}")
async def show_dead_letter(id: str, tenant_id: TenantOrAll, services: Services) -> DeadLetterDetails:
    """One dead letter, with every attempt."""
    facts = await services.history.letter_facts(tenant_id, _letter_id(id))
    if facts is None or facts.dead_letter is None:
        raise not_found("Dead letter")
    trace = trace_of(facts, services.now())
    attempted = Attempted(
        steps=[TraceStep.model_validate(step) for step in trace.steps],
        attempts=[TraceAttempt.model_validate(attempt) for attempt in trace.attempts],
        advice=trace.advice,
    )
    return DeadLetterDetails(**_facts(facts.dead_letter), trace=attempted)


@router.post("/dead-letters/{id}/replay", responses=may_answer(409))
async def replay_one(
    id: str,
    tenant_id: TenantOrAll,
    actor: Acting,
    services: Services,
    query: Annotated[ReplayOne, Query()],
    body: Annotated[ReplayOne | None, Body()] = None,
) -> Replayed:
    """Deliver one again, behind what was sent meanwhile; 409 says why it cannot be."""
    letter_id = _letter_id(id)
    dry_run = _asked(query, body).dry_run
    refused = await services.replays.one(tenant_id, letter_id, actor, dry_run=dry_run)
    if isinstance(refused, Refused):
        raise ApiError(409, f"Dead letter {letter_id} cannot be replayed: {refused.words}", "NOT_REPLAYABLE")
    if not dry_run:
        _tell(actor, tenant_id, 1, dead_letter=letter_id)
    return _replayed([letter_id], dry_run)


def _asked(query: Wish, body: Wish | None) -> Wish:
    """Either way of asking will do; nobody who writes `?dryRun=true` gets a replay in earnest."""
    return query if body is None else query.model_copy(update=body.model_dump(exclude_unset=True))


def _letter_id(id: str) -> int:
    if not LETTER_ID.fullmatch(id):
        raise not_found("Dead letter")
    return int(id)


def _replayed(ids: list[int], dry_run: bool) -> Replayed:
    return Replayed(replayed=len(ids), dry_run=dry_run, ids=[str(each) for each in ids])


def _tell(actor: Actor, tenant_id: str | None, count: int, **facts: Any) -> None:
    log.info("dead_letters.replayed", extra={"tenant": tenant_id, "key": actor.key_id, "count": count, **facts})


def _shown(row: DeadLetter) -> DeadLetterShown:
    return DeadLetterShown(**_facts(row))


def _facts(row: DeadLetter) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "id": str(row.id)}
