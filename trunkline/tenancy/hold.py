"""Holding a tenant's traffic towards one cloud: on refusal it pauses, then one probe decides. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 8.0
# A probe whose answer nobody reported (its process died) blocks no further one for longer than this.
PROBE_TIMEOUT_S = 15.0


@dataclass(slots=True)
class Hold:
    """Whether calls to one cloud may leave; `reason` is None while they may. Times are seconds of one clock."""

    reason: str | None = None
    until: float = 0.0
    _pause_s: float = field(default=FIRST_PAUSE_S)
    _probe_until: float = 0.0

    def refused(self, reason: str, now: float) -> None:
        """The cloud refused our credentials or rights: pause, longer each time. Calls that left before do not count."""
        if self.reason is not None and now < self.until:
            return
        self.reason = reason
        self.until = now + self._pause_s
        self._probe_until = 0.0
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def throttled(self, reason: str, now: float, retry_after_s: float) -> None:
        """The cloud asked to wait: nothing leaves until then, and no pause grows from it."""
        self.reason = reason
        self.until = max(self.until, now + retry_after_s)
        self._probe_until = 0.0

    def accepted(self) -> None:
        """A call was accepted: all may leave again."""
        self.reason = None
        self._pause_s = FIRST_PAUSE_S

    def reset(self) -> None:
        """Other credentials are in force: try them at once."""
        self.accepted()
        self.until = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until a call may leave; 0 when one may now."""
        if self.reason is None:
            return 0.0
        return max(0.0, self.until - now, self._probe_until - now)

    def take_probe(self, now: float) -> bool:
        """Whether the caller's call is the probe; only then, or without a hold, may it leave."""
        if self.reason is None or self.wait_s(now) > 0:
            return False
        self._probe_until = now + PROBE_TIMEOUT_S
        return True
