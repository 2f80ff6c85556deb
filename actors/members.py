"""The transformers of both pools: how many there are, what they read, and what passes between them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from actors import directory, processes
from actors.reports import TransformerReport
from actors.watch import Answer, Watch
from trunkline.delivery.assignment import Assign, Assignments, GiveUp
from trunkline.delivery.pool_size import PoolSize
from trunkline.envelope import Direction
from trunkline.errors import Unavailable
from trunkline.lanes.topology import Lane, lane_of

log = logging.getLogger(__name__)

POOLS = ("inbound", "outbound")
ASK_TIMEOUT_S = 3.0
# A lane finishes what is under way before it is given up: a call to a cloud, as a rule.
GIVE_UP_TIMEOUT_S = 15.0
HELD_WITHIN_S = 20.0
EMPTY_WITHIN_S = 30.0
RESTART_WITHIN_S = 60.0
STARTS_WITHIN_S = 20.0
# Tenants that change their transformer at the same time.
HAND_OVERS_AT_ONCE = 4
EMPTYING_AT_ONCE = 16
# A lane with work and nothing that it waits for has been forgotten by its transformer: unless files are being loaded,
# which, one way and the other, may take five minutes each.
STUCK_AFTER_S = 120.0
STUCK_WITH_FILES_AFTER_S = 660.0
FINISH_BEFORE_END_S = 5.0
ANSWERED_LATELY_S = 4.0
LOOK_EVERY_S = 0.1


def pool_of(lane: Lane) -> str:
    """The pool that serves a lane's cloud."""
    return "outbound" if lane.direction is Direction.OUTBOUND else "inbound"


class Members:
    """Keeps each pool at its size, and every lane that has something with one reader.

    `cell_of` names a tenant's cell, `start` runs work in the background until the supervisor ends.
    """

    def __init__(
        self,
        watch: Watch,
        sizes: Mapping[str, PoolSize],
        cell_of: Callable[[str], str],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._watch = watch
        self._sizes = sizes
        self._cell_of = cell_of
        self._start = start
        self._assignments = Assignments(lambda queue: lane_of(queue).tenant_id)
        self._pools: dict[str, str] = {}
        self._reports: dict[str, TransformerReport] = {}
        self._new: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._repairing: set[str] = set()
        # Lanes that are being let go, and whether they have been woken since.
        self._letting_go: dict[str, bool] = {}

    # --- what is known ---

    @property
    def names(self) -> list[str]:
        """All transformers, those that are about to leave included."""
        return list(self._pools)

    def status(self, pool: str) -> dict[str, Any]:
        """A pool's size, how many run, and their lanes' state."""
        reports = [report for name, report in self._reports.items() if self._pools[name] == pool]
        missing = [name for name in self._of(pool) if not self._runs(name) and not self._is_expected(name)]
        return {
            **self.size(pool),
            "missing": len(missing),
            "lanes": self._assignments.counts().get(pool, 0),
            "unfinished": sum(lane.unfinished for report in reports for lane in report.lanes.values()),
        }

    def size(self, pool: str) -> dict[str, Any]:
        """A pool's size and bounds, how many run, and whether it is on its way to that size."""
        size = self._sizes[pool]
        running = sum(1 for name in self._of(pool) if self._runs(name))
        return {
            "size": size.size,
            "running": running,
            "min": size.bounds.low,
            "max": size.bounds.high,
            "changing": running != size.size or any(name in self._leaving for name in self._of(pool)),
        }

    def lanes(self, tenant_id: str | None = None) -> dict[str, dict[str, Any]]:
        """The lanes that are being read, the tenant's or all, by queue."""
        return {
            queue: {
                "reader": name,
                "unfinished": lane.unfinished,
                "unacked": lane.unacked,
                "held": lane.held_reason,
                "probing": lane.is_probing,
                "oldestAcceptedAt": lane.oldest_accepted_at,
            }
            for name, report in self._reports.items()
            for queue, lane in report.lanes.items()
            if tenant_id is None or lane_of(queue).tenant_id == tenant_id
        }

    def read_twice(self) -> list[str]:
        """The queues that more than one transformer says it reads; none, but for a moment of a hand-over."""
        said = [queue for report in self._reports.values() for queue in report.lanes]
        return [queue for queue, times in Counter(said).items() if times > 1]

    def lanes_in_use(self) -> list[str]:
        """The queues of lanes that are being read, or have something and no reader."""
        return sorted(self._assignments.in_use())

    def is_read(self, queue: str) -> bool:
        """Whether the lane has a reader."""
        return self._assignments.reader_of(queue) is not None

    # --- lanes ---

    def wake(self, queue: str) -> None:
        """The lane has something, or may have: the next decision gives it a reader, if it has none."""
        if queue in self._letting_go:
            self._letting_go[queue] = True
        elif not self.is_read(queue):
            self._assignments.wake(queue, pool_of(lane_of(queue)))

    async def hold(self, queue: str, by: str, for_s: float) -> bool:
        """Have no transformer read a lane for so long; whether nobody else holds it.

        What is under way there is finished first. Raises Unavailable when its reader does not give it up.
        """
        began = time.monotonic()
        if not self._assignments.hold(queue, by, began + for_s, began):
            return False
        while self.is_read(queue):
            if change := self._assignments.relinquishment(queue):
                await self._hand_over(change)
            if self.is_read(queue):
                if time.monotonic() - began > HELD_WITHIN_S:
                    self.release(queue, by)
                    raise Unavailable(f"the reader of {queue} has not given it up within {HELD_WITHIN_S:g} s")
                await asyncio.sleep(LOOK_EVERY_S)
        return True

    def release(self, queue: str, by: str) -> None:
        """Have a lane read again that was held."""
        self._assignments.release(queue, by)
        self.wake(queue)
        self.assign()

    def assign(self) -> None:
        """Give every lane that has something and no reader one."""
        for decision in self._assignments.decide(time.monotonic()):
            self._start(self._assign(decision))

    def take(self, answer: Answer, keep_reading: frozenset[str]) -> None:
        """What a transformer said of itself; its quiet lanes are let go, but for those in `keep_reading`."""
        name, report = answer.name, answer.value
        if name not in self._pools:
            return
        if not isinstance(report, TransformerReport):
            self._reports.pop(name, None)
            return
        self._watch.lives(name, report.incarnation)
        self._new.pop(name, None)
        self._reports[name] = report
        quiet_s = {queue: 0.0 if queue in keep_reading else lane.quiet_s for queue, lane in report.lanes.items()}
        now = time.monotonic()
        for decision in self._assignments.reported(name, report.incarnation, quiet_s, answer.asked_at, now):
            if decision.lane not in self._letting_go:
                self._start(self._let_go(name, decision.lane))
        for queue in report.lanes:  # one that was on its way to its reader when it was to be held
            if self._assignments.is_held(queue, now) and (change := self._assignments.relinquishment(queue)):
                self._start(self._hand_over(change))
        patience_s = STUCK_WITH_FILES_AFTER_S if report.files_under_way else STUCK_AFTER_S
        stuck = [queue for queue, lane in report.lanes.items() if lane.is_stuck(patience_s)]
        if stuck and name not in self._repairing:
            self._start(self._repair(name, report.incarnation, stuck[0]))

    def move_tenant(self, tenant_id: str) -> None:
        """The tenant lives in another cell from now on."""
        cell = self._cell_of(tenant_id)
        for name in self._pools:
            self._start(self._tell(name, "move_tenant", tenant_id, cell))

    # --- sizes ---

    def reconcile(self) -> None:
        """Begin what is needed for each pool to have its size, and tenants spread over its transformers."""
        for pool, size in self._sizes.items():
            self._observe(pool, size)
            wanted = {directory.transformer_name(pool, number) for number in range(size.size)}
            for name in wanted - self._pools.keys():
                self.adopt(name, pool)
            for name in set(self._of(pool)) - wanted - self._leaving:
                self._leaving.add(name)
                self._start(self._retire(name))
        for change in self._assignments.hand_overs(HAND_OVERS_AT_ONCE, time.monotonic()):
            self._start(self._hand_over(change))

    def adopt(self, name: str, pool: str) -> None:
        """A transformer that there is, or has to be from now on."""
        self._pools[name] = pool
        self._new[name] = time.monotonic()
        self._assignments.add_member(name, pool, time.monotonic())

    async def restart(self, name: str) -> None:
        """Start a transformer anew with nothing under way; raises Unavailable if it does not come back."""
        if name not in self._pools or name in self._leaving:
            return
        before = self._watch.owner_of(name)
        self._assignments.close(name)
        try:
            await self._empty(name)
            processes.end(name, before)
            await self._until(lambda: name not in self._pools or self._is_reborn(name, before), name)
        finally:
            if name in self._pools and name not in self._leaving:
                self._assignments.reopen(name)
                self.assign()

    async def all_run(self, within_s: float) -> None:
        """Return when every transformer answers, or after so long."""
        deadline = time.monotonic() + within_s
        while not all(self._runs(name) for name in self._pools) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S)

    async def drain(self, within_s: float) -> None:
        """Let every transformer finish what is under way."""
        await asyncio.gather(*(self._ask(name, "drain", within_s) for name in self._pools))

    def _observe(self, pool: str, size: PoolSize) -> None:
        """Let the pool find its size by itself, while it is not on its way to one."""
        if self.size(pool)["changing"]:
            return
        waiting = [
            lane.oldest_accepted_at
            for name in self._of(pool)
            for lane in self._reports[name].lanes.values()
            if lane.oldest_accepted_at is not None and lane.held_reason is None
        ]
        before = size.size
        size.observe(time.time() - min(waiting) if waiting else None, time.monotonic())
        if size.size != before:
            log.info("pool.resized", extra={"pool": pool, "size": size.size, "before": before, "by": "age of oldest"})

    async def _retire(self, name: str) -> None:
        """Let the others have what it reads, and end it for good."""
        self._assignments.close(name)
        await self._empty(name)
        processes.end_for_good(name)
        self._watch.forget(name)
        self._assignments.remove_member(name)
        self._reports.pop(name, None)
        self._new.pop(name, None)
        del self._pools[name]
        self._leaving.discard(name)
        self.assign()

    async def _empty(self, name: str) -> None:
        """Hand over all that a transformer reads, and wait until every outcome is stored; not for ever."""
        deadline = time.monotonic() + EMPTY_WITHIN_S
        few = asyncio.Semaphore(EMPTYING_AT_ONCE)

        async def hand_over(change: GiveUp) -> None:
            async with few:
                await self._hand_over(change)

        while self._runs(name) and time.monotonic() < deadline:
            if changes := self._assignments.everything_of(name):
                await asyncio.gather(*(hand_over(change) for change in changes))
            elif await self._ask(name, "drain", deadline - time.monotonic()) is not Unavailable:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    # --- asking ---

    async def _assign(self, decision: Assign) -> None:
        cell = self._cell_of(lane_of(decision.lane).tenant_id)
        if await self._ask(decision.member, "assign", ASK_TIMEOUT_S, decision.lane, cell) is Unavailable:
            self._assignments.failed(decision.lane, decision.member)
        else:
            self._assignments.confirmed(decision.lane, decision.member, time.monotonic())

    async def _let_go(self, name: str, queue: str) -> None:
        """Have a lane let go; one that was not empty, or of which nobody knows, is what the next report says."""
        self._letting_go[queue] = False
        try:
            if await self._ask(name, "let_go", ASK_TIMEOUT_S, queue) is True:
                self._assignments.let_go(queue, name)
        finally:
            woken = self._letting_go.pop(queue)
        if woken:
            self.wake(queue)
            self.assign()

    async def _hand_over(self, change: GiveUp) -> None:
        self._assignments.begin(change)
        given_up = False
        try:
            answered = await self._ask(change.member, "give_up", GIVE_UP_TIMEOUT_S, list(change.lanes))
            given_up = answered is not Unavailable
        finally:
            self._assignments.ended(change, given_up=given_up)
        self.assign()

    async def _repair(self, name: str, incarnation: str, queue: str) -> None:
        log.warning(
            "transformer.stuck",
            extra={"actor": name, "lane": queue, "done": "ended, to start anew"},
        )
        self._repairing.add(name)
        try:
            await self._ask(name, "drain", FINISH_BEFORE_END_S)
            if self._watch.owner_of(name) == incarnation:
                processes.end(name, incarnation)
                await self._until(lambda: self._is_reborn(name, incarnation), name)
        except Unavailable as error:
            log.warning("transformer.away", extra={"actor": name, "error": str(error)})
        finally:
            self._repairing.discard(name)

    async def _tell(self, name: str, method: str, *arguments: Any) -> None:
        await self._ask(name, method, ASK_TIMEOUT_S, *arguments)

    async def _ask(self, name: str, method: str, timeout_s: float, *arguments: Any) -> Any:
        """A transformer's answer, or the class Unavailable."""
        try:
            handle = directory.transformer(name)
            return await directory.answer(getattr(handle, method).remote(*arguments), name, timeout_s)
        except Unavailable as error:
            log.info("transformer.unreachable", extra={"actor": name, "method": method, "error": str(error)})
            return Unavailable

    async def _until(self, condition: Callable[[], bool], name: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESTART_WITHIN_S):
                while not condition():
                    await asyncio.sleep(LOOK_EVERY_S)
                return
        raise Unavailable(f"{name} did not come back within {RESTART_WITHIN_S:g} s")

    def _is_reborn(self, name: str, before: str | None) -> bool:
        return self._runs(name) and self._watch.owner_of(name) not in (None, before)

    def _runs(self, name: str) -> bool:
        return name in self._reports and self._watch.answered_within(name, ANSWERED_LATELY_S)

    def _is_expected(self, name: str) -> bool:
        """Whether it is no fault that it does not answer: it has only just been made, or is about to leave."""
        return name in self._leaving or time.monotonic() - self._new.get(name, float("-inf")) <= STARTS_WITHIN_S

    def _of(self, pool: str) -> list[str]:
        return [name for name, its_pool in self._pools.items() if its_pool == pool]
