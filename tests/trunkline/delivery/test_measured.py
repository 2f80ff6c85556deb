"""What is counted and timed on a message's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes import Clock, GatheringSink, Measured, MemoryMessages, envelope
from trunkline import metrics
from trunkline.attempt import Claim, DeadLetter, Outcome, new_attempt_id
from trunkline.delivery.ledger import Ledger
from trunkline.delivery.measured import (
    MeasuredAttempts,
    MeasuredExchanges,
    MeasuredLanes,
    TimedAdmission,
    timed_delivery,
)
from trunkline.delivery.turn import Done
from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable
from trunkline.measuring import Recorder
from trunkline.tenancy.tenant import Ask, Held

ACCEPTED_AT = 1_795_435_200.0


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def measured(recorder: Recorder) -> Measured:
    return Measured(recorder)


@pytest.fixture
def clock() -> Clock:
    return Clock(ACCEPTED_AT + 3)


@pytest.fixture
def attempts(recorder: Recorder, clock: Clock) -> MeasuredAttempts:
    return MeasuredAttempts(Ledger(MeasuredExchanges(MemoryMessages(), recorder)), recorder, clock)


async def claim(attempts: MeasuredAttempts, message: Envelope) -> str:
    attempt_id = new_attempt_id()
    await attempts.claim(Claim(message, None, None, 1, attempt_id, "owner", 15.0))
    return attempt_id


async def test_a_delivered_message_is_counted_by_outcome_and_tenant_and_timed(
    attempts: MeasuredAttempts, measured: Measured
) -> None:
    message = envelope(1)
    attempt_id = await claim(attempts, message)
    await attempts.settle(Outcome(message, attempt_id, "delivered", "delivered"))
    await attempts.claim(Claim(message, None, None, 1, new_attempt_id(), "owner", 15.0))
    assert measured(metrics.CLAIMS, "inbound", "granted") == 1
    assert measured(metrics.CLAIMS, "inbound", "settled") == 1, "a repetition"
    assert measured(metrics.ATTEMPTS, "inbound", "delivered") == 1
    assert measured(metrics.TENANT_MESSAGES, "acme", "inbound", "delivered") == 1
    assert measured(metrics.STAGES, "inbound", "total") == 1
    assert measured(metrics.STAGES, "inbound", "claim") == 2
    assert measured(metrics.STAGES, "inbound", "send") == 1
    assert measured(metrics.STAGES, "any", "record") == 3, "one for each transaction"


async def test_the_total_time_is_from_acceptance_to_delivery(attempts: MeasuredAttempts, recorder: Recorder) -> None:
    message = envelope(1, accepted_at=ACCEPTED_AT)
    await attempts.settle(Outcome(message, await claim(attempts, message), "delivered", "delivered"))
    sink = GatheringSink()
    recorder.hand_over(sink)
    totals = {labels: total for metric, labels, _, total in sink.observed if metric is metrics.STAGES}
    assert totals["inbound", "total"] == 3.0


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        pytest.param({"status": "waiting", "event": "retry"}, {}, id="again"),
        pytest.param({"status": "unknown", "event": "unknown"}, {}, id="nobody knows"),
        pytest.param(
            {"status": "dead", "event": "dead", "dead_letter": DeadLetter("rejected", "no")},
            {(metrics.DEAD_LETTERS_MADE, "outbound", "rejected"): 1, (metrics.STAGES, "outbound", "refused"): None},
            id="given up",
        ),
        pytest.param(
            {"status": "dead", "event": "dead", "dead_letter": DeadLetter("window_closed", "no")},
            {(metrics.DEAD_LETTERS_MADE, "outbound", "window_closed"): 1, (metrics.STAGES, "outbound", "refused"): 1},
            id="refused for its window",
        ),
    ],
)
async def test_what_else_becomes_of_an_attempt_is_counted_by_its_outcome(
    attempts: MeasuredAttempts, measured: Measured, outcome: dict[str, Any], counted: dict[Any, float | None]
) -> None:
    message = envelope(1, Direction.OUTBOUND)
    await attempts.settle(Outcome(message, await claim(attempts, message), **outcome))
    assert measured(metrics.ATTEMPTS, "outbound", outcome["event"]) == 1
    assert measured(metrics.STAGES, "outbound", "total") is None
    ended = measured(metrics.TENANT_MESSAGES, "acme", "outbound", "dead")
    assert ended == (1 if outcome["status"] == "dead" else None)
    assert {key: measured(*key) for key in counted} == counted


async def test_passage_is_timed_and_all_else_of_the_cells_is_theirs(recorder: Recorder, measured: Measured) -> None:
    class Cells:
        async def admit(self, tenant_id: str, ask: Ask) -> Held:
            return Held(tenant_id, 1.0)

        async def unused(self, tenant_id: str) -> str:
            return f"{tenant_id} unused"

    cells = TimedAdmission(Cells(), recorder)
    answer = await cells.admit("acme", Ask(Direction.STATUS, "447700900111", ACCEPTED_AT))
    assert answer == Held("acme", 1.0)
    assert await cells.unused("acme") == "acme unused"
    assert measured(metrics.STAGES, "status", "admit") == 1


async def test_the_wait_in_the_queue_is_over_when_a_message_is_taken_up(
    recorder: Recorder, measured: Measured, clock: Clock
) -> None:
    under_way = asyncio.Event()

    async def deliver(envelope: Envelope, turn: Any) -> Done:
        under_way.set()
        await asyncio.Event().wait()
        return Done()

    turn: Any = None
    task = asyncio.create_task(timed_delivery(deliver, recorder, clock)(envelope(1, accepted_at=ACCEPTED_AT), turn))
    await under_way.wait()
    assert measured(metrics.STAGES, "inbound", "queue") == 1
    task.cancel()


@pytest.mark.parametrize(("queued", "kept"), [(True, "queue"), (False, "spool")])
async def test_what_intake_stores_is_counted_by_where(
    recorder: Recorder, measured: Measured, queued: bool, kept: str
) -> None:
    class Lanes:
        async def publish(self, envelope: Envelope) -> bool:
            return queued

    assert await MeasuredLanes(Lanes(), recorder).publish(envelope(1)) is queued
    assert measured(metrics.ACCEPTED, "inbound", kept) == 1


async def test_what_nobody_takes_is_not_counted_as_accepted(recorder: Recorder, measured: Measured) -> None:
    class Away:
        async def publish(self, envelope: Envelope) -> bool:
            raise StoreUnavailable("both are away")

    with pytest.raises(StoreUnavailable):
        await MeasuredLanes(Away(), recorder).publish(envelope(1))
    assert [measured(metrics.ACCEPTED, "inbound", kept) for kept in ("queue", "spool")] == [None, None]
