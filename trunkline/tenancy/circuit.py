"""The circuit of a tenant towards one cloud: closed, open for a reason, half-open with one probe. Pure.

Times are seconds of one clock, which is passed in.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from trunkline.tenancy.standing import Hindrance

FIRST_PAUSE_S = 2.0
# Corrected credentials, maybe corrected at the cloud, are tried soon; a cloud in trouble is left alone for longer.
LONGEST_REFUSED_PAUSE_S = 8.0
LONGEST_FAILING_PAUSE_S = 30.0
PROBES_APART_S = 2.0
# A probe whose answer nobody reported (its process died) blocks no further one for longer than this.
PROBE_TIMEOUT_S = 15.0
# So long a message whose earlier send had an unknown outcome leaves the probe to others.
SUSPECT_WAITS_S = 3.0


class CircuitState(StrEnum):
    """Closed: all calls leave. Open: none. Half-open: one, the probe, and its outcome decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """Whether calls to one cloud may leave; `reason`, and its kind `cause`, are None while they may.

    `draw` spreads the pauses, so that the tenants of one cloud do not come back together.
    """

    __slots__ = ("_draw", "_pause_s", "_probe_until", "_probed_at", "_until", "cause", "reason")

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self.reason: str | None = None
        self.cause: Hindrance | None = None
        self._draw = draw
        self._pause_s = FIRST_PAUSE_S
        self._until = -math.inf
        self._probe_until = -math.inf
        self._probed_at = -math.inf

    def state(self, now: float) -> CircuitState:
        """Where it stands."""
        if self.reason is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self._until else CircuitState.HALF_OPEN

    def refused(self, reason: str, now: float) -> None:
        """The cloud refused credentials or rights. Calls that left before it opened do not lengthen the pause."""
        if self.is_news(now):
            self._open(Hindrance.CREDENTIALS, reason, now, LONGEST_REFUSED_PAUSE_S)

    def failing(self, reason: str, now: float) -> None:
        """The cloud fails call after call, or failed the probe. Calls that left before it opened change nothing."""
        if self.reason is None or self._probe_is_out:
            self._open(Hindrance.FAILING, reason, now, LONGEST_FAILING_PAUSE_S)

    def throttled(self, reason: str, now: float, retry_after_s: float) -> None:
        """The cloud asked to wait: nothing leaves until then, and no pause grows from it."""
        self.cause, self.reason = Hindrance.THROTTLED, reason
        self._until = max(self._until, now + retry_after_s)
        self._probe_until = -math.inf

    def accepted(self) -> None:
        """The probe was accepted: all may leave again."""
        self.cause = self.reason = None
        self._pause_s = FIRST_PAUSE_S
        self._probe_until = -math.inf

    def reset(self) -> None:
        """Other credentials are in force: try them at once."""
        self.accepted()
        self._until = self._probed_at = -math.inf

    def void_probe(self) -> None:
        """The probe's answer said nothing about the cloud: another one may follow."""
        self._probe_until = -math.inf

    def is_news(self, now: float) -> bool:
        """Whether a bad answer that comes in now can be of a call that left since the circuit opened, or closed."""
        return self.reason is None or self._probe_is_out or now >= self._until

    def wait_s(self, now: float, *, suspect: bool = False) -> float:
        """Seconds until a call may leave; 0 when one may now."""
        if self.reason is None:
            return 0.0
        due_at = max(self._until, self._probe_until, self._probed_at + PROBES_APART_S)
        return max(0.0, due_at + (SUSPECT_WAITS_S if suspect else 0.0) - now)

    def take_probe(self, now: float, *, suspect: bool = False, leaves_in_s: float = 0.0) -> bool:
        """Whether the caller's call is the probe; only then, or while it is closed, may the call leave."""
        if self.reason is None or self.wait_s(now, suspect=suspect) > 0:
            return False
        self._probed_at = now + leaves_in_s
        self._probe_until = self._probed_at + PROBE_TIMEOUT_S
        return True

    def describe(self, now: float) -> dict[str, Any]:
        """The circuit for people; `nextTryInSeconds` until a probe may leave, None while it is closed."""
        next_try_s = None if self.reason is None else round(self.wait_s(now), 1)
        return {"state": self.state(now).value, "reason": self.reason, "nextTryInSeconds": next_try_s}

    @property
    def _probe_is_out(self) -> bool:
        return self._probe_until > -math.inf

    def _open(self, cause: Hindrance, reason: str, now: float, longest_s: float) -> None:
        pause_s = min(self._pause_s, longest_s)
        self.cause, self.reason = cause, reason
        self._until = now + max(FIRST_PAUSE_S, self._draw(pause_s / 2, pause_s))
        self._probe_until = -math.inf
        self._pause_s = min(self._pause_s * 2, longest_s)
