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
from trunkline.measuring import Recorder
from trunkline.tenancy.tenant import Ask, Gone, Held, Later, Passage

# A transaction is for claims and outcomes of all directions.
ANY = "any"
ENDS = frozenset({"delivered", "dead"})
WINDOW_CLOSED = "window_closed"
_ANSWERS: dict[type, str] = {
    Granted: "granted",
    Settled: "settled",
    Busy: "busy",
    Uncertain: "uncertain",
    Behind: "behind",
    OutOfDate: "out_of_date",
    Erased: "erased",
}
# An enum's own `value` costs as much as all else here.
_DIRECTIONS = {direction: direction.value for direction in Direction}

Deliver = Callable[[Envelope, Turn], Coroutine[Any, Any, Done]]


class MeasuredAttempts:
    """A ledger; what becomes of attempts is counted when it is settled, by `now` (Unix seconds)."""

    def __init__(self, ledger: Attempts, recorder: Recorder, now: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._now = now
        self.status = ledger.status

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        """As the ledger's."""
        began = time.perf_counter()
        answer = await self._ledger.claim(claim)
        direction = _DIRECTIONS[claim.envelope.direction]
        self._recorder.observe(metrics.STAGES, time.perf_counter() - began, direction, "claim")
        self._recorder.count(metrics.CLAIMS, direction, _ANSWERS[type(answer[0])])
        return answer

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """As the ledger's."""
        recorder, envelope, letter = self._recorder, outcome.envelope, outcome.dead_letter
        direction = _DIRECTIONS[envelope.direction]
        recorder.count(metrics.ATTEMPTS, direction, outcome.event)
        if outcome.status in ENDS:
            recorder.count_tenant(metrics.TENANT_MESSAGES, envelope.tenant_id, direction, outcome.status)
        if outcome.status == "delivered":
            recorder.observe(metrics.STAGES, max(0.0, self._now() - envelope.accepted_at), direction, "total")
        if letter is not None:
            recorder.count(metrics.DEAD_LETTERS_MADE, direction, letter.reason)
            if letter.reason == WINDOW_CLOSED:
                recorder.observe(metrics.STAGES, max(0.0, self._now() - envelope.accepted_at), direction, "refused")
        return self._ledger.settle(outcome)


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
        self._recorder = recorder
        self.statuses = store.statuses

    async def exchange(self, outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> Sequence[ClaimAnswer | Exception]:
        """As the store's."""
        began = time.perf_counter()
        answers = await self._store.exchange(outcomes, claims)
        self._recorder.observe(metrics.STAGES, time.perf_counter() - began, ANY, "record")
        return answers


class Admission(Protocol):
    """The tenants' cells, as asked for passage."""

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """Passage for one message, or why there is none; raises Unavailable."""


class TimedAdmission:
    """Asks for passage through `cells`, whose every other answer is theirs."""

    def __init__(self, cells: Admission, recorder: Recorder) -> None:
        self._cells = cells
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cells, name)

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """As the cells'."""
        began = time.perf_counter()
        answer = await self._cells.admit(tenant_id, ask)
        self._recorder.observe(metrics.STAGES, time.perf_counter() - began, _DIRECTIONS[ask.direction], "admit")
        return answer


def timed_delivery(deliver: Deliver, recorder: Recorder, now: Callable[[], float] = time.time) -> Deliver:
    """`deliver`, with the time that each message waited until it was taken up."""

    def timed(envelope: Envelope, turn: Turn) -> Coroutine[Any, Any, Done]:
        waited_s = max(0.0, now() - envelope.accepted_at)
        recorder.observe(metrics.STAGES, waited_s, _DIRECTIONS[envelope.direction], "queue")
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
        self._recorder = recorder

    async def publish(self, envelope: Envelope) -> bool:
        """As the other's."""
        queued = await self._lanes.publish(envelope)
        self._recorder.count(metrics.ACCEPTED, _DIRECTIONS[envelope.direction], "queue" if queued else "spool")
        return queued
