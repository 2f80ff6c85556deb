"""Pacing: when the next call may leave so that a limit is never exceeded (GCRA). Pure; the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict

# Of a granted limit, this much is a steady rate and the rest a burst on top, so that no rolling window exceeds it.
STEADY_SHARE = 0.9
PERSONS_REMEMBERED = 10_000


class Pace:
    """A steady rate with a burst; each reservation books the next free slot."""

    __slots__ = ("_interval_s", "_next_at", "_tolerance_s")

    def __init__(self, per_second: float, burst: int, *, now: float, start_full: bool) -> None:
        self._next_at = now
        self.change(per_second, burst)
        if not start_full:
            self._next_at = now + self._tolerance_s

    def change(self, per_second: float, burst: int) -> None:
        """Follow a changed limit from the next reservation on."""
        self._interval_s = 1.0 / per_second
        self._tolerance_s = max(0, burst - 1) * self._interval_s

    def reserve(self, now: float) -> float:
        """Book a slot and return how many seconds from `now` it is away."""
        slot = max(self._next_at, now)
        self._next_at = slot + self._interval_s
        return max(0.0, slot - self._tolerance_s - now)

    def drop_bookings(self, now: float) -> None:
        """Forget what was booked for later than `now` and will not be used."""
        self._next_at = min(self._next_at, now + self._tolerance_s + self._interval_s)


class WindowPace(Pace):
    """A pace that keeps within `limit` calls in any rolling window, started by an owner that knows no past use."""

    __slots__ = ("_window_s",)

    def __init__(self, limit: int, window_s: float, *, now: float) -> None:
        self._window_s = window_s
        super().__init__(STEADY_SHARE * limit / window_s, _burst_of(limit), now=now, start_full=False)

    def change_limit(self, limit: int) -> None:
        """Follow a changed limit from the next reservation on."""
        self.change(STEADY_SHARE * limit / self._window_s, _burst_of(limit))


def _burst_of(limit: int) -> int:
    """At most what the steady rate leaves of the limit; a call must be possible."""
    return max(1, limit // 10)


class PersonPaces:
    """A pace for each customer of a number; those not written to for longest are forgotten first."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_minute = per_minute
        self._burst = burst
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def change(self, per_minute: int, burst: int) -> None:
        """Follow changed limits."""
        self._per_minute, self._burst = per_minute, burst
        for pace in self._paces.values():
            pace.change(per_minute / 60, burst)

    def reserve(self, person: str, now: float) -> float:
        """Book a slot for this person and return how many seconds it is away."""
        pace = self._paces.get(person)
        if pace is None:
            pace = self._paces[person] = Pace(self._per_minute / 60, self._burst, now=now, start_full=True)
            if len(self._paces) > PERSONS_REMEMBERED:
                self._paces.popitem(last=False)
        self._paces.move_to_end(person)
        return pace.reserve(now)
