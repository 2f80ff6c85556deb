"""What the supervisor measures of what it supervises: pools, lanes and their moves, the oldest messages, actors."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors.exporting import kind_of
from actors.members import ANSWERED_LATELY_S, Members, pool_of
from actors.watch import Watch
from trunkline import metrics
from trunkline.envelope import Direction
from trunkline.lanes.topology import lane_of
from trunkline.measuring import Labels, Recorder, largest
from trunkline.metrics import TENANTS_NAMED

SURVEY_EVERY_S = 5.0
COUNTED = ("size", "running", "missing", "min", "max")
HELD, FREE = "yes", "no"
STATES = ("read", "held", "unread", "read_twice")


# When the oldest was accepted (Unix seconds), by tenant and direction.
Since = Mapping[tuple[str, str], float]


class Survey:
    """Looks at transformers, lanes and actors, as the supervisor's rounds have found them.

    `actors` names those that it asks.
    """

    def __init__(
        self,
        members: Members,
        watch: Watch,
        actors: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._members = members
        self._watch = watch
        self._actors = actors
        self._clock = clock
        self._readers: dict[str, str] = {}
        self._owners: dict[str, str] = {}

    def look(self, recorder: Recorder, pools: Iterable[str], spooled_since: Since, recorded_since: Since) -> None:
        """Look once.

        Since when the oldest waits of lanes with something in the spool, and of lanes whose reader does not know.
        """
        lanes = self._members.lanes()
        self._pools(recorder, pools)
        self._lanes(recorder, lanes)
        unknown = self._of_unknown_age(lanes)
        recorded = {lane: at for lane, at in recorded_since.items() if lane in unknown}
        self._ages(recorder, lanes, [*spooled_since.items(), *recorded.items()])
        self._moves(recorder, {queue: lane["reader"] for queue, lane in lanes.items()})
        self._answers(recorder)

    def tenants_of_unknown_age(self) -> list[str]:
        """Some tenants with a lane that is held or unread, and nobody knows since when something waits in it."""
        return sorted({tenant_id for tenant_id, _ in self._of_unknown_age(self._members.lanes())})[:TENANTS_NAMED]

    def _of_unknown_age(self, lanes: Mapping[str, dict[str, Any]]) -> set[tuple[str, str]]:
        unread = set(self._members.lanes_in_use()).difference(lanes)
        held = {queue for queue, lane in lanes.items() if lane["held"] and lane["oldestAcceptedAt"] is None}
        return {(lane.tenant_id, lane.direction.value) for lane in map(lane_of, unread | held)}

    def _pools(self, recorder: Recorder, pools: Iterable[str]) -> None:
        for pool in pools:
            status = self._members.status(pool)
            for count in COUNTED:
                recorder.set(metrics.POOLS, status[count], pool, count)

    def _lanes(self, recorder: Recorder, lanes: Mapping[str, dict[str, Any]]) -> None:
        states: Counter[Labels] = Counter({(each.value, state): 0 for each in Direction for state in STATES})
        unacked = dict.fromkeys((each.value for each in Direction), 0)
        unfinished = dict(unacked)
        for queue, lane in lanes.items():
            direction = lane_of(queue).direction.value
            states[direction, "held" if _waits(lane) else "read"] += 1
            unacked[direction] += lane["unacked"]
            unfinished[direction] += lane["unfinished"]
        for queue in set(self._members.lanes_in_use()).difference(lanes):
            states[lane_of(queue).direction.value, "unread"] += 1
        for queue in self._members.read_twice():
            states[lane_of(queue).direction.value, "read_twice"] += 1
        recorder.set_all(metrics.LANES, states)
        for direction in unacked:
            recorder.set(metrics.UNACKED, unacked[direction], direction)
            recorder.set(metrics.UNFINISHED, unfinished[direction], direction)

    def _ages(
        self,
        recorder: Recorder,
        lanes: Mapping[str, dict[str, Any]],
        since: Iterable[tuple[tuple[str, str], float]],
    ) -> None:
        now = self._clock()
        oldest = {(each.value, held): 0.0 for each in Direction for held in (HELD, FREE)}
        by_tenant: defaultdict[Labels, float] = defaultdict(float)
        held_lanes = set()
        waits = []
        for queue, lane in lanes.items():
            of = lane_of(queue)
            if _waits(lane):
                held_lanes.add((of.tenant_id, of.direction.value))
            if lane["oldestAcceptedAt"] is not None:
                waits.append((of.tenant_id, of.direction.value, lane["oldestAcceptedAt"]))
        waits += [(tenant_id, direction, at) for (tenant_id, direction), at in since]
        for tenant_id, direction, accepted_at in waits:
            age_s = max(0.0, now - accepted_at)
            held = HELD if (tenant_id, direction) in held_lanes else FREE
            oldest[direction, held] = max(oldest[direction, held], age_s)
            by_tenant[tenant_id, direction] = max(by_tenant[tenant_id, direction], age_s)
        recorder.set_all(metrics.OLDEST, {labels: age_s for labels, age_s in oldest.items()})
        recorder.set_all(metrics.TENANT_OLDEST, largest({each: age for each, age in by_tenant.items() if age > 0}))

    def _moves(self, recorder: Recorder, readers: dict[str, str]) -> None:
        for queue in readers.keys() | self._readers.keys():
            before, now = self._readers.get(queue), readers.get(queue)
            if before != now:
                change = "moved" if before and now else "taken" if now else "let_go"
                recorder.count(metrics.LANE_MOVES, pool_of(lane_of(queue)), change)
        self._readers = readers

    def _answers(self, recorder: Recorder) -> None:
        up: dict[Labels, float] = {}
        for name in self._actors():
            kind = kind_of(name)
            up[name, kind] = float(self._watch.answered_within(name, ANSWERED_LATELY_S))
            owner = self._watch.owner_of(name)
            if owner is not None and self._owners.setdefault(name, owner) != owner:
                recorder.count(metrics.ACTOR_RESTARTS, kind)
                self._owners[name] = owner
        recorder.set_all(metrics.ACTOR_UP, up)


def _waits(lane: Mapping[str, Any]) -> bool:
    """Whether something known lets the lane wait; in between it is read for a probe."""
    return bool(lane["held"] or lane["probing"])
