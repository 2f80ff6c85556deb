"""A message's trace: its steps and attempts, what it waits for, and what an operator can do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic.alias_generators import to_camel

from trunkline.tenancy.history import DeadLetter, Event, Message, MessageFacts

_CLOUD = {"inbound": "Genesys Cloud", "outbound": "WhatsApp", "status": "Genesys Cloud"}

# What a message in this state waits for, when its last attempt says nothing better.
_WAITING_FOR = {
    "received": "a transformer to take it from its queue",
    "waiting": "its next attempt",
    "sending": "the answer of {cloud}",
    "unknown": "news of the attempt whose outcome is unknown, then its repetition",
}
_WAITING_AFTER = {
    "credentials_refused": "credentials that {cloud} accepts",
    "throttled": "the end of the pause that {cloud} asked for",
    "retry": "its next attempt, in order, after a pause",
    "part_sent": "the sending of its next part",
    "receipt_waits": "RabbitMQ, to report the failure to the agent",
}
_ADVICE_AFTER = {
    "credentials_refused": "Correct the tenant's credentials; what waits is delivered by itself within 10 s.",
    "throttled": "Nothing to do; if it happens often, have the cloud grant more and raise the tenant's settings.",
    "retry": "Nothing to do unless it lasts; the last attempt's answer says what the cloud is missing.",
}
_ADVICE = {
    "received": "If it stays, see GET /health for the pools and the tenant's status.",
    "waiting": "If it stays, see the tenant's status and the last attempt.",
    "sending": "If it stays, its sender died; the message is taken over by itself.",
    "unknown": "Nothing to do; it is repeated once by the stated rule, or given up as unknown_outcome.",
    "failed": "{cloud} accepted it and could not deliver it: the last step, or the receipt, says why.",
}
_ADVICE_FOR_DEAD = {
    "unrouted": "No tenant owns the number or integration: make or correct the tenant, then replay it.",
    "rejected": "The cloud said no, see the answer: correct what it names, then replay it.",
    "exhausted": "Every attempt failed: once the cloud is well, replay it.",
    "unknown_outcome": "It may have been delivered: look at the far side before you replay it.",
    "invalid": "The message is not valid and will not be on replay: tell its sender.",
    "unsupported": "The far side cannot show this kind of message: tell its sender.",
    "window_closed": "WhatsApp's 24 hours are over: wait for the customer to write, or send a template.",
    "media_unavailable": "The attachment could not be fetched: ask for it again.",
    "poison": "The message breaks its transformer: report it as a bug, with this trace.",
    "tenant_deleted": "The tenant was deleted while this waited.",
}


_NAMES = {"wait_s": "waitSeconds", "retry_after_s": "retryAfterSeconds"}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a trace answers."""

    message_id: str
    tenant_id: str | None
    direction: str
    state: str
    steps: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    waiting_for: str | None
    advice: str | None
    conversation_id: str | None = None
    wamid: str | None = None
    genesys_id: str | None = None
    receipt: str | None = None


def trace_of(facts: MessageFacts) -> Trace:
    """The trace that the tables tell."""
    if facts.message is None:
        assert facts.dead_letter is not None
        return _trace_of_stray(facts.dead_letter, facts.events)
    message = facts.message
    attempts = [_attempt(event) for event in facts.events if event.attempt_id is not None]
    if message.status in ("delivered", "failed") and not any(
        a["outcome"] in ("delivered", "repeated") for a in attempts
    ):
        # A delivery without trouble is told by the message's own row.
        attempts.append({"at": _iso(message.updated_at), "outcome": "delivered"})
    return Trace(
        message_id=message.message_id,
        tenant_id=message.tenant_id,
        direction=message.direction,
        state=message.status,
        steps=_steps(message, facts.events, facts.dead_letter),
        attempts=attempts,
        waiting_for=_waiting_for(message, facts),
        advice=_advice(message, facts),
        conversation_id=message.conversation_id,
        wamid=message.wamid,
        genesys_id=message.genesys_id,
        receipt=message.receipt,
    )


def _trace_of_stray(letter: DeadLetter, events: list[Event]) -> Trace:
    """A message that never had a row: nobody's, or unreadable."""
    return Trace(
        message_id=letter.message_id,
        tenant_id=letter.tenant_id,
        direction=letter.direction,
        state="dead",
        steps=[
            *({"at": _iso(event.at), "step": event.event, **_facts(event)} for event in events),
            {"at": _iso(letter.created_at), "step": "dead", "reason": letter.reason, "answer": letter.answer},
        ],
        attempts=[_attempt(event) for event in events if event.attempt_id is not None],
        waiting_for=None,
        advice=_ADVICE_FOR_DEAD.get(letter.reason),
        wamid=letter.wamid,
        genesys_id=letter.genesys_id,
    )


def _steps(message: Message, events: list[Event], letter: DeadLetter | None) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"at": _iso(message.accepted_at), "step": "received"}]
    steps += [{"at": _iso(event.at), "step": event.event, **_facts(event)} for event in events]
    if message.status not in ("received", steps[-1]["step"]):
        steps.append({"at": _iso(message.updated_at), "step": message.status})
    if letter is not None:
        steps[-1] |= {"reason": letter.reason, "answer": letter.answer}
    return steps


def _attempt(event: Event) -> dict[str, Any]:
    return {"at": _iso(event.at), "outcome": event.event, "attemptId": event.attempt_id, **_facts(event)}


def _waiting_for(message: Message, facts: MessageFacts) -> str | None:
    if message.status not in _WAITING_FOR:
        return None
    if facts.tenant_status == "suspended" and message.status != "sending":
        return "the activation of its tenant, which is suspended"
    text = _WAITING_FOR[message.status]
    if message.status == "waiting" and facts.events:
        text = _WAITING_AFTER.get(facts.events[-1].event, text)
    return text.format(cloud=_CLOUD.get(message.direction, "the cloud"))


def _advice(message: Message, facts: MessageFacts) -> str | None:
    if facts.dead_letter is not None and message.status in ("dead", "delivered"):  # or delivered without its file
        return _ADVICE_FOR_DEAD.get(facts.dead_letter.reason)
    if facts.tenant_status == "suspended" and message.status in ("received", "waiting"):
        return "Activate the tenant; what waits is delivered in order."
    if message.status == "waiting" and facts.events:
        return _ADVICE_AFTER.get(facts.events[-1].event, _ADVICE["waiting"])
    advice = _ADVICE.get(message.status)
    return advice.format(cloud=_CLOUD.get(message.direction, "the cloud")) if advice else None


def _facts(event: Event) -> dict[str, Any]:
    """What an event tells beside its name, under the names that the API uses."""
    return {_NAMES.get(name) or to_camel(name): value for name, value in event.detail.items() if value is not None}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
