"""When a failed delivery is tried again, and when it becomes a dead letter. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from trunkline.attempt import DeadLetter
from trunkline.errors import CredentialsRefused, Rejected, StoreUnavailable, Throttled, TrunklineError, Unavailable

SPAM_RATE_CODE = "131048"


class Failure(StrEnum):
    """The classes of failures that differ in how long one tries."""

    TRANSIENT = "transient"
    ONCE = "once"
    MEDIA = "media"
    CONFLICT = "conflict"
    SPAM = "spam"


@dataclass(frozen=True, slots=True)
class Plan:
    """At most `attempts` tries; between them doubling waits, drawn from nothing up to the full wait if `jittered`."""

    attempts: int
    first_wait_s: float
    longest_wait_s: float
    jittered: bool = True

    def longest_after(self, attempt: int) -> float:
        """The full wait after the `attempt`-th try (from 1)."""
        # The exponent is bounded, since attempts are not: 2.0 ** 1024 is an error.
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 32))


PLANS = {
    Failure.TRANSIENT: Plan(8, 1.0, 30.0),
    Failure.ONCE: Plan(2, 1.0, 30.0),
    Failure.MEDIA: Plan(3, 5.0, 10.0),
    Failure.CONFLICT: Plan(5, 1.0, 30.0),
    # Not drawn: the number is paused for as long, and nothing leaves before.
    Failure.SPAM: Plan(2, 900.0, 900.0, jittered=False),
}
# By the cloud's code, Meta's or Genesys' HTTP status; every other failure that may pass is transient.
FAILURES = {
    "135000": Failure.ONCE,
    "131052": Failure.MEDIA,
    "131053": Failure.MEDIA,
    "409": Failure.CONFLICT,
    SPAM_RATE_CODE: Failure.SPAM,
}
# For files, before anything of their message leaves.
FILES_PLAN = Plan(6, 1.0, 15.0)


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after `wait_s` seconds; the conversation waits, the others go on."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Tries again by the plan of the failure's class, or by `plan` whatever failed."""

    plan: Plan | None = None
    draw: Callable[[float, float], float] = random.uniform

    @classmethod
    def for_files(cls, draw: Callable[[float, float], float] = random.uniform) -> RetryPolicy:
        """The policy of preparing a message: moving its files."""
        return cls(FILES_PLAN, draw)

    def decide(self, error: TrunklineError, attempt: int) -> RetryIn | DeadLetter:
        """Decide the fate of the message whose `attempt`-th try (from 1) raised `error`."""
        if isinstance(error, Rejected):
            return DeadLetter(error.reason, error.detail)
        if isinstance(error, Throttled) and not spends_attempt(error):
            return RetryIn(error.retry_after_s)
        if not isinstance(error, Unavailable | Throttled):
            return DeadLetter("exhausted", str(error))
        plan = self.plan or PLANS[FAILURES.get(error.code or "", Failure.TRANSIENT)]
        # Our own stores come back: no message is given up for them.
        if attempt >= plan.attempts and not isinstance(error, StoreUnavailable):
            return DeadLetter("exhausted", str(error))
        longest = plan.longest_after(attempt)
        return RetryIn(self.draw(0, longest) if plan.jittered else longest)


def spends_attempt(error: TrunklineError) -> bool:
    """Whether a try that raised `error` counts; throttling and refused credentials say nothing about the message."""
    if isinstance(error, Throttled):
        return error.code == SPAM_RATE_CODE
    return not isinstance(error, CredentialsRefused)
