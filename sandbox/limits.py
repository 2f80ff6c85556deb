"""The clouds' own limits: how many calls or messages a client, a number and a person are granted. Time is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

PRUNE_ABOVE = 100_000


class RollingWindow:
    """At most `limit` in any rolling `span_s` seconds; what is refused does not count."""

    __slots__ = ("_span_s", "_taken", "limit")

    def __init__(self, limit: int, span_s: float) -> None:
        self.limit = limit
        self._span_s = span_s
        self._taken: deque[float] = deque()

    def take(self, now: float) -> float:
        """0 when granted, else the seconds until one would be."""
        self._forget(now)
        if len(self._taken) >= self.limit:
            return max(self._taken[0] + self._span_s - now, 0.001) if self._taken else self._span_s
        self._taken.append(now)
        return 0.0

    def count(self, now: float) -> None:
        """Count one that is granted in any case."""
        self._forget(now)
        self._taken.append(now)

    def _forget(self, now: float) -> None:
        taken = self._taken
        horizon = now - self._span_s
        while taken and taken[0] <= horizon:
            taken.popleft()


class PairRate:
    """A burst for each person, borrowed from the time that follows at a steady rate (GCRA)."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], float] = {}

    def take(self, number: str, person: str, per_minute: float, burst: int, now: float) -> float:
        """0 when granted, else the seconds until one would be."""
        interval = 60.0 / per_minute
        due = max(self._due.get((number, person), now), now)
        over = due - now - (burst - 1) * interval
        if over > 1e-9:
            return over
        if len(self._due) > PRUNE_ABOVE:
            self._due = {pair: at for pair, at in self._due.items() if at > now}
        self._due[(number, person)] = due + interval
        return 0.0


@dataclass(slots=True)
class Limiters:
    """Use of every limit so far."""

    genesys: dict[str, RollingWindow] = field(default_factory=dict)
    throughput: dict[str, RollingWindow] = field(default_factory=dict)
    pairs: PairRate = field(default_factory=PairRate)

    def genesys_client(self, client_id: str, per_minute: int) -> RollingWindow:
        """The window of one Genesys client, at its present limit."""
        return _window(self.genesys, client_id, per_minute, 60.0)

    def whatsapp_number(self, phone_number_id: str, per_second: int) -> RollingWindow:
        """The window of one business number, at its present limit."""
        return _window(self.throughput, phone_number_id, per_second, 1.0)

    def clear(self) -> None:
        """Forget all use."""
        self.genesys.clear()
        self.throughput.clear()
        self.pairs = PairRate()


def _window(windows: dict[str, RollingWindow], key: str, limit: int, span_s: float) -> RollingWindow:
    window = windows.get(key)
    if window is None:
        window = windows[key] = RollingWindow(limit, span_s)
    window.limit = limit
    return window
