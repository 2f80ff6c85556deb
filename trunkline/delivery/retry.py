"""When a failed delivery is tried again, and when it becomes a dead letter. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.attempt import DeadLetter
from trunkline.errors import Rejected, TrunklineError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after `wait_s` seconds; the conversation waits, the others go on."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Doubling waits with full jitter up to `longest_wait_s`, at most `limit` attempts.

    In all they last under 5 minutes, the longest that a delivery may be held.
    """

    limit: int = 12
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    draw: Callable[[float, float], float] = random.uniform

    def decide(self, error: TrunklineError, attempt: int) -> RetryIn | DeadLetter:
        """Decide the fate of the message whose `attempt`-th try (from 1) raised `error`."""
        if isinstance(error, Rejected):
            return DeadLetter(error.reason, error.detail)
        if not isinstance(error, Unavailable) or attempt >= self.limit:
            return DeadLetter("exhausted", str(error))
        longest = min(self.longest_wait_s, self.first_wait_s * 2 ** (attempt - 1))
        return RetryIn(self.draw(0, longest))
