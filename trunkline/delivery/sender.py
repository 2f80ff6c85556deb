"""One request of an envelope: sent, its outcome recorded, and the tenant told what concerns all of its calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from trunkline.attempt import NEWS_WITHIN_S, Claim, ClaimAnswer, DeadLetter, Granted, Outcome
from trunkline.delivery.failures import failed_status
from trunkline.delivery.gate import Ticket
from trunkline.delivery.retry import FAILURES, RetryIn, RetryPolicy, spends_attempt
from trunkline.delivery.routes import Accepted, Job
from trunkline.delivery.turn import ASK_AGAIN_S, Again, Done
from trunkline.envelope import Direction, Envelope
from trunkline.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    Rejected,
    StoreUnavailable,
    Throttled,
    TrunklineError,
    Unavailable,
)
from trunkline.tenancy.tenant import Cloud, Passage, cloud_of

log = logging.getLogger(__name__)

SECOND_UNKNOWN = 2
PAIR_RATE_CODE = "131056"


class Tenants(Protocol):
    """The tenants' cells, as told of answers; every call raises Unavailable while its cell cannot be reached."""

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        """The cloud refused a call for its credentials."""

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        """The cloud asked to wait."""

    async def person_throttled(self, tenant_id: str, wa_id: str) -> None:
        """WhatsApp wants nothing more for this person for a while."""

    async def failing(self, tenant_id: str, cloud: Cloud, words: str) -> None:
        """The cloud fails call after call, or failed a probe."""

    async def accepted(self, tenant_id: str, cloud: Cloud) -> None:
        """The cloud answered a probe."""


class Attempts(Protocol):
    """The ledger."""

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        """The answer, and until when (monotonic) a granted request may leave; raises StoreUnavailable."""

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """Store what became of an attempt."""

    async def status(self, envelope: Envelope) -> str | None:
        """Where the message stands; raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """An attempt that has passage through the gate and leaves with `ticket`."""

    envelope: Envelope
    passage: Passage
    job: Job
    ticket: Ticket
    attempt_id: str = ""

    @property
    def cloud(self) -> Cloud:
        """Where it goes."""
        return cloud_of(self.envelope.direction)


class Sender:
    """Sends what has been claimed."""

    def __init__(
        self,
        tenants: Tenants,
        ledger: Attempts,
        report_failure: Callable[[Envelope], Awaitable[object]],
        policy: RetryPolicy,
    ) -> None:
        self._tenants = tenants
        self._ledger = ledger
        self._report_failure = report_failure
        self._policy = policy
        self.delivered = 0

    async def show(self, leaving: Leaving) -> Done:
        """Send what is of no use later: once, whatever becomes of it."""
        for request in leaving.job.requests:
            error = None
            try:
                await request()
            except TrunklineError as failed:
                error = failed
                log.info("delivery.not_shown", extra={**facts_of(leaving.envelope), "error": str(error)})
            await self._tell_tenant(leaving, error)
        return Done()

    async def send(self, leaving: Leaving, granted: Granted) -> Done | Again:
        """Send the next request of a job that has been claimed."""
        job, envelope, attempt_id = leaving.job, leaving.envelope, leaving.attempt_id
        if job.refusal is not None:
            return await self.give_up(envelope, attempt_id, job.refusal)
        if granted.parts_done >= len(job.requests):
            return self._settle_delivered(leaving, Accepted(), "nothing_to_send")
        if granted.unknowns >= SECOND_UNKNOWN:
            words = "two sends in a row had an unknown outcome"
            return await self.give_up(envelope, attempt_id, Rejected("unknown_outcome", words, "ServerError"))
        try:
            accepted = await job.requests[granted.parts_done]()
        except TrunklineError as error:
            return await self._failed(leaving, granted, error)
        except Exception as error:
            # Our own bug, maybe after the request had left.
            log.exception("delivery.failed", extra=facts_of(envelope))
            return await self._failed(leaving, granted, OutcomeUnknown(f"an error of our own: {type(error).__name__}"))
        await self._tell_tenant(leaving, None)
        return await self._accepted(leaving, granted, accepted)

    def wait(self, envelope: Envelope, attempt_id: str, event: str) -> Again:
        """Take back a claim whose request did not leave."""
        self._ledger.settle(Outcome(envelope, attempt_id, "waiting", event, counted=False))
        return Again()

    def unknown(self, envelope: Envelope, attempt_id: str, words: str) -> Again:
        """Somebody's attempt has an unknown outcome."""
        log.warning("delivery.unknown", extra={**facts_of(envelope), "error": words})
        self._ledger.settle(Outcome(envelope, attempt_id, "unknown", "unknown", detail={"error": words}))
        return self._after_unknown(envelope)

    async def give_up(self, envelope: Envelope, attempt_id: str, refusal: Rejected) -> Done | Again:
        """A dead letter; the agent whose message it was is told first, so that no crash between keeps it silent."""
        if envelope.direction is Direction.OUTBOUND:
            try:
                await self._report_failure(failed_status(envelope, refusal))
            except Unavailable as error:
                self.wait(envelope, attempt_id, "receipt_waits")
                log.info("delivery.waits", extra={**facts_of(envelope), "error": str(error)})
                return Again(ASK_AGAIN_S)
        return self.bury(envelope, attempt_id, refusal)

    def bury(self, envelope: Envelope, attempt_id: str, refusal: Rejected) -> Done:
        """A dead letter that nobody is told of."""
        log.warning("delivery.dead", extra={**facts_of(envelope), "reason": refusal.reason, "error": refusal.detail})
        return Done(
            self._ledger.settle(
                Outcome(
                    envelope, attempt_id, "dead", "dead", detail={"reason": refusal.reason, "error": refusal.detail},
                    dead_letter=DeadLetter(refusal.reason, refusal.detail),
                )
            )
        )  # fmt: skip

    async def _accepted(self, leaving: Leaving, granted: Granted, accepted: Accepted) -> Done | Again:
        envelope, job = leaving.envelope, leaving.job
        done = granted.parts_done + 1
        if done < len(job.requests):
            self._ledger.settle(
                Outcome(
                    envelope, leaving.attempt_id, "waiting", "part_sent", parts_done=done, parts=len(job.requests),
                    wamid=accepted.wamid, genesys_id=_genesys_id(envelope, accepted), counted=False,
                    detail={"part": done},
                )
            )  # fmt: skip
            return Again()
        event: Literal["delivered", "repeated"] = "repeated" if granted.unknowns else "delivered"
        finished = self._settle_delivered(leaving, accepted, event)
        if job.receipt is not None and finished.stored is not None:
            await asyncio.wait([finished.stored])  # the next status asks which receipts there are
        return finished

    def _settle_delivered(self, leaving: Leaving, accepted: Accepted, event: str) -> Done:
        envelope, job = leaving.envelope, leaving.job
        self.delivered += 1
        log.debug("delivery.delivered", extra=facts_of(envelope))
        lacking = accepted.lacking or job.lacking
        return Done(
            self._ledger.settle(
                Outcome(
                    envelope, leaving.attempt_id, "delivered", event, parts_done=len(job.requests),
                    parts=len(job.requests), wamid=accepted.wamid, genesys_id=_genesys_id(envelope, accepted),
                    conversation_id=leaving.passage.conversation_id,
                    genesys_conversation_id=accepted.genesys_conversation_id,
                    detail={"lacking": lacking.detail} if lacking else {},
                    dead_letter=DeadLetter(lacking.reason, lacking.detail) if lacking else None,
                    receipt=job.receipt,
                )
            )
        )  # fmt: skip

    async def _failed(self, leaving: Leaving, granted: Granted, error: TrunklineError) -> Done | Again:
        envelope, attempt_id = leaving.envelope, leaving.attempt_id
        detail = {"error": str(error), "code": getattr(error, "code", None)}
        # What fails while its circuit is not closed says nothing about the message.
        counted = spends_attempt(error) and not leaving.passage.probe and leaving.ticket.is_valid
        fate = self._policy.decide(error, granted.attempt)
        match error:
            case OutcomeUnknown():
                log.warning("delivery.unknown", extra={**facts_of(envelope), "error": str(error)})
                self._ledger.settle(Outcome(envelope, attempt_id, "unknown", "unknown", detail=detail))
                await self._tell_tenant(leaving, error)
                return self._after_unknown(envelope)
            case CredentialsRefused():
                self._wait_after(leaving, "credentials_refused", detail, counted=False)
                await self._tell_tenant(leaving, error)
                return Again()
            case Throttled() if isinstance(fate, RetryIn):
                detail["retry_after_s"] = error.retry_after_s
                self._wait_after(leaving, "throttled", detail, counted=spends_attempt(error))
                await self._tell_tenant(leaving, error)
                return Again()
        if isinstance(fate, RetryIn) or (isinstance(error, Unavailable) and not counted):
            wait_s = fate.wait_s if isinstance(fate, RetryIn) else 0.0
            detail["wait_s"] = round(wait_s, 3)
            log.info("delivery.attempted", extra={**facts_of(envelope), **detail, "attempt": granted.attempt})
            self._wait_after(leaving, "retry", detail, counted=counted)
            await self._tell_tenant(leaving, error)
            # With the circuit open nothing is asked before it lets a probe pass.
            return Again(wait_s if leaving.ticket.is_valid else 0.0)
        await self._tell_tenant(leaving, error)
        return await self.give_up(envelope, attempt_id, Rejected(fate.reason, fate.answer, detail["code"]))

    def _after_unknown(self, envelope: Envelope) -> Again:
        """Only WhatsApp sends news, in its statuses, before the one repetition (protocol notes 5.1)."""
        news_s = NEWS_WITHIN_S if envelope.direction is Direction.OUTBOUND else 0.0
        return Again(news_s, unsettled="unknown")

    def _wait_after(
        self, leaving: Leaving, event: str, detail: dict[str, str | float | None], *, counted: bool
    ) -> None:
        self._ledger.settle(
            Outcome(leaving.envelope, leaving.attempt_id, "waiting", event, counted=counted, detail=detail)
        )

    async def _tell_tenant(self, leaving: Leaving, error: TrunklineError | None) -> None:
        """What concerns all of the tenant's calls to this cloud: nobody leaves before the tenant knows."""
        tenant_id, cloud, ticket = leaving.envelope.tenant_id, leaving.cloud, leaving.ticket
        match error:
            case CredentialsRefused():
                if not ticket.is_valid:  # the tenant knows already
                    return
                expired = cloud is Cloud.GENESYS and error.code == "401"
                used = leaving.passage.access.access_token
                told = self._tenants.refused(tenant_id, cloud, used, error.detail, expired=expired)
            case Throttled(code=code) if code == PAIR_RATE_CODE:
                await self.report(self._tenants.person_throttled(tenant_id, leaving.envelope.conversation))
                return
            case Throttled():
                told = self._tenants.throttled(tenant_id, cloud, error.detail, error.retry_after_s, error.code)
            case _ if error is not None and _is_trouble_of_the_cloud(error):
                enough = ticket.gate.streak.failed(time.monotonic())
                if not (leaving.passage.probe or (enough and ticket.is_valid)):
                    return
                told = self._tenants.failing(tenant_id, cloud, str(error))
            case _:
                ticket.gate.streak.broken()
                if leaving.passage.probe:
                    await self.report(self._tenants.accepted(tenant_id, cloud))
                return
        await ticket.gate.close_for(ticket, self.report(told))

    async def report(self, told: Awaitable[None]) -> None:
        """Tell a cell, once: it is its own state, which it finds out again by itself if it did not hear it."""
        try:
            await told
        except Unavailable as error:
            log.info("delivery.unreported", extra={"error": str(error)})


def facts_of(envelope: Envelope) -> dict[str, str]:
    """What a log line says of an envelope."""
    return {
        "tenant": envelope.tenant_id,
        "message_id": envelope.message_id,
        "direction": envelope.direction.value,
        "external": envelope.external_id,
    }


def _is_trouble_of_the_cloud(error: TrunklineError) -> bool:
    """Whether the next message would fare no better."""
    if isinstance(error, StoreUnavailable):
        return False
    return isinstance(error, Unavailable | OutcomeUnknown) and error.code not in FAILURES


def _genesys_id(envelope: Envelope, accepted: Accepted) -> str | None:
    # Genesys' id of an agent's message is in its envelope; a status has none of its own.
    return accepted.genesys_id if envelope.direction is Direction.INBOUND else None
