"""The transformer's work on one envelope: ask its tenant, claim, send, record; again, in order, until it is settled."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from trunkline.attempt import (
    CLAIM_GRACE_S,
    Busy,
    Claim,
    ClaimAnswer,
    DeadLetter,
    Granted,
    Outcome,
    OutOfDate,
    Settled,
    Uncertain,
    new_attempt_id,
    owner_is_dead,
)
from trunkline.delivery.failures import failed_status
from trunkline.delivery.gate import Gate, Ticket
from trunkline.delivery.held import LaneHeld
from trunkline.delivery.preparation import ASK_AGAIN_S, Preparation
from trunkline.delivery.retry import RetryIn, RetryPolicy
from trunkline.delivery.routes import Accepted, Job, Route, is_sign_of_life
from trunkline.envelope import Direction, Envelope
from trunkline.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    Rejected,
    Throttled,
    TrunklineError,
    Unavailable,
)
from trunkline.tenancy.tenant import Ask, Cloud, Gone, Held, Passage, cloud_of

log = logging.getLogger(__name__)

SECOND_UNKNOWN = 2
PAIR_RATE_CODE = "131056"


class Tenants(Protocol):
    """The tenants' cells; every call raises Unavailable while its cell cannot be reached."""

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Held | Gone:
        """Passage for one message, or why there is none."""

    async def outdated(self, tenant_id: str, epoch: int) -> None:
        """The activation with this epoch has been superseded."""

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        """The cloud refused a call for its credentials."""

    async def throttled(self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float) -> None:
        """The cloud asked to wait."""

    async def accepted(self, tenant_id: str, cloud: Cloud) -> None:
        """The cloud accepted a probe."""


class Claims(Protocol):
    """The ledger."""

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        """The answer, and until when (monotonic) a granted request may leave; raises StoreUnavailable."""

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """Store what became of an attempt."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do once `stored` is done; None when nothing had to be stored."""

    stored: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Take the next step after a wait."""

    wait_s: float = 0.0
    # An attempt that was claimed, as far as we know, but never left.
    unsent: str | None = None


Pause = Callable[[float], Awaitable[None]]


class Transformer:
    """Delivers envelopes of many tenants, at most `calls_in_flight` calls at once for each tenant and cloud."""

    def __init__(
        self,
        tenants: Tenants,
        ledger: Claims,
        routes: dict[Direction, Route],
        report_failure: Callable[[Envelope], Awaitable[None]],
        *,
        owner: str,
        cloud_timeout_s: float,
        calls_in_flight: int,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._tenants = tenants
        self._ledger = ledger
        self._routes = routes
        self._report_failure = report_failure
        self._owner = owner
        self._claim_s = cloud_timeout_s + CLAIM_GRACE_S
        self._policy = policy or RetryPolicy()
        self._gates: defaultdict[tuple[str, Cloud], Gate] = defaultdict(lambda: Gate(calls_in_flight))
        self.delivered = 0

    def forget(self, tenant_id: str) -> None:
        """Drop what is kept for a tenant whose lanes have gone."""
        for cloud in Cloud:
            self._gates.pop((tenant_id, cloud), None)

    async def deliver(self, envelope: Envelope, pause: Pause) -> Done:
        """Bring `envelope` to its end. `pause` waits in place and may raise; raises LaneHeld when all must wait."""
        step: Done | Again = Again()
        preparation = Preparation(envelope, self._routes[envelope.direction], self._policy)
        while isinstance(step, Again):
            if step.wait_s > 0:
                await pause(step.wait_s)
            step = await self._step(envelope, pause, preparation, step.unsent)
        return step

    async def _step(
        self, envelope: Envelope, pause: Pause, preparation: Preparation, unsent: str | None
    ) -> Done | Again:
        gate = self._gates[envelope.tenant_id, cloud_of(envelope.direction)]
        try:
            prepared = await preparation.make()
            if prepared is None:
                return Done()
            ticket = await gate.ticket()
            ask = Ask(envelope.direction, envelope.conversation, envelope.accepted_at, not is_sign_of_life(envelope))
            passage = await self._tenants.admit(envelope.tenant_id, ask)
            if isinstance(passage, Gone):
                return self._bury(envelope, new_attempt_id(), Rejected("tenant_deleted", "the tenant was deleted"))
            if isinstance(passage, Held):
                raise LaneHeld(passage.reason, passage.retry_after_s)
        except Unavailable as error:
            log.info("delivery.waits", extra={**_facts(envelope), "error": str(error)})
            return Again(preparation.wait_s, unsent)
        if passage.wait_s > 0:
            await pause(passage.wait_s)
        job = preparation.job(prepared, passage.access)
        async with gate.slots:
            if not ticket.is_valid:
                return Again(unsent=unsent)
            if is_sign_of_life(envelope):
                return await self._show(envelope, passage, job, ticket)
            return await self._claim_and_send(envelope, passage, job, ticket, unsent)

    async def _show(self, envelope: Envelope, passage: Passage, job: Job, ticket: Ticket) -> Done:
        """Send what is of no use later: once, whatever becomes of it."""
        for request in job.requests:
            try:
                await request()
            except TrunklineError as error:
                log.info("delivery.not_shown", extra={**_facts(envelope), "error": str(error)})
                await self._tell_tenant(envelope, passage, ticket, error)
            else:
                await self._tell_accepted(envelope, passage)
        return Done()

    async def _claim_and_send(
        self, envelope: Envelope, passage: Passage, job: Job, ticket: Ticket, unsent: str | None
    ) -> Done | Again:
        # An attempt of ours that may have been claimed but never left is taken up again, under its id.
        attempt_id = unsent or new_attempt_id()
        claim = Claim(
            envelope, passage.conversation_id, job.text, passage.epoch, attempt_id, self._owner, self._claim_s
        )
        try:
            answer, leave_until = await self._ledger.claim(claim)
        except Unavailable as error:
            log.info("delivery.waits", extra={**_facts(envelope), "error": str(error)})
            return Again(ASK_AGAIN_S, attempt_id)
        match answer:
            case Granted():
                if time.monotonic() > leave_until or not ticket.is_valid:
                    return self._wait(envelope, attempt_id, "claimed_too_early")
                return await self._send(envelope, passage, job, ticket, attempt_id, answer)
            case Settled():
                return Done()
            case OutOfDate():
                await self._report(self._tenants.outdated(envelope.tenant_id, passage.epoch))
                return Again()
            case Uncertain(wait_s):
                return Again(min(wait_s, 1.0) or ASK_AGAIN_S)
            case Busy(abandoned, owner, expired):
                return self._take_over(envelope, abandoned, unsent) if (
                    abandoned == unsent or expired or owner_is_dead(owner)
                ) else Again(ASK_AGAIN_S)  # fmt: skip

    def _take_over(self, envelope: Envelope, abandoned: str, unsent: str | None) -> Again:
        """An attempt without an outcome: not sent if we know so, else of unknown outcome."""
        if abandoned == unsent:
            return self._wait(envelope, abandoned, "not_sent")
        log.warning("delivery.unknown", extra={**_facts(envelope), "error": "its sender ended"})
        self._ledger.settle(
            Outcome(envelope, abandoned, "unknown", "unknown", detail={"error": "the process that sent it ended"})
        )
        return Again()

    def _wait(self, envelope: Envelope, attempt_id: str, event: str) -> Again:
        self._ledger.settle(Outcome(envelope, attempt_id, "waiting", event, counted=False))
        return Again()

    async def _send(
        self, envelope: Envelope, passage: Passage, job: Job, ticket: Ticket, attempt_id: str, granted: Granted
    ) -> Done | Again:
        if job.refusal is not None:
            return await self._give_up(envelope, attempt_id, job.refusal)
        if granted.parts_done >= len(job.requests):
            return self._settle_delivered(envelope, passage, job, attempt_id, Accepted(), "nothing_to_send")
        if granted.unknowns >= SECOND_UNKNOWN:
            words = "two sends in a row had an unknown outcome"
            return await self._give_up(envelope, attempt_id, Rejected("unknown_outcome", words, "ServerError"))
        try:
            accepted = await job.requests[granted.parts_done]()
        except TrunklineError as error:
            return await self._failed(envelope, passage, ticket, attempt_id, granted, error)
        await self._tell_accepted(envelope, passage)
        done = granted.parts_done + 1
        if done < len(job.requests):
            self._ledger.settle(
                Outcome(
                    envelope, attempt_id, "waiting", "part_sent", parts_done=done, parts=len(job.requests),
                    wamid=accepted.wamid, genesys_id=_genesys_id(envelope, accepted), counted=False,
                    detail={"part": done},
                )
            )  # fmt: skip
            return Again()
        event: Literal["delivered", "repeated"] = "repeated" if granted.unknowns else "delivered"
        finished = self._settle_delivered(envelope, passage, job, attempt_id, accepted, event)
        if job.receipt is not None and finished.stored is not None:
            await asyncio.wait([finished.stored])  # the next status asks which receipts there are
        return finished

    def _settle_delivered(
        self, envelope: Envelope, passage: Passage, job: Job, attempt_id: str, accepted: Accepted, event: str
    ) -> Done:
        self.delivered += 1
        log.debug("delivery.delivered", extra=_facts(envelope))
        lacking = accepted.lacking or job.lacking
        return Done(
            self._ledger.settle(
                Outcome(
                    envelope, attempt_id, "delivered", event, parts_done=len(job.requests), parts=len(job.requests),
                    wamid=accepted.wamid, genesys_id=_genesys_id(envelope, accepted),
                    conversation_id=passage.conversation_id,
                    genesys_conversation_id=accepted.genesys_conversation_id,
                    detail={"lacking": lacking.detail} if lacking else {},
                    dead_letter=DeadLetter(lacking.reason, lacking.detail) if lacking else None,
                    receipt=job.receipt,
                )
            )
        )  # fmt: skip

    async def _failed(
        self,
        envelope: Envelope,
        passage: Passage,
        ticket: Ticket,
        attempt_id: str,
        granted: Granted,
        error: TrunklineError,
    ) -> Done | Again:
        facts = {**_facts(envelope), "attempt": granted.attempt, "error": str(error)}
        detail = {"error": str(error), "code": getattr(error, "code", None)}
        match error:
            case OutcomeUnknown():
                log.warning("delivery.unknown", extra=facts)
                self._ledger.settle(Outcome(envelope, attempt_id, "unknown", "unknown", detail=detail))
                return Again()
            case CredentialsRefused():
                self._ledger.settle(
                    Outcome(envelope, attempt_id, "waiting", "credentials_refused", counted=False, detail=detail)
                )
                await self._tell_tenant(envelope, passage, ticket, error)
                return Again()
            case Throttled():
                detail["retry_after_s"] = error.retry_after_s
                self._ledger.settle(Outcome(envelope, attempt_id, "waiting", "throttled", counted=False, detail=detail))
                await self._tell_tenant(envelope, passage, ticket, error)
                return Again(error.retry_after_s if error.code == PAIR_RATE_CODE else 0.0)
        fate = self._policy.decide(error, granted.attempt)
        if isinstance(fate, RetryIn):
            detail["wait_s"] = round(fate.wait_s, 3)
            log.info("delivery.attempted", extra={**facts, "outcome": "retry", "wait_s": fate.wait_s})
            self._ledger.settle(Outcome(envelope, attempt_id, "waiting", "retry", detail=detail))
            return Again(fate.wait_s)
        return await self._give_up(envelope, attempt_id, Rejected(fate.reason, fate.answer, detail["code"]))

    async def _give_up(self, envelope: Envelope, attempt_id: str, refusal: Rejected) -> Done | Again:
        """A dead letter; the agent whose message it was is told first, so that no crash between keeps it silent."""
        if envelope.direction is Direction.OUTBOUND:
            try:
                await self._report_failure(failed_status(envelope, refusal))
            except Unavailable as error:
                self._wait(envelope, attempt_id, "receipt_waits")
                log.info("delivery.waits", extra={**_facts(envelope), "error": str(error)})
                return Again(ASK_AGAIN_S)
        return self._bury(envelope, attempt_id, refusal)

    def _bury(self, envelope: Envelope, attempt_id: str, refusal: Rejected) -> Done:
        log.warning("delivery.dead", extra={**_facts(envelope), "reason": refusal.reason, "error": refusal.detail})
        return Done(
            self._ledger.settle(
                Outcome(
                    envelope, attempt_id, "dead", "dead", detail={"reason": refusal.reason, "error": refusal.detail},
                    dead_letter=DeadLetter(refusal.reason, refusal.detail),
                )
            )
        )  # fmt: skip

    async def _tell_accepted(self, envelope: Envelope, passage: Passage) -> None:
        if passage.probe:
            await self._report(self._tenants.accepted(envelope.tenant_id, cloud_of(envelope.direction)))

    async def _tell_tenant(self, envelope: Envelope, passage: Passage, ticket: Ticket, error: TrunklineError) -> None:
        """What concerns all of the tenant's calls to this cloud: nobody leaves before the tenant knows."""
        tenant_id, cloud = envelope.tenant_id, cloud_of(envelope.direction)
        if isinstance(error, CredentialsRefused) and ticket.is_valid:  # else the tenant knows already
            expired = cloud is Cloud.GENESYS and error.code == "401"
            used = passage.access.access_token
            told = self._tenants.refused(tenant_id, cloud, used, error.detail, expired=expired)
            await ticket.gate.close_for(ticket, self._report(told))
        elif isinstance(error, Throttled) and error.code != PAIR_RATE_CODE:
            told = self._tenants.throttled(tenant_id, cloud, error.detail, error.retry_after_s)
            await ticket.gate.close_for(ticket, self._report(told))

    async def _report(self, report: Awaitable[None]) -> None:
        """Tell the tenant; if its cell is away, the next call will find out by itself."""
        try:
            await report
        except Unavailable as error:
            log.info("report.lost", extra={"error": str(error)})


def _genesys_id(envelope: Envelope, accepted: Accepted) -> str | None:
    # Genesys' id of an agent's message is in its envelope; a status has none of its own.
    return accepted.genesys_id if envelope.direction is Direction.INBOUND else None


def _facts(envelope: Envelope) -> dict[str, str]:
    return {
        "tenant": envelope.tenant_id,
        "envelope": envelope.message_id,
        "direction": envelope.direction.value,
        "external": envelope.external_id,
    }
