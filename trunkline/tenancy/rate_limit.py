"""Pacing: when the next call may leave so that a limit is never exceeded (GCRA). Pure; the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

# Of a granted limit, this much is a steady rate and the rest a burst on top, so that no rolling window exceeds it.
STEADY_SHARE = 0.9
# Whoever was written to longer ago than this many others is forgotten: at 80 messages a second, 300 s, in which the
# default burst of 45 at one in 6 s has been paid back.
PERSONS_REMEMBERED = 25_000
ROUNDING_S = 1e-5
# A rate that was cut grows back by so much of the limit, so often.
GROWTH_SHARE = 0.1
GROWTH_EVERY_S = 10.0
# WhatsApp's advice after its pair rate was exceeded: 4 ** x seconds, x = 0, 1, ... in a row.
PAUSE_BASE_S = 4.0
LONGEST_PERSON_PAUSE_S = 256.0


def _rounded(wait_s: float) -> float:
    """The wait without what sums of Unix times leave of rounding."""
    return wait_s if wait_s > ROUNDING_S else 0.0


class Pace:
    """A steady rate with a burst; each reservation books the next free slot."""

    __slots__ = ("_burst", "_interval_s", "_next_at", "_tolerance_s")

    def __init__(self, per_second: float, burst: int, *, now: float, start_full: bool) -> None:
        self._set(per_second, burst)
        self._next_at = now if start_full else now + self._tolerance_s

    @property
    def per_second(self) -> float:
        """The steady rate."""
        return 1.0 / self._interval_s

    @property
    def interval_s(self) -> float:
        """Seconds between two slots at the steady rate."""
        return self._interval_s

    def change(self, per_second: float, burst: int, now: float) -> None:
        """Follow a changed limit from the next reservation on."""
        before_s = self._interval_s
        self._set(per_second, burst)
        # What is booked is so many slots: with a higher limit they are over sooner.
        self._next_at = min(self._next_at, now + max(0.0, self._next_at - now) * self._interval_s / before_s)

    def wait_s(self, now: float) -> float:
        """How many seconds from `now` the next free slot is away."""
        return _rounded(self._next_at - self._tolerance_s - now)

    def reserve(self, now: float) -> float:
        """Book a slot and return how many seconds from `now` it is away."""
        slot = max(self._next_at, now)
        self._next_at = slot + self._interval_s
        return _rounded(slot - self._tolerance_s - now)

    def spare_in_s(self, now: float, left_share: float) -> float:
        """Seconds until a slot could be taken that leaves this share of the burst to others; 0 when one can now."""
        left = min(int(self._burst * left_share), self._burst - 1)
        return _rounded(self._next_at + left * self._interval_s - self._tolerance_s - now)

    def drop_bookings(self, now: float) -> None:
        """Forget what was booked for later than `now` and will not be used."""
        self._next_at = min(self._next_at, now + self._tolerance_s + self._interval_s)

    def pause(self, until: float) -> None:
        """Give no slot before `until`, and no burst then."""
        self._next_at = max(self._next_at, until + self._tolerance_s)

    def _set(self, per_second: float, burst: int) -> None:
        self._burst = burst
        self._interval_s = 1.0 / per_second
        self._tolerance_s = max(0, burst - 1) * self._interval_s


class WindowPace(Pace):
    """A pace that keeps within `limit` calls in any rolling window, started by an owner that knows no past use.

    A call may leave up to `slack_s` after its slot, so the limit holds for a window longer by as much.
    """

    __slots__ = ("_slack_s", "_window_s")

    def __init__(self, limit: float, window_s: float, *, slack_s: float, now: float) -> None:
        self._window_s = window_s
        self._slack_s = slack_s
        super().__init__(*self._shares(limit), now=now, start_full=False)

    def change_limit(self, limit: float, now: float) -> None:
        """Follow a changed limit from the next reservation on."""
        self.change(*self._shares(limit), now)

    def _shares(self, limit: float) -> tuple[float, int]:
        """Of a limit, the steady rate, and as burst what that leaves of it; a call must be possible."""
        steady = STEADY_SHARE * limit / self._window_s
        left = limit - steady * (self._window_s + self._slack_s)
        return steady, max(1, int(left + 1e-9))


class AdaptivePace:
    """A window's pace that is cut by half whenever the far side finds it too fast, and grows back to its limit."""

    __slots__ = ("_effective", "_grown_at", "_limit", "_pace")

    def __init__(self, limit: int, window_s: float, *, slack_s: float, now: float) -> None:
        self._pace = WindowPace(limit, window_s, slack_s=slack_s, now=now)
        self._limit = limit
        self._effective = float(limit)
        self._grown_at = now

    def effective(self, now: float) -> float:
        """What is used of the limit at present."""
        self._grow(now)
        return self._effective

    def pace(self, now: float) -> Pace:
        """The pace in force."""
        self._grow(now)
        return self._pace

    def change_limit(self, limit: int, now: float) -> None:
        """Follow a changed limit from the next reservation on; a cut stays in force, and grows back to this one."""
        self._grow(now)
        is_cut = self._effective < self._limit
        self._limit = limit
        self._use(min(self._effective, limit) if is_cut else limit, now)

    def slow_down(self, now: float) -> None:
        """The far side found it too fast."""
        self._grow(now)
        self._grown_at = now
        self._use(max(1.0, self._effective / 2), now)

    def _grow(self, now: float) -> None:
        steps = int((now - self._grown_at) / GROWTH_EVERY_S)
        if self._effective >= self._limit or steps < 1:
            return
        self._grown_at += steps * GROWTH_EVERY_S
        self._use(min(self._limit, self._effective + steps * GROWTH_SHARE * self._limit), now)

    def _use(self, effective: float, now: float) -> None:
        self._effective = effective
        self._pace.change_limit(effective, now)


class PersonPaces:
    """A pace for each customer of a number; those not written to for longest are forgotten first."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_minute = per_minute
        self._burst = burst
        self._persons: OrderedDict[str, _Person] = OrderedDict()

    def change(self, per_minute: int, burst: int, now: float) -> None:
        """Follow changed limits."""
        if (per_minute, burst) == (self._per_minute, self._burst):
            return
        self._per_minute, self._burst = per_minute, burst
        for person in self._persons.values():
            person.pace.change(per_minute / 60, burst, now)

    def wait_s(self, wa_id: str, now: float, sends: Iterable[float] = ()) -> float:
        """How many seconds away the person's next slot is; `sends` are those made before the person was known here."""
        person = self._persons.get(wa_id) or self._meet(wa_id, now, sends)
        self._persons.move_to_end(wa_id)
        return person.pace.wait_s(now)

    def known_wait_s(self, wa_id: str, now: float) -> float:
        """How many seconds away the next slot of a person is that is remembered here; 0 for others."""
        person = self._persons.get(wa_id)
        return person.pace.wait_s(now) if person else 0.0

    def reserve(self, wa_id: str, now: float, sends: Iterable[float] = ()) -> float:
        """Book a slot for this person and return how many seconds it is away."""
        person = self._persons.get(wa_id) or self._meet(wa_id, now, sends)
        self._persons.move_to_end(wa_id)
        person.sends_since_refusal += 1
        return person.pace.reserve(now)

    def refused(self, wa_id: str, now: float) -> None:
        """WhatsApp found that this person was written to too fast: pause, longer each time in a row."""
        person = self._persons.get(wa_id) or self._meet(wa_id, now, ())
        # More than one send since the last refusal: the first of them was accepted.
        person.refusals = person.refusals + 1 if person.sends_since_refusal <= 1 else 1
        person.sends_since_refusal = 0
        person.pace.pause(now + min(LONGEST_PERSON_PAUSE_S, PAUSE_BASE_S ** min(person.refusals - 1, 32)))

    def _meet(self, wa_id: str, now: float, sends: Iterable[float]) -> _Person:
        before = sorted(at for at in sends if at <= now)
        start = before[0] if before else now
        person = self._persons[wa_id] = _Person(Pace(self._per_minute / 60, self._burst, now=start, start_full=True))
        for at in before:
            person.pace.reserve(at)
        if len(self._persons) > PERSONS_REMEMBERED:
            self._persons.popitem(last=False)
        return person


class _Person:
    """A person's pace, and how often in a row WhatsApp refused it."""

    __slots__ = ("pace", "refusals", "sends_since_refusal")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.refusals = 0
        self.sends_since_refusal = 0
