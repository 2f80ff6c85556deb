"""A message's trace: its steps and attempts, and what an operator can do once it waits for nothing more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel

from trunkline.tenancy.history import DeadLetter, Event, Message, MessageFacts, Spooled
from trunkline.tenancy.standing import UNKNOWN, Standing
from trunkline.web.waits import CLOUDS, WAITING_STATES, iso, wait_of

_ADVICE = {
    "failed": "{cloud} accepted it and could not deliver it: the last step, or the receipt, says why.",
    "purged": "It was purged or erased on request and is not delivered: trunkline audit list says by whom.",
}
# The cloud has it; whether it has arrived there, only the cloud can tell.
_ADVICE_UNREPORTED = (
    "WhatsApp accepted it and has not said that it arrived: the phone may be off, or have blocked the number. Nothing "
    "to do here; a failure would be reported to the agent."
)
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
_ADVICE_WITHOUT_CONTENT = "Its content is kept no longer, so it cannot be replayed: ask its sender to send it again."

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
    waiting_until: str | None
    advice: str | None
    conversation_id: str | None = None
    wamid: str | None = None
    genesys_id: str | None = None
    receipt: str | None = None


def trace_of(facts: MessageFacts, now: datetime, standing: Standing = UNKNOWN) -> Trace:
    """The trace that the tables tell; of what has not left, with what else is known of its tenant just now."""
    if facts.message is None:
        if facts.dead_letter is not None:
            return _trace_of_stray(facts.dead_letter, facts.events)
        assert facts.spooled is not None
        return _trace_of_spooled(facts.spooled, facts, standing, now)
    message = facts.message
    wait = None
    if message.status in WAITING_STATES:
        wait = wait_of(message.direction, message.status, facts, standing, now)
    attempts = [_attempt(event) for event in facts.events if event.attempt_id is not None]
    if message.status in ("delivered", "failed") and not any(
        a["outcome"] in ("delivered", "repeated") for a in attempts
    ):
        # A delivery without trouble is told by the message's own row.
        attempts.append({"at": iso(message.updated_at), "outcome": "delivered"})
    return Trace(
        message_id=message.message_id,
        tenant_id=message.tenant_id,
        direction=message.direction,
        state=message.status,
        steps=_steps(message, facts.events, facts.dead_letter),
        attempts=attempts,
        waiting_for=wait.what if wait else None,
        waiting_until=iso(wait.until) if wait and wait.until else None,
        advice=wait.advice if wait else _advice(message, facts),
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
            *({"at": iso(event.at), "step": event.event, **_facts(event)} for event in events),
            {"at": iso(letter.created_at), "step": "dead", "reason": letter.reason, "answer": letter.answer},
        ],
        attempts=[_attempt(event) for event in events if event.attempt_id is not None],
        waiting_for=None,
        waiting_until=None,
        advice=_advice_for(letter),
        wamid=letter.wamid,
        genesys_id=letter.genesys_id,
    )


def _trace_of_spooled(spooled: Spooled, facts: MessageFacts, standing: Standing, now: datetime) -> Trace:
    """A status, or a message that is not recorded yet."""
    wait = wait_of(spooled.direction, "waiting", facts, standing, now)
    return Trace(
        message_id=spooled.message_id,
        tenant_id=spooled.tenant_id,
        direction=spooled.direction,
        state="waiting",
        steps=[
            *({"at": iso(event.at), "step": event.event, **_facts(event)} for event in facts.events),
            {"at": iso(spooled.spooled_at), "step": "waiting"},
        ],
        attempts=[_attempt(event) for event in facts.events if event.attempt_id is not None],
        waiting_for=wait.what,
        waiting_until=iso(wait.until) if wait.until else None,
        advice=wait.advice,
    )


def _steps(message: Message, events: list[Event], letter: DeadLetter | None) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"at": iso(_received_at(message, events)), "step": "received"}]
    steps += [{"at": iso(event.at), "step": event.event, **_facts(event)} for event in events]
    if message.status not in ("received", steps[-1]["step"]):
        steps.append({"at": iso(message.updated_at), "step": message.status})
    if letter is not None:
        steps[-1] |= {"reason": letter.reason, "answer": letter.answer}
    return steps


def _attempt(event: Event) -> dict[str, Any]:
    return {"at": iso(event.at), "outcome": event.event, "attemptId": event.attempt_id, **_facts(event)}


def _received_at(message: Message, events: list[Event]) -> datetime:
    # A replayed message counts as accepted at its replay, its row stays as old as it is.
    replayed = any(event.event == "replayed" for event in events)
    return min(message.accepted_at, message.created_at, events[0].at) if replayed else message.accepted_at


def _advice(message: Message, facts: MessageFacts) -> str | None:
    letter = facts.dead_letter
    if letter is not None and message.status == "delivered":
        return _ADVICE_WITHOUT_FILE
    if letter is not None and message.status == "dead":
        return _advice_for(letter)
    if message.status == "delivered" and message.direction == "outbound" and message.receipt in (None, "sent"):
        return _ADVICE_UNREPORTED
    advice = _ADVICE.get(message.status)
    return advice.format(cloud=CLOUDS.get(message.direction, "the cloud")) if advice else None


def _advice_for(letter: DeadLetter) -> str | None:
    advice = _ADVICE_FOR_DEAD.get(letter.reason) if letter.has_content else _ADVICE_WITHOUT_CONTENT
    return advice.format(id=letter.id) if advice else None


def _facts(event: Event) -> dict[str, Any]:
    """What an event tells beside its name, under the names that the API uses."""
    return {_NAMES.get(name) or to_camel(name): value for name, value in event.detail.items() if value is not None}
