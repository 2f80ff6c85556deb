"""Why a message has not arrived: what it waits for, until when, and what can be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.trunkline.web.test_traces import LOOKED_AT, MESSAGE, NOON
from trunkline.tenancy.history import Event, MessageFacts, Spooled
from trunkline.tenancy.standing import UNKNOWN, Hindrance, Obstacle, Standing
from trunkline.web.waits import Wait, wait_of


def _wait(
    status: str,
    standing: Standing = UNKNOWN,
    *,
    event: Event | None = None,
    spooled: Spooled | None = None,
    direction: str = "inbound",
    tenant_status: str = "active",
    claim_until: datetime | None = None,
) -> Wait:
    message = replace(MESSAGE, status=status, direction=direction, claim_until=claim_until)
    facts = MessageFacts(message, None, tenant_status, [event] if event else [], spooled)
    return wait_of(direction, status, facts, standing, LOOKED_AT)


def _event(name: str, **detail: Any) -> Event:
    return Event(NOON + timedelta(seconds=1), name, "a1", detail)


def _hindered(hindrance: Hindrance, words: str = "503 no", left_s: float | None = 12.0) -> Standing:
    return Standing(Obstacle(hindrance, words, left_s), is_read=True)


def _spooled(cause: str, due_in_s: float = 0.0) -> Spooled:
    return Spooled("alder", MESSAGE.message_id, "inbound", cause, NOON, NOON, LOOKED_AT + timedelta(seconds=due_in_s))


IN_12_S = LOOKED_AT + timedelta(seconds=12)


@pytest.mark.parametrize(
    ("direction", "hindrance", "what", "advice"),
    [
        ("inbound", Hindrance.CREDENTIALS, "credentials that Genesys Cloud accepts; it says: 503 no", "tenants update"),
        ("outbound", Hindrance.CREDENTIALS, "credentials that WhatsApp accepts", "tenants update alder"),
        ("outbound", Hindrance.FAILING, "WhatsApp to be well again: the tenant's circuit to it is open", "probes"),
        ("status", Hindrance.THROTTLED, "the pause that Genesys Cloud asked for", "grant more"),
        ("inbound", Hindrance.NO_TOKEN, "a Genesys token: 503 no", "/auth/token"),
        ("outbound", Hindrance.PERSON_LIMIT, "its customer's turn", "whatsappPersonBurst"),
        ("inbound", Hindrance.OWN_LIMIT, "the tenant's own limit towards Genesys Cloud", "genesysRequestsPerMinute"),
    ],
)
@pytest.mark.parametrize("status", ["received", "waiting"])
def test_what_is_in_the_way_of_the_tenants_messages_is_told_until_the_next_try(
    status: str, direction: str, hindrance: Hindrance, what: str, advice: str
) -> None:
    wait = _wait(status, _hindered(hindrance), direction=direction)
    assert what in wait.what and advice in wait.advice
    assert wait.until == IN_12_S
    assert wait.what.endswith(", to be tried not before 2026-11-23T12:00:14.500Z")


def test_a_suspended_tenants_message_waits_for_the_activation_whatever_else_there_is() -> None:
    spooled = _spooled("parked", 60)
    for status in ("received", "waiting"):
        wait = _wait(status, _hindered(Hindrance.FAILING), tenant_status="suspended", spooled=spooled)
        assert "activation of its tenant" in wait.what
        assert wait.until is None
        assert "trunkline tenants activate alder" in wait.advice


def test_a_probe_that_may_leave_now_has_no_time_to_wait_for() -> None:
    assert _wait("waiting", _hindered(Hindrance.FAILING, left_s=0.0)).until is None


def test_without_a_reader_the_lane_is_what_it_waits_for() -> None:
    wait = _wait("received", Standing(is_read=False))
    assert wait.what == "a transformer to read its lane, which none does now"
    assert "pools list" in wait.advice
    assert "queue" in _wait("received", Standing(is_read=True)).what
    assert "queue" in _wait("received", UNKNOWN).what


def test_what_is_parked_for_a_while_needs_no_reader_until_then() -> None:
    unread = Standing(is_read=False)
    assert "its turn" in _wait("received", unread, spooled=_spooled("parked", 60)).what
    assert "a transformer to read its lane" in _wait("received", unread, spooled=_spooled("replayed", -1)).what


@pytest.mark.parametrize(
    ("event", "until"),
    [
        pytest.param(_event("retry", wait_s=4.0), NOON + timedelta(seconds=5), id="a pause"),
        pytest.param(_event("retry", wait_s=0.5), None, id="a pause that is over"),
        pytest.param(_event("throttled", retry_after_s=30.0), NOON + timedelta(seconds=31), id="as the cloud asked"),
        pytest.param(_event("credentials_refused"), None, id="nobody can say"),
        pytest.param(_event("part_sent"), None, id="at once"),
    ],
)
def test_the_last_attempt_says_until_when_if_nobody_knows_better(event: Event, until: datetime | None) -> None:
    assert _wait("waiting", event=event).until == until


def test_the_latest_of_what_stands_in_the_way_counts() -> None:
    event = _event("throttled", retry_after_s=30.0)
    wait = _wait("waiting", _hindered(Hindrance.THROTTLED), event=event, spooled=_spooled("parked", 60))
    assert wait.until == LOOKED_AT + timedelta(seconds=60)
    assert "parked in Postgres" in wait.what


def test_a_small_wait_of_its_own_limit_does_not_hide_what_the_last_attempt_said() -> None:
    wait = _wait("waiting", _hindered(Hindrance.OWN_LIMIT, left_s=0.2), event=_event("retry", wait_s=9.0))
    assert "after a pause" in wait.what and wait.until == NOON + timedelta(seconds=10)


def test_what_is_on_its_way_waits_for_an_answer_until_it_counts_as_unknown() -> None:
    until = LOOKED_AT + timedelta(seconds=15)
    wait = _wait("sending", _hindered(Hindrance.FAILING), direction="outbound", claim_until=until)
    assert wait.what == "the answer of WhatsApp, until 2026-11-23T12:00:17.500Z at the latest"
    assert wait.until == until
    assert _wait("sending", claim_until=NOON).until is None


def test_an_unknown_outcome_waits_for_a_status_for_30_s_or_is_repeated_at_once() -> None:
    unknown = _event("unknown", error="reset")
    assert _wait("unknown", event=unknown, direction="outbound").until == NOON + timedelta(seconds=31)
    assert _wait("unknown", event=unknown).until is None


def test_a_failure_that_the_agent_is_told_of_first_waits_for_the_broker() -> None:
    assert "RabbitMQ" in _wait("waiting", event=_event("receipt_waits"), direction="outbound").what
