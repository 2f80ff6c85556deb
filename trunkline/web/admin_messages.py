"""The route about what became of a message: its trace."""

from __future__ import annotations

from typing import Any

from trunkline.web.admin_models import Answer
from trunkline.web.auth import Services, TenantOrAll, keyed_router
from trunkline.web.errors import not_found
from trunkline.web.traces import Trace, trace_of

router = keyed_router(tag="messages")

LONGEST_ID = 512


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


# A wamid is base64, so it may hold a slash.
@router.get("/messages/{id:path}/trace")
async def show_trace(id: str, tenant_id: TenantOrAll, services: Services) -> TraceShown:
    """The way of one message, by wamid, Genesys id or our own."""
    known = len(id) <= LONGEST_ID and id.isprintable()
    facts = await services.history.facts(tenant_id, id) if known else None
    if facts is None:
        raise not_found("Message")
    return _shown_trace(trace_of(facts))


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
