"""The transformer's work on one envelope: ask its tenant, claim, send, record; again, in order, until it is settled."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from trunkline.attempt import (
    CLAIM_GRACE_S,
    Behind,
    Busy,
    Claim,
    Erased,
    Granted,
    OutOfDate,
    Settled,
    Uncertain,
    new_attempt_id,
    owner_is_dead,
)
from trunkline.delivery import sender
from trunkline.delivery.gate import Gate, Ticket
from trunkline.delivery.held import LaneHeld
from trunkline.delivery.preparation import Preparation
from trunkline.delivery.retry import RetryPolicy
from trunkline.delivery.routes import Job, Prepared, Route, is_sign_of_life
from trunkline.delivery.sender import Leaving, Sender, facts_of
from trunkline.delivery.take_overs import TakeOvers
from trunkline.delivery.turn import ASK_AGAIN_S, Again, Done, OlderFirst, Turn
from trunkline.envelope import Direction, Envelope
from trunkline.errors import Rejected, Unavailable
from trunkline.protocol.times import window_opened_at
from trunkline.tenancy.tenant import Ask, Cloud, Gone, Held, Later, Passage, cloud_of

log = logging.getLogger(__name__)

# A call must leave soon after its slot, or so many could gather that a limit is exceeded.
SLOT_GOOD_FOR_S = 1.0
# A message whose outcome another knows is looked at so often, and asked for anew after at most so long.
LOOK_EVERY_S = 0.5
BUSY_FOR_S = 5.0
SUSPECTS_REMEMBERED = 10_000
WINDOW_CLOSED_CODE = "131047"
# Where nothing is left to do.
SETTLED = frozenset({"delivered", "failed", "dead", "purged"})


class Tenants(sender.Tenants, Protocol):
    """The tenants' cells; every call raises Unavailable while its cell cannot be reached."""

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """Passage for one message, or why there is none."""

    async def outdated(self, tenant_id: str, epoch: int) -> None:
        """The activation with this epoch has been superseded."""

    async def unused(self, tenant_id: str, cloud: Cloud) -> None:
        """A probe turned out to need no call."""


class ErasedPeople(Protocol):
    """Whose content was erased; every call raises StoreUnavailable."""

    async def settle(self, envelope: Envelope) -> bool:
        """Whether nothing is to be done with it, for its person was erased."""

    async def purge(self, envelope: Envelope) -> None:
        """Account for a message whose claim was refused, for its person was erased."""


class Transformer:
    """Delivers envelopes of many tenants, at most `calls_in_flight` calls at once for each tenant and cloud."""

    def __init__(
        self,
        tenants: Tenants,
        ledger: sender.Attempts,
        routes: dict[Direction, Route],
        report_failure: Callable[[Envelope], Awaitable[object]],
        take_overs: TakeOvers,
        erased: ErasedPeople,
        *,
        owner: str,
        cloud_timeout_s: float,
        calls_in_flight: int,
        policy: RetryPolicy | None = None,
        file_policy: RetryPolicy | None = None,
    ) -> None:
        self._tenants = tenants
        self._ledger = ledger
        self._routes = routes
        self._take_overs = take_overs
        self._erased = erased
        self._owner = owner
        self._claim_s = cloud_timeout_s + CLAIM_GRACE_S
        self._file_policy = file_policy or RetryPolicy.for_files()
        self._sender = Sender(tenants, ledger, report_failure, policy or RetryPolicy())
        self._gates: defaultdict[tuple[str, Cloud], Gate] = defaultdict(lambda: Gate(calls_in_flight))
        # Messages with a send of unknown outcome: others had better try whether the cloud is well.
        self._suspects: OrderedDict[str, None] = OrderedDict()

    @property
    def delivered(self) -> int:
        """How many messages this transformer has delivered."""
        return self._sender.delivered

    def forget(self, tenant_id: str) -> None:
        """Drop what is kept for a tenant whose lanes have gone."""
        for cloud in Cloud:
            self._gates.pop((tenant_id, cloud), None)

    async def deliver(self, envelope: Envelope, turn: Turn) -> Done:
        """Bring `envelope` to its end.

        Raises LaneHeld when all of its lane must wait, OlderFirst when others of its conversation go first, and what
        `turn.pause` raises.
        """
        gate = self._gates[envelope.tenant_id, cloud_of(envelope.direction)]
        way = _Way(envelope, turn, gate, Preparation(envelope, self._routes[envelope.direction], self._file_policy))
        step: Done | Again = Again()
        while isinstance(step, Again):
            await self._wait(way, step)
            step = await self._step(way, step.unsent)
        self._suspects.pop(envelope.message_id, None)
        return step

    async def give_up(self, envelope: Envelope, refusal: Rejected) -> Done:
        """Make a dead letter of what cannot even be tried; raises Unavailable."""
        step = await self._sender.give_up(envelope, new_attempt_id(), refusal)
        if isinstance(step, Again):
            raise Unavailable("RabbitMQ cannot take the report of a failure")
        return step

    async def _wait(self, way: _Way, step: Again) -> None:
        """Wait as long as `step` says, or until the message has left the state in which that makes sense."""
        left_s = step.wait_s
        if step.unsettled is None:
            if left_s > 0:
                await way.turn.pause(left_s, may_park=step.unsent is None)
            return
        while left_s > 0:
            pause_s = min(left_s, LOOK_EVERY_S)
            await way.turn.pause(pause_s, may_park=False)
            left_s -= pause_s
            try:
                if await self._ledger.status(way.envelope) != step.unsettled:
                    return
            except Unavailable as error:
                log.info("delivery.waits", extra={**facts_of(way.envelope), "error": str(error)})

    async def _step(self, way: _Way, unsent: str | None) -> Done | Again:
        envelope = way.envelope
        try:
            if envelope.message_id in self._suspects and await self._ledger.status(envelope) in SETTLED:
                return Done()  # news of it came: it must not be in the way of a probe
            if await self._erased.settle(envelope):
                return Done()
            async with self._take_overs.watched(envelope, redelivered=way.turn.redelivered):
                prepared = await way.preparation.make()
            if prepared is None:
                return Done()
            ticket = await way.gate.ticket()
            passage = await self._admit(way, prepared, unsent)
        except Rejected as poison:
            return await self._sender.give_up(envelope, new_attempt_id(), poison)
        except Unavailable as error:
            log.info("delivery.waits", extra={**facts_of(envelope), "error": str(error)})
            return Again(way.preparation.wait_s, unsent)
        if not isinstance(passage, Passage):
            return passage
        return await self._pass(way, prepared, passage, ticket, unsent)

    async def _admit(self, way: _Way, prepared: Prepared, unsent: str | None) -> Passage | Done | Again:
        """Passage, or what to do without; raises LaneHeld, and Unavailable."""
        envelope = way.envelope
        if await self._erased.settle(envelope):  # a file may have taken long: its person must not be met anew
            return Done()
        inbound = envelope.direction is Direction.INBOUND
        ask = Ask(
            envelope.direction,
            envelope.conversation,
            envelope.accepted_at,
            is_message=not is_sign_of_life(envelope),
            priority=prepared.priority,
            is_free_form=prepared.is_free_form,
            said_at=window_opened_at(envelope.payload.get("message"), envelope.accepted_at) if inbound else None,
            is_suspect=envelope.message_id in self._suspects,
        )
        answer = await self._tenants.admit(envelope.tenant_id, ask)
        match answer:
            case Gone():
                refusal = Rejected("tenant_deleted", "the tenant was deleted")
                return self._sender.bury(envelope, new_attempt_id(), refusal)
            case Held():
                raise LaneHeld(answer.reason, answer.retry_after_s)
            case Later():
                return Again(answer.wait_s, unsent)
            case _:
                return answer

    async def _pass(
        self, way: _Way, prepared: Prepared, passage: Passage, ticket: Ticket, unsent: str | None
    ) -> Done | Again:
        """Wait for the slot that was booked, then for one of the calls at once."""
        leave_by = time.monotonic() + passage.wait_s + SLOT_GOOD_FOR_S
        if passage.wait_s > 0:
            await way.turn.pause(passage.wait_s, may_park=unsent is None)
        async with way.gate.slots:
            if not ticket.is_valid:
                return Again(unsent=unsent)
            if time.monotonic() > leave_by:
                try:
                    again = await self._admit(way, prepared, unsent)
                except Unavailable:
                    return Again(ASK_AGAIN_S, unsent)
                if not isinstance(again, Passage):
                    return again
                if again.wait_s > SLOT_GOOD_FOR_S:
                    return Again(again.wait_s, unsent)
                passage = again
                await way.turn.pause(passage.wait_s, may_park=False)
            job = way.preparation.job(prepared, passage.access)
            if passage.window_closed is not None:
                job = Job(refusal=Rejected("window_closed", passage.window_closed, WINDOW_CLOSED_CODE), text=job.text)
            leaving = Leaving(way.envelope, passage, job, ticket)
            if is_sign_of_life(way.envelope):
                return await self._sender.show(leaving)
            return await self._claim_and_send(way, leaving, unsent)

    async def _claim_and_send(self, way: _Way, leaving: Leaving, unsent: str | None) -> Done | Again:
        envelope, passage = way.envelope, leaving.passage
        # An attempt of ours that may have been claimed but never left is taken up again, under its id.
        leaving = replace(leaving, attempt_id=unsent or new_attempt_id())
        claim = Claim(
            envelope, passage.conversation_id, leaving.job.text, passage.epoch, leaving.attempt_id, self._owner,
            self._claim_s, spooled=way.turn.spooled, alone=way.turn.alone,
        )  # fmt: skip
        try:
            answer, leave_until = await self._ledger.claim(claim)
        except Unavailable as error:
            log.info("delivery.waits", extra={**facts_of(envelope), "error": str(error)})
            return Again(ASK_AGAIN_S, leaving.attempt_id)
        if passage.probe and not isinstance(answer, Granted):
            await self._sender.report(self._tenants.unused(envelope.tenant_id, leaving.cloud))
        match answer:
            case Granted():
                if time.monotonic() > leave_until or not leaving.ticket.is_valid:
                    return self._sender.wait(envelope, leaving.attempt_id, "claimed_too_early")
                step = await self._sender.send(leaving, answer)
                if isinstance(step, Again) and step.unsettled == "unknown":
                    self._suspect(envelope)
                return step
            case Settled():
                return Done()
            case Erased():
                return await self._purge(envelope)
            case OutOfDate():
                await self._sender.report(self._tenants.outdated(envelope.tenant_id, passage.epoch))
                return Again()
            case Behind():
                raise OlderFirst(answer.due_in_s)
            case Uncertain(wait_s):
                self._suspect(envelope)
                return Again(wait_s, unsettled="unknown") if wait_s > 0 else Again(ASK_AGAIN_S)
            case Busy(abandoned, owner, left_s):
                if abandoned == unsent:
                    return self._sender.wait(envelope, abandoned, "not_sent")
                if left_s > 0 and not owner_is_dead(owner):
                    return Again(min(left_s, BUSY_FOR_S), unsettled="sending")
                self._suspect(envelope)
                return self._sender.unknown(envelope, abandoned, "the process that sent it ended")

    async def _purge(self, envelope: Envelope) -> Done | Again:
        try:
            await self._erased.purge(envelope)
        except Unavailable as error:
            log.info("delivery.waits", extra={**facts_of(envelope), "error": str(error)})
            return Again(ASK_AGAIN_S)
        return Done()

    def _suspect(self, envelope: Envelope) -> None:
        self._suspects[envelope.message_id] = None
        if len(self._suspects) > SUSPECTS_REMEMBERED:
            self._suspects.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Way:
    """What an envelope takes along from step to step."""

    envelope: Envelope
    turn: Turn
    gate: Gate
    preparation: Preparation
