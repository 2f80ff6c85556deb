"""LaneHeld: why a whole lane has to wait."""

from __future__ import annotations

from trunkline.errors import TrunklineError


class LaneHeld(TrunklineError):
    """No message of this lane may leave now: give them all back and wait."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason, retry_after_s)
        self.reason = reason
        self.retry_after_s = retry_after_s
