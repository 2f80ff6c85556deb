"""The transformer's and intake's partners, counted and timed: what stands between them and the work is only this."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from trunkline import metrics
from trunkline.attempt import (
    Behind,
    Busy,
    Claim,
    ClaimAnswer,
    Erased,
    Granted,
    Outcome,
    OutOfDate,
    Settled,
    Uncertain,
)
from trunkline.delivery.sender import Attempts
from trunkline.delivery.turn import Done, Turn
from trunkline.envelope import Direction, Envelope
from trunkline.measuring import Recorder, Spread, Tally
from trunkline.tenancy.tenant import Ask, Gone, Held, Later, Passage

# A transaction is for claims and outcomes of all directions.
ANY = "any"
ENDS = frozenset({"delivered", "dead"})
WINDOW_CLOSED = "window_closed"
GRANTS_REMEMBERED = 10_000
_ANSWERS: dict[type, str] = {
    Granted: "granted",
    Settled: "settled",
    Busy: "busy",
    Uncertain: "uncertain",
    Behind: "behind",
    OutOfDate: "out_of_date",
    Erased: "erased",
}
Deliver = Callable[[Envelope, Turn], Coroutine[Any, Any, Done]]


def _stages(recorder: Recorder, stage: str) -> dict[str, Spread]:
    return {direction.value: recorder.spread(metrics.STAGES, direction.value, stage) for direction in Direction}


class MeasuredAttempts:
    """A ledger; what becomes of attempts is counted when it is settled, by `now` (Unix seconds)."""

    def __init__(self, ledger: Attempts, recorder: Recorder, now: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._now = now
        self._claimed, self._sent = _stages(recorder, "claim"), _stages(recorder, "send")
        self._in_all, self._refused = _stages(recorder, "total"), _stages(recorder, "refused")
        self._answers = {
            (direction.value, kind): recorder.tally(metrics.CLAIMS, direction.value, name)
            for direction in Direction
            for kind, name in _ANSWERS.items()
        }
        self._outcomes: dict[tuple[str, str], Tally] = {}
        self._ends = recorder.by_tenant(metrics.TENANT_MESSAGES)
        self._granted_at: dict[str, float] = {}
        self.status = ledger.status

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        """As the ledger's."""
        began = time.perf_counter()
        answer = await self._ledger.claim(claim)
        answered = time.perf_counter()
        direction = claim.envelope.direction._value_
        kind = type(answer[0])
        self._claimed[direction].add(answered - began)
        self._answers[direction, kind].value += 1
        if kind is Granted:
            if len(self._granted_at) >= GRANTS_REMEMBERED:  # their work was cancelled
                self._granted_at.clear()
            self._granted_at[claim.attempt_id] = answered
        return answer

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """As the ledger's."""
        envelope, status = outcome.envelope, outcome.status
        direction = envelope.direction._value_
        outcomes = self._outcomes.get((direction, outcome.event))
        if outcomes is None:
            outcomes = self._recorder.tally(metrics.ATTEMPTS, direction, outcome.event)
            self._outcomes[direction, outcome.event] = outcomes
        outcomes.value += 1
        granted_at = self._granted_at.pop(outcome.attempt_id, None)
        if granted_at is not None:
            self._sent[direction].add(time.perf_counter() - granted_at)
        if status == "delivered":
            self._in_all[direction].add(self._now() - envelope.accepted_at)
        if status in ENDS:
            key = (envelope.tenant_id, direction, status)
            self._ends[key] = self._ends.get(key, 0) + 1
        if outcome.dead_letter is not None:
            self._give_up(envelope, direction, outcome.dead_letter.reason)
        return self._ledger.settle(outcome)

    def _give_up(self, envelope: Envelope, direction: str, reason: str) -> None:
        self._recorder.count(metrics.DEAD_LETTERS_MADE, direction, reason)
        if reason == WINDOW_CLOSED:
            self._refused[direction].add(self._now() - envelope.accepted_at)


class Exchanges(Protocol):
    """Where the ledger keeps claims and outcomes."""

    async def exchange(self, outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> Sequence[ClaimAnswer | Exception]:
        """Store the outcomes and answer the claims in one transaction; raises StoreUnavailable."""

    async def statuses(self, envelopes: Sequence[Envelope]) -> Sequence[str | None]:
        """Where each message stands; raises StoreUnavailable."""


class MeasuredExchanges:
    """The store below the ledger; each transaction is timed."""

    def __init__(self, store: Exchanges, recorder: Recorder) -> None:
        self._store = store
        self._recorded = recorder.spread(metrics.STAGES, ANY, "record")
        self.statuses = store.statuses

    async def exchange(self, outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> Sequence[ClaimAnswer | Exception]:
        """As the store's."""
        began = time.perf_counter()
        answers = await self._store.exchange(outcomes, claims)
        self._recorded.add(time.perf_counter() - began)
        return answers


class Admission(Protocol):
    """The tenants' cells, as asked for passage."""

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """Passage for one message, or why there is none; raises Unavailable."""


class TimedAdmission:
    """Asks for passage through `cells`, whose every other answer is theirs."""

    def __init__(self, cells: Admission, recorder: Recorder) -> None:
        self._cells = cells
        self._admitted = _stages(recorder, "admit")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cells, name)

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """As the cells'."""
        began = time.perf_counter()
        answer = await self._cells.admit(tenant_id, ask)
        self._admitted[ask.direction._value_].add(time.perf_counter() - began)
        return answer


def timed_delivery(deliver: Deliver, recorder: Recorder, now: Callable[[], float] = time.time) -> Deliver:
    """`deliver`, with the time that each message waited until it was taken up."""

    waited = _stages(recorder, "queue")

    def timed(envelope: Envelope, turn: Turn) -> Coroutine[Any, Any, Done]:
        waited[envelope.direction._value_].add(now() - envelope.accepted_at)
        return deliver(envelope, turn)

    return timed


class Lanes(Protocol):
    """Where intake stores envelopes."""

    async def publish(self, envelope: Envelope) -> bool:
        """Whether the envelope went into its lane's queue; it is stored in any case. Raises StoreUnavailable."""


class MeasuredLanes:
    """Stores envelopes through another, and counts where they went."""

    def __init__(self, lanes: Lanes, recorder: Recorder) -> None:
        self._lanes = lanes
        self._kept = {
            (direction.value, queued): recorder.tally(metrics.ACCEPTED, direction.value, "queue" if queued else "spool")
            for direction in Direction
            for queued in (True, False)
        }

    async def publish(self, envelope: Envelope) -> bool:
        """As the other's."""
        queued = await self._lanes.publish(envelope)
        self._kept[envelope.direction._value_, queued].value += 1
        return queued
