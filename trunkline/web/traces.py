"""A message's trace: its steps and attempts, what it waits for, and what an operator can do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic.alias_generators import to_camel

from trunkline.tenancy.history import DeadLetter, Event, Message, MessageFacts, Spooled

_CLOUD = {"inbound": "Genesys Cloud", "outbound": "WhatsApp", "status": "Genesys Cloud"}

# What a message in this state waits for, when its last attempt says nothing better.
_WAITING_FOR = {
    "received": "a transformer to take it from its queue",
    "waiting": "its next attempt",
    "sending": "the answer of {cloud}",
    "unknown": "the repetition of the attempt whose outcome is unknown, once and under the same id",
}
_WAITING_FOR_STATUS = "a status that tells of the attempt whose outcome is unknown, for 30 s; then it is repeated once"
_WAITING_AFTER = {
    "credentials_refused": "credentials that {cloud} accepts",
    "throttled": "the end of the pause that {cloud} asked for",
    "retry": "its next attempt, in order, after a pause; longer while the tenant's circuit to {cloud} is open",
    "part_sent": "the sending of its next part",
    "receipt_waits": "RabbitMQ, to report the failure to the agent",
}
# Why it waits in Postgres and not in its queue.
_SPOOLED = {
    "broker_away": "it lies in Postgres, for RabbitMQ was away when it came",
    "parked": "its conversation is parked in Postgres",
    "replayed": "it lies in Postgres, where its replay has put it behind what came before",
}
_ADVICE_AFTER = {
    "credentials_refused": "Correct the tenant's credentials; what waits is delivered by itself within 10 s.",
    "throttled": "Nothing to do; if it happens often, have the cloud grant more and raise the tenant's settings.",
    "retry": "Nothing to do unless it lasts; the last attempt's answer, and the tenant's status, say what is missing.",
}
_ADVICE = {
    "received": "If it stays, see GET /health for the pools and the tenant's status.",
    "waiting": "If it stays, see the tenant's status and the last attempt.",
    "sending": "If it stays, its sender died; the message is taken over by itself.",
    "unknown": "Nothing to do; it is repeated once by the stated rule, or given up as unknown_outcome.",
    "failed": "{cloud} accepted it and could not deliver it: the last step, or the receipt, says why.",
}
_ADVICE_FOR_SPOOLED = "Nothing to do; it is taken up by itself, before anything newer of its conversation."
_REPLAY = "replay it: trunkline dead-letters replay {id}"
_ADVICE_FOR_DEAD = {
    "unrouted": f"No tenant owns the number or integration: make or correct the tenant, then {_REPLAY}.",
    "rejected": f"The cloud said no, see the answer: correct what it names, then {_REPLAY}.",
    "exhausted": f"Every attempt failed: once the cloud is well, {_REPLAY}.",
    "unknown_outcome": f"It may have been delivered: look at the far side, and only if it is not there {_REPLAY}.",
    "invalid": "The message is not valid and will not be on replay: tell its sender.",
    "unsupported": "The far side cannot show this kind of message: tell its sender.",
    "window_closed": f"WhatsApp's 24 hours are over: send a template, or once the customer has written {_REPLAY}.",
    "media_unavailable": f"An attachment could not be fetched: ask for it again, or {_REPLAY}.",
    "poison": f"It ends its reader, or cannot be read: report it as a bug, with this trace; once mended, {_REPLAY}.",
    "tenant_deleted": "The tenant was deleted while this waited; without the tenant it cannot be replayed.",
}
_ADVICE_WITHOUT_FILE = "The rest was delivered, so it cannot be replayed: ask for the attachment again."
# So long a wait in the spool has been chosen.
_AT_ONCE = timedelta(seconds=1)


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
        if facts.dead_letter is not None:
            return _trace_of_stray(facts.dead_letter, facts.events)
        assert facts.spooled is not None
        return _trace_of_spooled(facts.spooled, facts)
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
        advice=_advice_for(letter),
        wamid=letter.wamid,
        genesys_id=letter.genesys_id,
    )


def _trace_of_spooled(spooled: Spooled, facts: MessageFacts) -> Trace:
    """A status, or a message that is not recorded yet."""
    return Trace(
        message_id=spooled.message_id,
        tenant_id=spooled.tenant_id,
        direction=spooled.direction,
        state="waiting",
        steps=[
            *({"at": _iso(event.at), "step": event.event, **_facts(event)} for event in facts.events),
            {"at": _iso(spooled.spooled_at), "step": "waiting"},
        ],
        attempts=[_attempt(event) for event in facts.events if event.attempt_id is not None],
        waiting_for=_waiting(spooled.direction, "waiting", facts),
        advice=_advice_while_waiting("waiting", facts),
    )


def _steps(message: Message, events: list[Event], letter: DeadLetter | None) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"at": _iso(_received_at(message, events)), "step": "received"}]
    steps += [{"at": _iso(event.at), "step": event.event, **_facts(event)} for event in events]
    if message.status not in ("received", steps[-1]["step"]):
        steps.append({"at": _iso(message.updated_at), "step": message.status})
    if letter is not None:
        steps[-1] |= {"reason": letter.reason, "answer": letter.answer}
    return steps


def _attempt(event: Event) -> dict[str, Any]:
    return {"at": _iso(event.at), "outcome": event.event, "attemptId": event.attempt_id, **_facts(event)}


def _received_at(message: Message, events: list[Event]) -> datetime:
    # A replayed message counts as accepted at its replay, its row stays as old as it is.
    replayed = any(event.event == "replayed" for event in events)
    return min(message.accepted_at, message.created_at, events[0].at) if replayed else message.accepted_at


def _waiting_for(message: Message, facts: MessageFacts) -> str | None:
    return _waiting(message.direction, message.status, facts) if message.status in _WAITING_FOR else None


def _waiting(direction: str, status: str, facts: MessageFacts) -> str:
    if facts.tenant_status == "suspended" and status != "sending":
        return "the activation of its tenant, which is suspended"
    text = _WAITING_FOR_STATUS if (direction, status) == ("outbound", "unknown") else _WAITING_FOR[status]
    if status == "waiting" and facts.events:
        text = _WAITING_AFTER.get(facts.events[-1].event, text)
    text = text.format(cloud=_CLOUD.get(direction, "the cloud"))
    spooled = facts.spooled
    if spooled is None or status == "sending":
        return text
    if status == "received":
        text = "its turn"
    is_late = spooled.due_at - spooled.spooled_at > _AT_ONCE
    when = f", to be tried not before {_iso(spooled.due_at)}" if is_late else ""
    return f"{text}; {_SPOOLED[spooled.cause]}{when}"


def _advice(message: Message, facts: MessageFacts) -> str | None:
    letter = facts.dead_letter
    if letter is not None and message.status == "delivered":
        return _ADVICE_WITHOUT_FILE
    if letter is not None and message.status == "dead":
        return _advice_for(letter)
    if message.status in ("received", "waiting"):
        return _advice_while_waiting(message.status, facts)
    advice = _ADVICE.get(message.status)
    return advice.format(cloud=_CLOUD.get(message.direction, "the cloud")) if advice else None


def _advice_while_waiting(status: str, facts: MessageFacts) -> str:
    if facts.tenant_status == "suspended":
        return "Activate the tenant; what waits is delivered in order."
    after = _ADVICE_AFTER.get(facts.events[-1].event) if status == "waiting" and facts.events else None
    return after or (_ADVICE_FOR_SPOOLED if facts.spooled else _ADVICE[status])


def _advice_for(letter: DeadLetter) -> str | None:
    advice = _ADVICE_FOR_DEAD.get(letter.reason)
    return advice.format(id=letter.id) if advice else None


def _facts(event: Event) -> dict[str, Any]:
    """What an event tells beside its name, under the names that the API uses."""
    return {_NAMES.get(name) or to_camel(name): value for name, value in event.detail.items() if value is not None}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
