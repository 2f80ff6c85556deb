"""Which transformer reads which lane. Pure: reports and wake-ups in, decisions out; the clock is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

# A lane is let go only after so much quiet; intake wakes it anew long before that (every 10 s of traffic).
QUIET_S = 60.0
# A transformer that cannot be asked for so long is taken to be lost, and its lanes are given to others of its pool.
LOST_AFTER_S = 6.0


@dataclass(frozen=True, slots=True)
class Assign:
    """Let `member` read `lane`."""

    lane: str
    member: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """Ask `member` to stop reading `lane`, if its queue is empty."""

    lane: str
    member: str


@dataclass(slots=True)
class _Member:
    pool: str
    seen_at: float
    incarnation: str | None = None
    lanes: set[str] = field(default_factory=set)


class Assignments:
    """Lanes of all pools and their readers; least loaded first, and where a lane is, it stays."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}
        self._wanted: dict[str, str] = {}

    def add_member(self, member: str, pool: str, now: float) -> None:
        """A transformer that lanes may be given to."""
        self._members.setdefault(member, _Member(pool, now))

    def wake(self, lane: str, pool: str) -> None:
        """The lane has something, or may have."""
        self._wanted.setdefault(lane, pool)

    def reader_of(self, lane: str) -> str | None:
        """The transformer that reads the lane, as far as is known."""
        return next((name for name, member in self._members.items() if lane in member.lanes), None)

    def counts(self) -> dict[str, int]:
        """Lanes of each pool that are being read."""
        counts: Counter[str] = Counter()
        for member in self._members.values():
            counts[member.pool] += len(member.lanes)
        return dict(counts)

    def reported(self, member: str, incarnation: str, quiet_s: Mapping[str, float], now: float) -> list[LetGo]:
        """A transformer said what it reads and how long each lane has been quiet; answers which to let go."""
        state = self._members[member]
        # What a new incarnation does not read any more still has to be read by somebody.
        for lane in state.lanes - quiet_s.keys():
            self._wanted.setdefault(lane, state.pool)
        state.incarnation = incarnation
        state.seen_at = now
        state.lanes = set(quiet_s)
        for lane in quiet_s:
            self._wanted.pop(lane, None)
        return [LetGo(lane, member) for lane, quiet in quiet_s.items() if quiet > QUIET_S]

    def let_go(self, lane: str, member: str) -> None:
        """The transformer has let the lane go."""
        self._members[member].lanes.discard(lane)

    def decide(self, now: float) -> list[Assign]:
        """Readers for all lanes that have none."""
        for state in self._members.values():
            if now - state.seen_at > LOST_AFTER_S and state.lanes:
                for lane in state.lanes:
                    self._wanted.setdefault(lane, state.pool)
                state.lanes = set()
        decisions = []
        for lane, pool in self._wanted.items():
            present = [
                (len(state.lanes), name)
                for name, state in self._members.items()
                if state.pool == pool and state.incarnation is not None and now - state.seen_at <= LOST_AFTER_S
            ]
            if not present:
                continue
            _, member = min(present)
            self._members[member].lanes.add(lane)
            decisions.append(Assign(lane, member))
        for decision in decisions:
            del self._wanted[decision.lane]
        return decisions

    def failed(self, lane: str, member: str) -> None:
        """The transformer could not take the lane: somebody has to."""
        state = self._members[member]
        state.lanes.discard(lane)
        self._wanted.setdefault(lane, state.pool)
