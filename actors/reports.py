"""What actors tell: transformers the supervisor, and all of them whoever asks what they look after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

NAMES_SHOWN = 100


@dataclass(frozen=True, slots=True)
class LaneReport:
    """How a lane stands: deliveries in hand, seconds since the last one came, and why it waits, if it does.

    `idle_s`: seconds since anything was done about what is in hand. `unacked`: deliveries that its queue still has.
    `is_probing`: it waits for the answer to a probe, though nothing holds it as a whole.
    """

    unfinished: int
    quiet_s: float
    held_reason: str | None
    oldest_accepted_at: float | None
    idle_s: float
    unacked: int = 0
    is_probing: bool = False

    def is_stuck(self, after_s: float) -> bool:
        """Whether there is work, nothing that it waits for, and nothing done for so long."""
        return self.unfinished > 0 and self.held_reason is None and self.idle_s > after_s


@dataclass(frozen=True, slots=True)
class TransformerReport:
    """A transformer's lanes. Each life of the process has an incarnation of its own."""

    incarnation: str
    lanes: dict[str, LaneReport]
    delivered: int
    unsettled: int
    files_under_way: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What an actor looks after: how many tenants, or lanes, and the names of the first of them."""

    of: Literal["tenants", "lanes"]
    count: int
    names: tuple[str, ...]

    @classmethod
    def shown(cls, of: Literal["tenants", "lanes"], names: Collection[str]) -> Holding:
        """All of these, as they are shown."""
        return cls(of, len(names), tuple(sorted(names)[:NAMES_SHOWN]))
