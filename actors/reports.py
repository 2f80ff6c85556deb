"""What transformers tell the supervisor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneReport:
    """How a lane stands: deliveries in hand, seconds since the last one came, and why it waits, if it does."""

    unfinished: int
    quiet_s: float
    held_reason: str | None
    oldest_accepted_at: float | None


@dataclass(frozen=True, slots=True)
class TransformerReport:
    """A transformer's lanes. Each life of the process has an incarnation of its own."""

    incarnation: str
    lanes: dict[str, LaneReport]
    delivered: int
    unsettled: int
