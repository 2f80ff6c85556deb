"""What is done for a message before passage is asked for: once for all its tries, with failures of its own."""

from __future__ import annotations

import logging

from trunkline.delivery.retry import RetryIn, RetryPolicy
from trunkline.delivery.routes import Access, Job, Prepared, Route
from trunkline.delivery.turn import ASK_AGAIN_S
from trunkline.envelope import Envelope
from trunkline.errors import Rejected, StoreUnavailable, TrunklineError, Unavailable

log = logging.getLogger(__name__)


class Preparation:
    """Of one envelope. After `make` has raised Unavailable, `wait_s` says when to try again."""

    def __init__(self, envelope: Envelope, route: Route, policy: RetryPolicy) -> None:
        self._envelope = envelope
        self._route = route
        self._policy = policy
        self._made: Prepared | None = None
        self._failures = 0
        self.wait_s = ASK_AGAIN_S

    async def make(self) -> Prepared | None:
        """How the envelope's job is made, None when it needs none; raises Unavailable, or LaneHeld for all."""
        if self._made is None:
            self.wait_s = ASK_AGAIN_S
            try:
                self._made = await self._route.prepare(self._envelope)
            except StoreUnavailable:
                raise  # our own stores come back: no message is given up for them
            except Unavailable as error:
                self._made = self._given_up(error)
            except Exception as error:
                self._made = self._refusing(error)
        return self._made

    def job(self, prepared: Prepared, access: Access) -> Job:
        """The job, or a refusal of what cannot be converted."""
        try:
            return prepared(access)
        except Exception as error:
            return self._refusing(error)(access)

    def _given_up(self, error: Unavailable) -> Prepared:
        """The refusal that so many failures amount to; raises the error again while there is hope."""
        self._failures += 1
        fate = self._policy.decide(error, self._failures)
        if isinstance(fate, RetryIn):
            self.wait_s = fate.wait_s
            raise error
        return self._refusing(Rejected(fate.reason, fate.answer, error.code))

    def _refusing(self, error: Exception) -> Prepared:
        """A refusal as the job; an error that says nothing about the envelope is raised again."""
        if isinstance(error, TrunklineError) and not isinstance(error, Rejected):
            raise error
        refusal = error if isinstance(error, Rejected) else self._poison(error)
        return Prepared(lambda _: Job(refusal=refusal))

    def _poison(self, error: Exception) -> Rejected:
        facts = {"tenant": self._envelope.tenant_id, "message_id": self._envelope.message_id}
        log.error("delivery.unconvertible", exc_info=error, extra=facts)
        return Rejected("poison", f"cannot be converted: {type(error).__name__}")
