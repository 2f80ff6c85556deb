"""Which transformer reads which lane. Pure: reports and wake-ups in, decisions out; the clock is passed in.

All lanes that a tenant has in one pool are read by one transformer, so that a bound on the tenant's calls holds there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

# A lane is let go only after so much quiet; intake wakes it anew long before that (every 10 s of traffic).
QUIET_S = 60.0
# A transformer that cannot be asked for so long is taken to be lost, and its lanes are given to others of its pool.
LOST_AFTER_S = 6.0
# A lane that was given away counts as read, whatever reports say, until its reader has confirmed it.
UNCONFIRMED = math.inf


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


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Ask `member` to stop reading these lanes of a tenant, whatever is in them, so that another one may."""

    tenant: str
    pool: str
    lanes: tuple[str, ...]
    member: str


@dataclass(slots=True)
class _Member:
    pool: str
    seen_at: float
    incarnation: str | None = None
    closed: bool = False
    # By tenant: each lane, and since when its absence from a report means that it is not read.
    tenants: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, tenant: str, lane: str, since: float) -> None:
        self.tenants.setdefault(tenant, {})[lane] = since

    def discard(self, tenant: str, lane: str) -> None:
        lanes = self.tenants.get(tenant, {})
        lanes.pop(lane, None)
        if not lanes:
            self.tenants.pop(tenant, None)

    def lanes(self) -> Iterator[tuple[str, float]]:
        return ((lane, since) for lanes in self.tenants.values() for lane, since in lanes.items())


class Assignments:
    """Lanes of all pools and their readers; where a tenant is, it stays, else the least loaded reads it.

    `tenant_of` names the tenant of a lane.
    """

    def __init__(self, tenant_of: Callable[[str], str]) -> None:
        self._tenant_of = tenant_of
        self._members: dict[str, _Member] = {}
        self._wanted: dict[str, str] = {}
        # Lanes that no transformer is to read: who asked for that, and until when.
        self._held: dict[str, tuple[str, float]] = {}
        self._moving: set[tuple[str, str]] = set()

    # --- members ---

    def add_member(self, member: str, pool: str, now: float) -> None:
        """A transformer that lanes may be given to."""
        self._members.setdefault(member, _Member(pool, now))

    def remove_member(self, member: str) -> None:
        """The transformer is no more: what it read has to be read by somebody."""
        state = self._members.pop(member, None)
        if state is not None:
            self._want_all(state)

    def close(self, member: str) -> None:
        """Give no more lanes to this transformer."""
        self._members[member].closed = True

    def reopen(self, member: str) -> None:
        """Lanes may be given to this transformer again."""
        self._members[member].closed = False

    # --- lanes ---

    def wake(self, lane: str, pool: str) -> None:
        """The lane has something, or may have."""
        self._wanted.setdefault(lane, pool)

    def hold(self, lane: str, by: str, until: float, now: float) -> bool:
        """Give the lane to nobody until then, or for longer than before; whether nobody else holds it.

        Whoever reads it now has to give it up.
        """
        holder, held_until = self._held.get(lane, (by, now))
        if holder != by and held_until > now:
            return False
        self._held[lane] = (by, until)
        return True

    def release(self, lane: str, by: str) -> None:
        """`by` holds the lane no longer."""
        if self._held.get(lane, (None, 0.0))[0] == by:
            del self._held[lane]

    def is_held(self, lane: str, now: float) -> bool:
        """Whether no transformer is to read the lane."""
        return lane in self._held and self._held[lane][1] > now

    def reader_of(self, lane: str) -> str | None:
        """The transformer that reads the lane, as far as is known."""
        tenant = self._tenant_of(lane)
        return next((name for name, state in self._members.items() if lane in state.tenants.get(tenant, ())), None)

    def in_use(self) -> set[str]:
        """Lanes that are being read, or have something and no reader."""
        return set(self._wanted).union(*(lanes for state in self._members.values() for lanes in state.tenants.values()))

    def counts(self) -> dict[str, int]:
        """Lanes of each pool that are being read."""
        counts: Counter[str] = Counter()
        for state in self._members.values():
            counts[state.pool] += sum(len(lanes) for lanes in state.tenants.values())
        return dict(counts)

    def reported(
        self, member: str, incarnation: str, quiet_s: Mapping[str, float], asked_at: float, now: float
    ) -> list[LetGo]:
        """A transformer, asked at `asked_at`, said what it reads and how long each lane has been quiet.

        Answers which lanes to let go.
        """
        state = self._members[member]
        reborn = state.incarnation not in (None, incarnation)
        # What it does not read any more still has to be read by somebody.
        for lane, since in list(state.lanes()):
            if lane not in quiet_s and (reborn or since <= asked_at):
                self._lost(state, lane)
        state.incarnation = incarnation
        state.seen_at = now
        for lane in quiet_s:
            state.add(self._tenant_of(lane), lane, now)
            self._wanted.pop(lane, None)
        return [LetGo(lane, member) for lane, quiet in quiet_s.items() if quiet > QUIET_S]

    def let_go(self, lane: str, member: str) -> None:
        """The transformer has let the lane go."""
        if (state := self._members.get(member)) is not None:
            state.discard(self._tenant_of(lane), lane)

    def confirmed(self, lane: str, member: str, now: float) -> None:
        """The transformer has taken the lane."""
        state, tenant = self._members.get(member), self._tenant_of(lane)
        if state is not None and lane in state.tenants.get(tenant, ()):
            state.add(tenant, lane, now)

    def failed(self, lane: str, member: str) -> None:
        """The transformer could not take the lane: somebody has to."""
        if (state := self._members.get(member)) is not None:
            self._lost(state, lane)

    def decide(self, now: float) -> list[Assign]:
        """Readers for all lanes that have none."""
        for state in self._members.values():
            if now - state.seen_at > LOST_AFTER_S:
                self._want_all(state)
        decisions = []
        for lane, pool in list(self._wanted.items()):
            if self.reader_of(lane) is not None:
                del self._wanted[lane]
            elif self.is_held(lane, now):
                continue
            elif (member := self._reader_for(self._tenant_of(lane), pool, now)) is not None:
                self._members[member].add(self._tenant_of(lane), lane, UNCONFIRMED)
                del self._wanted[lane]
                decisions.append(Assign(lane, member))
        return decisions

    def _reader_for(self, tenant: str, pool: str, now: float) -> str | None:
        if (pool, tenant) in self._moving:
            return None
        members = self._present(pool, now)
        for name, state in members.items():
            if tenant in state.tenants:
                # With one that is about to be left, the tenant's next reader is not known yet.
                return None if state.closed else name
        open_ones = [(len(state.tenants), name) for name, state in members.items() if not state.closed]
        return min(open_ones)[1] if open_ones else None

    # --- hand-overs ---

    def hand_overs(self, limit: int, now: float) -> list[GiveUp]:
        """Up to `limit` tenants that should be read by one transformer instead of several, or by a less loaded one."""
        found: list[GiveUp] = []
        for pool in sorted({state.pool for state in self._members.values()}):
            members = self._present(pool, now)
            if not any(moving == pool for moving, _ in self._moving):
                found += self._reunions(pool, members) or self._relief(pool, members, limit - len(found))
        return found[: max(0, limit)]

    def everything_of(self, member: str) -> list[GiveUp]:
        """All that a transformer reads, tenant by tenant."""
        state = self._members[member]
        return [
            GiveUp(tenant, state.pool, tuple(lanes), member)
            for tenant, lanes in state.tenants.items()
            if (state.pool, tenant) not in self._moving
        ]

    def relinquishment(self, lane: str) -> GiveUp | None:
        """What to ask for so that nobody reads the lane; None when nobody does, or it is on its way elsewhere."""
        tenant = self._tenant_of(lane)
        for name, state in self._members.items():
            if lane in state.tenants.get(tenant, ()) and (state.pool, tenant) not in self._moving:
                return GiveUp(tenant, state.pool, (lane,), name)
        return None

    def begin(self, change: GiveUp) -> None:
        """The transformer is asked to give the lanes up: nobody else gets any of the tenant's until it has answered."""
        self._moving.add((change.pool, change.tenant))

    def ended(self, change: GiveUp, *, given_up: bool) -> None:
        """The hand-over that began has ended; what was not given up, or not in time, its reports tell."""
        self._moving.discard((change.pool, change.tenant))
        state = self._members.get(change.member)
        if given_up and state is not None:
            for lane in change.lanes:
                self._lost(state, lane)

    def _reunions(self, pool: str, members: dict[str, _Member]) -> list[GiveUp]:
        readers: dict[str, list[tuple[int, str]]] = {}
        for name, state in members.items():
            for tenant, lanes in state.tenants.items():
                readers.setdefault(tenant, []).append((-len(lanes), name))
        return [
            GiveUp(tenant, pool, tuple(members[name].tenants[tenant]), name)
            for tenant, places in readers.items()
            if len(places) > 1
            for _, name in sorted(places)[1:]
        ]

    def _relief(self, pool: str, members: dict[str, _Member], limit: int) -> list[GiveUp]:
        loads = {name: len(state.tenants) for name, state in members.items() if not state.closed}
        left = {name: list(members[name].tenants) for name in loads}
        found: list[GiveUp] = []
        while loads and len(found) < limit:
            most, least = max(loads, key=loads.__getitem__), min(loads, key=loads.__getitem__)
            if loads[most] - loads[least] <= 1:
                break
            tenant = left[most].pop()
            found.append(GiveUp(tenant, pool, tuple(members[most].tenants[tenant]), most))
            loads[most] -= 1
            loads[least] += 1
        return found

    def _present(self, pool: str, now: float) -> dict[str, _Member]:
        return {
            name: state
            for name, state in self._members.items()
            if state.pool == pool and state.incarnation is not None and now - state.seen_at <= LOST_AFTER_S
        }

    def _lost(self, state: _Member, lane: str) -> None:
        state.discard(self._tenant_of(lane), lane)
        self._wanted.setdefault(lane, state.pool)

    def _want_all(self, state: _Member) -> None:
        for lane, _ in list(state.lanes()):
            self._lost(state, lane)
