"""What a trace says, from what the tables hold."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trunkline.tenancy.history import DeadLetter, Event, Message, MessageFacts, Spooled
from trunkline.tenancy.standing import UNKNOWN, Standing
from trunkline.web.traces import Trace
from trunkline.web.traces import trace_of as _trace_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOOKED_AT = NOON + timedelta(seconds=2, milliseconds=500)
MESSAGE = Message(
    tenant_id="alder",
    message_id="5b8f9a52-64a7-4c1e-9a55-0d6f2f6b9c01",
    conversation_id=None,
    direction="inbound",
    kind="text",
    status="delivered",
    wamid="wamid.1",
    genesys_id="g1",
    text="hello",
    attempts=1,
    receipt=None,
    accepted_at=NOON,
    created_at=NOON,
    updated_at=NOON + timedelta(milliseconds=23),
)


def trace_of(facts: MessageFacts, standing: Standing = UNKNOWN) -> Trace:
    return _trace_of(facts, LOOKED_AT, standing)


def _message(status: str, **changes: Any) -> Message:
    return dataclasses.replace(MESSAGE, status=status, **changes)


def _event(name: str, **detail: Any) -> Event:
    return Event(NOON + timedelta(seconds=1), name, "a1", detail)


def _letter(reason: str, **changes: Any) -> DeadLetter:
    letter = DeadLetter(
        7, MESSAGE.message_id, "alder", "inbound", reason, "no such thing", 1, "wamid.1", None, NOON, NOON
    )
    return dataclasses.replace(letter, **changes)


def test_a_plain_delivery_is_told_by_its_row() -> None:
    trace = trace_of(MessageFacts(MESSAGE, None, "active"))
    assert trace.state == "delivered"
    assert trace.steps == [
        {"at": "2026-11-23T12:00:00.000Z", "step": "received"},
        {"at": "2026-11-23T12:00:00.023Z", "step": "delivered"},
    ]
    assert trace.attempts == [{"at": "2026-11-23T12:00:00.023Z", "outcome": "delivered"}]
    assert trace.waiting_for is None and trace.advice is None


def test_each_attempt_is_told_with_its_outcome() -> None:
    events = [_event("retry", error="503", wait_s=1.5, code=None), _event("repeated")]
    trace = trace_of(MessageFacts(MESSAGE, None, "active", events))
    assert [attempt["outcome"] for attempt in trace.attempts] == ["retry", "repeated"]
    assert trace.attempts[0] == {
        "at": "2026-11-23T12:00:01.000Z",
        "outcome": "retry",
        "attemptId": "a1",
        "error": "503",
        "waitSeconds": 1.5,
    }
    assert [step["step"] for step in trace.steps] == ["received", "retry", "repeated", "delivered"]


@pytest.mark.parametrize(
    ("status", "event", "tenant_status", "waiting_for"),
    [
        ("received", None, "active", "transformer"),
        ("received", None, "suspended", "activation"),
        ("waiting", "credentials_refused", "active", "credentials that Genesys Cloud accepts"),
        ("waiting", "throttled", "active", "pause that Genesys Cloud asked for"),
        ("waiting", "retry", "active", "next attempt"),
        ("waiting", "something new", "active", "next attempt"),
        ("waiting", "retry", "suspended", "activation"),
        ("sending", None, "suspended", "answer of Genesys Cloud"),
        ("unknown", "unknown", "active", "outcome is unknown"),
    ],
)
def test_what_waits_says_for_what_and_what_can_be_done(
    status: str, event: str | None, tenant_status: str, waiting_for: str
) -> None:
    events = [_event(event)] if event else []
    trace = trace_of(MessageFacts(_message(status), None, tenant_status, events))
    assert trace.waiting_for is not None and waiting_for in trace.waiting_for
    assert trace.advice


def _spooled(cause: str, due_in_s: float = 0.0) -> Spooled:
    spooled_at = NOON + timedelta(seconds=2)
    due_at = spooled_at + timedelta(seconds=due_in_s)
    return Spooled("alder", MESSAGE.message_id, "inbound", cause, NOON, spooled_at, due_at)


@pytest.mark.parametrize(
    ("status", "event", "spooled", "waiting_for"),
    [
        pytest.param("received", None, _spooled("broker_away"),
                     "its turn; it lies in Postgres, for RabbitMQ was away when it came", id="the broker was away"),
        pytest.param("waiting", "credentials_refused", _spooled("parked", 60),
                     "credentials that Genesys Cloud accepts; its conversation is parked in Postgres, "
                     "to be tried not before 2026-11-23T12:01:02.000Z", id="parked"),
        pytest.param("received", None, _spooled("parked", 60),
                     "its turn; its conversation is parked in Postgres, "
                     "to be tried not before 2026-11-23T12:01:02.000Z", id="parked behind another"),
        pytest.param("waiting", "replayed", _spooled("replayed"),
                     "its next attempt; it lies in Postgres, where its replay has put it behind what came before",
                     id="replayed"),
        pytest.param("waiting", "retry", _spooled("replayed", 30),
                     "its next attempt, in order, after a pause; longer while the tenant's circuit to Genesys Cloud is "
                     "open; it lies in Postgres, where its replay has put it behind what came before, "
                     "to be tried not before 2026-11-23T12:00:32.000Z", id="replayed and failed again"),
        pytest.param("sending", None, _spooled("parked"), "the answer of Genesys Cloud", id="on its way"),
    ],
)  # fmt: skip
def test_what_lies_in_postgres_says_why_and_until_when(
    status: str, event: str | None, spooled: Spooled, waiting_for: str
) -> None:
    events = [_event(event)] if event else []
    trace = trace_of(MessageFacts(_message(status), None, "active", events, spooled))
    assert trace.waiting_for == waiting_for
    assert trace.advice
    suspended = trace_of(MessageFacts(_message(status), None, "suspended", events, spooled))
    assert suspended.waiting_for is not None and ("activation" in suspended.waiting_for) is (status != "sending")


def test_what_has_no_row_but_waits_in_postgres_has_a_trace() -> None:
    event = Event(NOON + timedelta(seconds=1), "replayed", None, {"by": "key-1"})
    trace = trace_of(MessageFacts(None, None, "active", [event], _spooled("replayed")))
    assert (trace.state, trace.direction, trace.message_id) == ("waiting", "inbound", MESSAGE.message_id)
    assert [step["step"] for step in trace.steps] == ["replayed", "waiting"]
    assert trace.waiting_for is not None and "replay" in trace.waiting_for and trace.advice


@pytest.mark.parametrize(
    ("direction", "waiting_for"),
    [
        (
            "outbound",
            "a status that tells of the attempt whose outcome is unknown, until 2026-11-23T12:00:31.000Z at the "
            "latest; then it is repeated once",
        ),
        ("inbound", "the repetition of the attempt whose outcome is unknown, once and under the same id"),
    ],
)
def test_an_unknown_outcome_is_repeated_by_the_rule_of_its_cloud(direction: str, waiting_for: str) -> None:
    facts = MessageFacts(_message("unknown", direction=direction), None, "active", [_event("unknown", error="reset")])
    assert trace_of(facts).waiting_for == waiting_for


@pytest.mark.parametrize("last", ["repeated", None])
def test_a_delivery_after_an_unknown_outcome_is_told_as_such(last: str | None) -> None:
    events = [_event("unknown", error="reset"), *([_event(last)] if last else [])]
    outcomes = [attempt["outcome"] for attempt in trace_of(MessageFacts(MESSAGE, None, "active", events)).attempts]
    assert outcomes == ["unknown", last or "delivered"]


def test_a_replayed_message_was_received_when_it_first_came() -> None:
    replayed = _message(
        "delivered", accepted_at=NOON + timedelta(days=2), updated_at=NOON + timedelta(days=2, seconds=1)
    )
    events = [_event("dead", error="no"), Event(NOON + timedelta(days=2), "replayed", None, {"by": "key-1"})]
    trace = trace_of(MessageFacts(replayed, None, "active", events))
    assert [step["step"] for step in trace.steps] == ["received", "dead", "replayed", "delivered"]
    assert trace.steps[0]["at"] == "2026-11-23T12:00:00.000Z"
    assert [attempt["outcome"] for attempt in trace.attempts] == ["dead", "delivered"]


def test_a_message_delivered_without_its_file_is_not_to_be_replayed() -> None:
    trace = trace_of(MessageFacts(MESSAGE, _letter("media_unavailable"), "active", [_event("delivered", lacking="x")]))
    assert trace.advice is not None and "cannot be replayed" in trace.advice


def test_an_agents_message_waits_for_whatsapp() -> None:
    trace = trace_of(MessageFacts(_message("sending", direction="outbound"), None, "active"))
    assert trace.waiting_for == "the answer of WhatsApp"


@pytest.mark.parametrize(
    "reason",
    ["unrouted", "rejected", "exhausted", "unknown_outcome", "invalid", "unsupported", "window_closed",
     "media_unavailable", "poison", "tenant_deleted"],
)  # fmt: skip
def test_every_reason_of_a_dead_letter_comes_with_advice(reason: str) -> None:
    trace = trace_of(MessageFacts(_message("dead"), _letter(reason), "active", [_event("dead", error="no")]))
    assert trace.advice
    assert trace.waiting_for is None
    assert trace.steps[-1] | {"reason": reason, "answer": "no such thing"} == trace.steps[-1]
    stray = trace_of(MessageFacts(None, _letter(reason, tenant_id=None), None))
    assert (stray.state, stray.tenant_id, stray.advice) == ("dead", None, trace.advice)


def test_a_dead_letter_whose_content_was_let_go_is_not_said_to_be_replayable() -> None:
    letter = _letter("exhausted", has_content=False)
    advice = trace_of(MessageFacts(_message("dead"), letter, "active")).advice
    assert advice is not None and "cannot be replayed" in advice
