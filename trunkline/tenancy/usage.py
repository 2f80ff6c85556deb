"""How much of a limit was used lately. Pure; the clock is passed in."""

from __future__ import annotations

WINDOW_S = 60
# Slots are booked ahead too.
SECONDS_KEPT = 128


class Usage:
    """Counts calls by the second in which they leave; times are seconds of one clock."""

    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._seconds = [0] * SECONDS_KEPT
        self._counts = [0] * SECONDS_KEPT

    def add(self, at: float) -> None:
        """A call leaves then."""
        second = int(at)
        place = second % SECONDS_KEPT
        if self._seconds[place] != second:
            self._seconds[place], self._counts[place] = second, 0
        self._counts[place] += 1

    def last_minute(self, now: float) -> int:
        """How many have left within the last minute."""
        latest = int(now)
        return sum(
            count
            for second, count in zip(self._seconds, self._counts, strict=True)
            if latest - WINDOW_S < second <= latest
        )
