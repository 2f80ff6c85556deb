"""The route about what became of a message: its trace."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from trunkline.envelope import Direction
from trunkline.tenancy.history import MessageFacts
from trunkline.tenancy.standing import UNKNOWN, Standing
from trunkline.trace_context import is_traced, trace_id_of
from trunkline.web.admin_models import Answer
from trunkline.web.admin_ports import AdminServices
from trunkline.web.auth import Services, TenantOrAll, keyed_router
from trunkline.web.errors import not_found
from trunkline.web.traces import Trace, trace_of

router = keyed_router(tag="messages")

LONGEST_ID = 512


class TraceStep(Answer):
    """A step of a message's way; what more there is to tell of it stands beside."""

    model_config = ConfigDict(extra="allow")

    at: str = Field(json_schema_extra={"format": "date-time"})
    step: str


class TraceAttempt(Answer):
    """One try to deliver; what more there is to tell of it stands beside."""

    model_config = ConfigDict(extra="allow")

    at: str = Field(json_schema_extra={"format": "date-time"})
    outcome: str


class TraceShown(Answer):
    """A message's way so far, what it waits for now, and what an operator can do."""

    message_id: str
    tenant_id: str | None
    direction: str
    state: str
    steps: list[TraceStep]
    attempts: list[TraceAttempt]
    waiting_for: str | None
    waiting_until: str | None = Field(
        description="when it is tried at the earliest; of what is out, when its outcome counts as unknown at the "
        "latest; null if nobody can say",
        json_schema_extra={"format": "date-time"},
    )
    advice: str | None
    conversation_id: str | None
    wamid: str | None
    genesys_id: str | None
    receipt: str | None
    open_telemetry_trace_id: str | None = Field(
        None, description="its trace in OpenTelemetry; null for a message that is not traced, and for a status"
    )


# A wamid is base64, so it may hold a slash.
@router.get("/messages/{id:path}/trace")
async def show_trace(id: str, tenant_id: TenantOrAll, services: Services) -> TraceShown:
    """The way of one message, by wamid, Genesys id or our own."""
    known = len(id) <= LONGEST_ID and id.isprintable()
    facts = await services.history.facts(tenant_id, id) if known else None
    if facts is None:
        raise not_found("Message")
    trace = trace_of(facts, services.now(), await _standing(services, facts))
    return _shown_trace(trace, _open_telemetry_trace(facts, services.traces_ratio))


async def _standing(services: AdminServices, facts: MessageFacts) -> Standing:
    """What its tenant says of a message that has not left; the actors are not asked about others."""
    message, spooled = facts.message, facts.spooled
    if message is not None and message.status in ("received", "waiting"):
        return await services.actors.standing(message.tenant_id, Direction(message.direction), message.wa_id)
    if message is None and spooled is not None:
        return await services.actors.standing(spooled.tenant_id, Direction(spooled.direction), "")
    return UNKNOWN


def _open_telemetry_trace(facts: MessageFacts, ratio: float) -> str | None:
    message = facts.message
    # A status of our own, of a send that was given up, is in the trace of that send's message.
    if message is None or message.direction == Direction.STATUS or not is_traced(message.message_id, ratio):
        return None
    return trace_id_of(message.message_id)


def _shown_trace(trace: Trace, open_telemetry_trace_id: str | None) -> TraceShown:
    return TraceShown(
        message_id=trace.message_id,
        tenant_id=trace.tenant_id,
        direction=trace.direction,
        state=trace.state,
        steps=[TraceStep.model_validate(step) for step in trace.steps],
        attempts=[TraceAttempt.model_validate(attempt) for attempt in trace.attempts],
        waiting_for=trace.waiting_for,
        waiting_until=trace.waiting_until,
        advice=trace.advice,
        conversation_id=trace.conversation_id,
        wamid=trace.wamid,
        genesys_id=trace.genesys_id,
        receipt=trace.receipt,
        open_telemetry_trace_id=open_telemetry_trace_id,
    )
