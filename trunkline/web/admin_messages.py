"""Routes about what became of messages: traces and dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import TypeAdapter

from trunkline.tenancy.history import DeadLetter
from trunkline.web.admin_models import Answer, Cursor, Limit, Time, decode_cursor, page_of
from trunkline.web.auth import Services, TenantOrAll, keyed_router
from trunkline.web.errors import not_found
from trunkline.web.traces import Trace, trace_of

router = keyed_router(tag="messages")

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
ReasonQuery = Annotated[Reason | None, Query(description="only those given up for this reason")]
DirectionQuery = Annotated[Literal["inbound", "outbound", "status"] | None, Query(description="only this way")]

LONGEST_ID = 512
_BEFORE = TypeAdapter(tuple[int])


class TraceShown(Answer):
    """A message's way so far, what it waits for now, and what an operator can do."""

    message_id: str
    tenant_id: str | None
    direction: str
    state: str
    steps: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    waiting_for: str | None
    advice: str | None
    conversation_id: str | None
    wamid: str | None
    genesys_id: str | None
    receipt: str | None


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


# A wamid is base64, so it may hold a slash.
@router.get("/messages/{id:path}/trace")
async def show_trace(id: str, tenant_id: TenantOrAll, services: Services) -> TraceShown:
    """The way of one message, by wamid, Genesys id or our own."""
    known = len(id) <= LONGEST_ID and id.isprintable()
    facts = await services.history.facts(tenant_id, id) if known else None
    if facts is None:
        raise not_found("Message")
    return _shown_trace(trace_of(facts))


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


def _shown(row: DeadLetter) -> DeadLetterShown:
    return DeadLetterShown(
        id=str(row.id),
        message_id=row.message_id,
        reason=row.reason,
        direction=row.direction,
        tenant_id=row.tenant_id,
        wamid=row.wamid,
        genesys_id=row.genesys_id,
        answer=row.answer,
        attempts=row.attempts,
        created_at=row.created_at,
        last_attempt_at=row.last_attempt_at,
    )


def _shown_trace(trace: Trace) -> TraceShown:
    return TraceShown(
        message_id=trace.message_id,
        tenant_id=trace.tenant_id,
        direction=trace.direction,
        state=trace.state,
        steps=trace.steps,
        attempts=trace.attempts,
        waiting_for=trace.waiting_for,
        advice=trace.advice,
        conversation_id=trace.conversation_id,
        wamid=trace.wamid,
        genesys_id=trace.genesys_id,
        receipt=trace.receipt,
    )
