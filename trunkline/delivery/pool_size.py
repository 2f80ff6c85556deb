"""How many transformers a pool has: fixed by an operator, or by the age of what waits, between two bounds. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST, LARGEST = 1, 64
# Older than this, round after round, there are too few of them; younger than that, for long, one too many.
LATE_S = 5.0
LATE_ROUNDS = 3
EARLY_S = 1.0
EARLY_FOR_S = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """A pool has from `low` to `high` transformers; the same number twice fixes it."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not SMALLEST <= self.low <= self.high <= LARGEST:
            raise ValueError(f"a pool has from {SMALLEST} to {LARGEST} transformers, not {self.low} to {self.high}")

    def nearest(self, size: int) -> int:
        """The size within these bounds that is closest to `size`."""
        return max(self.low, min(size, self.high))


class PoolSize:
    """The size that a pool should have. `size` is how many it has at first, as far as the bounds let it."""

    def __init__(self, bounds: Bounds, size: int) -> None:
        self.bounds = bounds
        self.size = bounds.nearest(size)
        self._late_rounds = 0
        self._early_since: float | None = None

    def rebound(self, bounds: Bounds) -> None:
        """Other bounds hold from now on."""
        self.bounds = bounds
        self._resize(bounds.nearest(self.size))

    def observe(self, oldest_s: float | None, now: float) -> None:
        """A round, while nothing changes: the age of the oldest that waits though nothing holds it, None for nothing.

        The pool grows after some late rounds in a row, and shrinks after a long time without a late one.
        """
        age_s = oldest_s or 0.0
        self._late_rounds = self._late_rounds + 1 if age_s > LATE_S else 0
        if age_s >= EARLY_S:
            self._early_since = None
        elif self._early_since is None:
            self._early_since = now
        if self._late_rounds >= LATE_ROUNDS:
            self._resize(self.bounds.nearest(self.size + 1))
        elif self._early_since is not None and now - self._early_since >= EARLY_FOR_S:
            self._resize(self.bounds.nearest(self.size - 1))

    def _resize(self, size: int) -> None:
        self.size = size
        self._late_rounds = 0
        self._early_since = None
