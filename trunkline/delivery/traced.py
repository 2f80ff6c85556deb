"""The way of a message where traces are on: what it passes, each with a span around it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from opentelemetry.trace import Span, SpanKind, StatusCode

from trunkline.attempt import Claim, ClaimAnswer, Granted, Outcome
from trunkline.delivery.routes import Accepted, Access, Job, Prepared, Request, Route
from trunkline.delivery.sender import Attempts
from trunkline.delivery.turn import Done, Turn
from trunkline.envelope import Envelope
from trunkline.errors import TrunklineError
from trunkline.tenancy.tenant import Ask, Gone, Held, Later, Passage
from trunkline.tracing import (
    Delivering,
    Tracing,
    delivering,
    ending,
    fail,
    in_nanoseconds,
    traceparent_after,
    webhook_taken,
)

OUTCOME = "trunkline.outcome"
ATTEMPT = "trunkline.attempt"
LONGEST_CODE = 64
# Ends that somebody has to look at.
_BAD_ENDS = frozenset({"dead", "unknown"})
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Lanes(Protocol):
    """Where envelopes are stored."""

    async def publish(self, envelope: Envelope) -> bool:
        """Whether it went into its lane's queue, not the spool; raises StoreUnavailable."""


class TracedLanes:
    """Stores through `lanes`; what is stored carries its place in its trace."""

    def __init__(self, lanes: Lanes, tracing: Tracing) -> None:
        self._lanes = lanes
        self._tracing = tracing

    async def publish(self, envelope: Envelope) -> bool:
        """Whether it went into its lane's queue, not the spool; raises StoreUnavailable."""
        span = self._begin(envelope)
        if span is None:
            return await self._lanes.publish(envelope)
        with ending(span):
            queued = await self._lanes.publish(replace(envelope, traceparent=traceparent_after(span)))
            span.set_attribute("trunkline.stored_in", "queue" if queued else "spool")
            return queued

    def _begin(self, envelope: Envelope) -> Span | None:
        """The span of storing it; None when it is not traced, or is stored anew with the place that it has."""
        webhook, work = webhook_taken.get(), delivering.get()
        if work is not None:  # news of the message that is being delivered
            return self._tracing.start(work.span, "store", self._tracing.facts(envelope), SpanKind.PRODUCER)
        if webhook is None or not self._tracing.traces(envelope):
            return None
        facts = self._tracing.facts(envelope)
        received = self._tracing.begin(webhook, envelope, facts)
        return self._tracing.start(received, "store", facts, SpanKind.PRODUCER)


class TracedDelivery:
    """Delivers through `deliver`. The message's wait in its lane becomes a span once it is over."""

    def __init__(self, deliver: Callable[[Envelope, Turn], Awaitable[Done]], tracing: Tracing) -> None:
        self._deliver = deliver
        self._tracing = tracing

    async def __call__(self, envelope: Envelope, turn: Turn) -> Done:
        """Bring the envelope to its end; raises what the delivery raises."""
        place = self._tracing.place_of(envelope)
        if place is None:
            # A task may have been started, through the broker's connection, by one that delivered something else.
            delivering.set(None)
            return await self._deliver(envelope, turn)
        facts = self._tracing.facts(envelope)
        now_ns = time.time_ns()
        accepted_ns = min(in_nanoseconds(envelope.accepted_at), now_ns)
        self._tracing.start(place, "wait", facts, start_ns=accepted_ns).end(now_ns)
        work = Delivering(self._tracing.start(place, "deliver", facts, SpanKind.CONSUMER, now_ns), facts)
        work.span.set_attribute("trunkline.from_spool", turn.spooled)
        work.span.set_attribute("trunkline.redelivered", turn.redelivered)
        before = delivering.set(work)
        try:
            done = await self._deliver(envelope, _TracedTurn(turn, work.span))
            _note_end(work, work.outcome or "done")
            return done
        except TrunklineError as error:  # it gives way, or is taken up again
            _note_end(work, _word(error))
            raise
        except BaseException as error:
            fail(work.span, error)
            raise
        finally:
            delivering.reset(before)
            work.span.end()


class _TracedTurn:
    """A turn whose pauses the span tells."""

    def __init__(self, turn: Turn, span: Span) -> None:
        self._turn = turn
        self._span = span
        self.spooled = turn.spooled
        self.alone = turn.alone
        self.redelivered = turn.redelivered

    async def pause(self, wait_s: float, *, may_park: bool = True) -> None:
        """Wait as the turn does."""
        self._span.add_event("pause", {"wait_s": round(wait_s, 3)})
        await self._turn.pause(wait_s, may_park=may_park)


class Tenants(Protocol):
    """Whoever grants passage."""

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """Passage for one message, or why there is none."""


class TracedTenants:
    """Asks `tenants`; everything else is theirs."""

    def __init__(self, tenants: Tenants, tracing: Tracing) -> None:
        self._tenants = tenants
        self._tracing = tracing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tenants, name)

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """Passage for one message, or why there is none; raises Unavailable."""
        work = delivering.get()
        if work is None:
            return await self._tenants.admit(tenant_id, ask)
        with self._tracing.step(work, "admit") as span:
            answer = await self._tenants.admit(tenant_id, ask)
            span.set_attribute("trunkline.answer", _word(answer))
            if isinstance(answer, Passage | Later):
                span.set_attribute("trunkline.wait_s", answer.wait_s)
            return answer


class TracedAttempts:
    """Claims and settles through `attempts`."""

    def __init__(self, attempts: Attempts, tracing: Tracing) -> None:
        self._attempts = attempts
        self._tracing = tracing

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        """The answer, and until when (monotonic) a granted request may leave; raises StoreUnavailable."""
        work = delivering.get()
        if work is None:
            return await self._attempts.claim(claim)
        with self._tracing.step(work, "claim") as span:
            answer, leave_until = await self._attempts.claim(claim)
            span.set_attribute("trunkline.answer", _word(answer))
            if isinstance(answer, Granted):
                work.attempt = answer.attempt
                span.set_attribute(ATTEMPT, answer.attempt)
            return answer, leave_until

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """Store what became of an attempt; the span ends when that is committed."""
        stored = self._attempts.settle(outcome)
        work = delivering.get()
        if work is not None:
            work.outcome = outcome.status
            span = self._tracing.start(work.span, "record", work.facts)
            span.set_attribute(OUTCOME, outcome.status)
            span.set_attribute("trunkline.event", outcome.event)
            stored.add_done_callback(lambda stored: _end_stored(span, stored))
        return stored

    async def status(self, envelope: Envelope) -> str | None:
        """Where the message stands; raises StoreUnavailable."""
        return await self._attempts.status(envelope)


class TracedRoute:
    """Prepares and converts by `route`, and puts a span around each of the job's requests."""

    def __init__(self, route: Route, tracing: Tracing) -> None:
        self._route = route
        self._tracing = tracing

    async def prepare(self, envelope: Envelope) -> Prepared | None:
        """The job that `envelope` is; raises what the route raises."""
        work = delivering.get()
        if work is None:
            return await self._route.prepare(envelope)
        with self._tracing.step(work, "prepare"):
            prepared = await self._route.prepare(envelope)
        return replace(prepared, make=partial(self._convert, work, prepared.make)) if prepared else None

    def _convert(self, work: Delivering, make: Callable[[Access], Job], access: Access) -> Job:
        with self._tracing.step(work, "convert") as span:
            job = make(access)
            span.set_attribute("trunkline.requests", len(job.requests))
        return replace(job, requests=[partial(self._send, work, each) for each in job.requests])

    async def _send(self, work: Delivering, request: Request) -> Accepted:
        with self._tracing.step(work, "send", SpanKind.CLIENT) as span:
            work.call = span
            if work.attempt:
                span.set_attribute(ATTEMPT, work.attempt)
            try:
                accepted = await request()
            except TrunklineError as error:
                span.set_attribute(OUTCOME, _word(error))
                if (code := getattr(error, "code", None)) is not None:
                    span.set_attribute("trunkline.code", str(code)[:LONGEST_CODE])
                raise
            finally:
                work.call = None
            span.set_attribute(OUTCOME, "accepted")
            return accepted


def _note_end(work: Delivering, outcome: str) -> None:
    work.span.set_attribute(OUTCOME, outcome)
    if outcome in _BAD_ENDS:
        work.span.set_status(StatusCode.ERROR)


def _end_stored(span: Span, stored: asyncio.Future[None]) -> None:
    if stored.cancelled():
        span.set_status(StatusCode.ERROR)
    elif (error := stored.exception()) is not None:
        fail(span, error)
    span.end()


def _word(thing: object) -> str:
    """A class of ours as traces have it: `OutcomeUnknown` is `outcome_unknown`."""
    return _CAPITAL.sub("_", type(thing).__name__).lower()
