"""Pools' transformers grow, shrink, hand over and let go, with transformers that do what a test says; without Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors import directory, members, processes
from actors.members import Members
from actors.reports import LaneReport, TransformerReport
from actors.watch import Watch
from tests.fakes import until
from trunkline.delivery.pool_size import Bounds, PoolSize
from trunkline.errors import Unavailable

LANE = "inbound-whatsapp-messages.acme"
QUIET_S = 61.0


@dataclass
class Method:
    """A method of an actor, as a handle has it."""

    call: Any

    def remote(self, *arguments: Any) -> Any:
        return self.call(*arguments)


@dataclass
class FakeTransformer:
    """Reads what it was given."""

    name: str
    life: int = 1
    lanes: dict[str, float] = field(default_factory=dict)
    empty: bool = True
    idle_s: float = 0.0
    files_under_way: int = 0
    drained: int = 0
    away: bool = False
    # Cleared while a test wants `let_go` and `give_up` to take their time.
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go_on.set()

    def __getattr__(self, method: str) -> Method:
        return Method(getattr(type(self), f"_{method}").__get__(self))

    async def _report(self) -> TransformerReport:
        if self.away:
            raise Unavailable("away")
        lanes = {
            queue: LaneReport(1 if self.idle_s else 0, quiet_s, None, None, self.idle_s)
            for queue, quiet_s in self.lanes.items()
        }
        return TransformerReport(f"{self.name}/{self.life}", lanes, 0, 0, self.files_under_way)

    async def _assign(self, queue: str, cell: str) -> None:
        self.lanes.setdefault(queue, 0.0)

    async def _let_go(self, queue: str) -> bool:
        await self.go_on.wait()
        if self.empty:
            self.lanes.pop(queue, None)
        return self.empty

    async def _give_up(self, queues: list[str]) -> None:
        await self.go_on.wait()
        for queue in queues:
            self.lanes.pop(queue, None)

    async def _drain(self) -> None:
        self.drained += 1
        self.lanes.clear()


class Pools:
    """Members over fakes, and the rounds that the supervisor would take."""

    def __init__(self, inbound: int = 1) -> None:
        self.actors: dict[str, FakeTransformer] = {}
        self.ended: list[str] = []
        self.watch = Watch()
        self.sizes = {"inbound": PoolSize(Bounds(inbound, inbound), inbound), "outbound": PoolSize(Bounds(1, 1), 1)}
        self.members = Members(self.watch, self.sizes, lambda tenant_id: "cell:0", self._start)
        self._tasks: set[asyncio.Task[None]] = set()
        self.spooled: frozenset[str] = frozenset()

    def actor(self, name: str) -> FakeTransformer:
        return self.actors.setdefault(name, FakeTransformer(name))

    def end(self, name: str, process: str | None = None) -> None:
        self.ended.append(name)
        self.actors[name] = FakeTransformer(name, life=self.actors[name].life + 1)

    def end_for_good(self, name: str) -> None:
        self.ended.append(name)
        del self.actors[name]

    async def round(self) -> None:
        self.members.reconcile()
        questions = {name: lambda name=name: self.actor(name).report.remote() for name in self.members.names}
        for answer in await self.watch.round(questions):
            self.members.take(answer, self.spooled)
        self.members.assign()
        self.members.reconcile()
        for _ in range(5):
            await asyncio.sleep(0)  # what was begun takes its first steps

    async def rounds_until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, what
            await self.round()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Pools:
    made = Pools()
    monkeypatch.setattr(directory, "transformer", made.actor)
    monkeypatch.setattr(processes, "end", made.end)
    monkeypatch.setattr(processes, "end_for_good", made.end_for_good)
    monkeypatch.setattr(members, "LOOK_EVERY_S", 0.001)
    return made


def resize(pools: Pools, size: int) -> None:
    pools.sizes["inbound"].rebound(Bounds(size, size))


async def test_a_pool_reaches_its_size_and_shares_its_tenants_out(pools: Pools) -> None:
    for number in range(4):
        pools.members.wake(f"inbound-whatsapp-messages.t{number}")
    first = pools.actor("transformer:inbound:0")
    await pools.rounds_until(lambda: len(first.lanes) == 4, "all with the only one")
    resize(pools, 2)
    assert pools.members.size("inbound")["changing"]
    second = pools.actor("transformer:inbound:1")
    await pools.rounds_until(lambda: len(second.lanes) == 2, "half of them with the new one")
    await pools.round()
    assert len(first.lanes) == 2
    assert pools.members.size("inbound") == {"size": 2, "running": 2, "min": 2, "max": 2, "changing": False}


async def test_the_highest_number_leaves_and_its_lanes_are_read_by_the_others(pools: Pools) -> None:
    resize(pools, 2)
    await pools.rounds_until(lambda: pools.members.size("inbound")["running"] == 2, "two that run")
    for number in range(4):
        pools.members.wake(f"inbound-whatsapp-messages.t{number}")
    second = pools.actor("transformer:inbound:1")
    await pools.rounds_until(lambda: len(second.lanes) == 2, "lanes shared out")
    second.go_on.clear()
    resize(pools, 1)
    await pools.round()
    assert pools.members.size("inbound")["changing"] and pools.ended == []  # not before it has given up what it reads
    second.go_on.set()
    await pools.rounds_until(lambda: not pools.members.size("inbound")["changing"], "one left")
    assert (pools.ended, second.drained) == (["transformer:inbound:1"], 1)
    await pools.rounds_until(lambda: len(pools.actor("transformer:inbound:0").lanes) == 4, "all with the other one")


async def test_one_that_has_just_been_made_is_not_missing_and_one_that_is_gone_is(pools: Pools) -> None:
    pools.actor("transformer:inbound:0").away = True
    await pools.round()
    assert (pools.members.status("inbound")["running"], pools.members.status("inbound")["missing"]) == (0, 0)
    pools.actor("transformer:inbound:0").away = False
    await pools.round()
    pools.actor("transformer:inbound:0").away = True
    await pools.round()
    assert (pools.members.status("inbound")["running"], pools.members.status("inbound")["missing"]) == (0, 1)


async def test_a_quiet_lane_is_let_go_unless_it_has_something_or_is_spooled(pools: Pools) -> None:
    pools.members.wake(LANE)
    reader = pools.actor("transformer:inbound:0")
    await pools.rounds_until(lambda: LANE in reader.lanes, "read")
    reader.lanes[LANE] = QUIET_S
    pools.spooled = frozenset({LANE})
    await pools.round()
    assert LANE in reader.lanes
    pools.spooled = frozenset()
    reader.empty = False
    await pools.round()
    assert LANE in reader.lanes and pools.members.is_read(LANE)  # and so by nobody else
    reader.empty = True
    await pools.rounds_until(lambda: not pools.members.is_read(LANE), "let go")
    assert LANE not in reader.lanes


async def test_a_lane_that_is_woken_while_it_is_let_go_is_read_again(pools: Pools) -> None:
    pools.members.wake(LANE)
    reader = pools.actor("transformer:inbound:0")
    await pools.rounds_until(lambda: LANE in reader.lanes, "read")
    reader.lanes[LANE] = QUIET_S
    reader.go_on.clear()
    await pools.round()
    pools.members.wake(LANE)
    reader.go_on.set()
    await until(lambda: reader.lanes.get(LANE) == 0.0, "read again")


async def test_the_only_one_of_its_pool_is_restarted_empty_and_gets_its_lanes_back(pools: Pools) -> None:
    pools.members.wake(LANE)
    name = "transformer:inbound:0"
    old = pools.actor(name)
    await pools.rounds_until(lambda: LANE in old.lanes, "read")
    old.go_on.clear()
    restarting = asyncio.create_task(pools.members.restart(name))
    await pools.round()
    assert pools.ended == []
    old.go_on.set()
    await pools.rounds_until(restarting.done, "restarted")
    await restarting
    assert (pools.ended, old.lanes, old.drained) == ([name], {}, 1)
    await pools.rounds_until(lambda: LANE in pools.actor(name).lanes, "read again")


async def test_a_restart_of_one_that_does_not_come_back_fails(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "RESTART_WITHIN_S", 0.05)
    monkeypatch.setattr(processes, "end", lambda name, process: None)
    await pools.rounds_until(lambda: pools.members.size("inbound")["running"] == 1, "runs")
    with pytest.raises(Unavailable, match="transformer:inbound:0 did not come back"):
        await pools.members.restart("transformer:inbound:0")


@pytest.mark.parametrize(
    ("idle_s", "files", "ended"),
    [(121.0, 0, ["transformer:inbound:0"]), (119.0, 0, []), (121.0, 1, []), (661.0, 1, ["transformer:inbound:0"])],
)
async def test_one_that_has_forgotten_a_lane_is_ended(
    pools: Pools, idle_s: float, files: int, ended: list[str]
) -> None:
    pools.members.wake(LANE)
    reader = pools.actor("transformer:inbound:0")
    await pools.rounds_until(lambda: LANE in reader.lanes, "read")
    reader.idle_s, reader.files_under_way = idle_s, files
    for _ in range(3):
        await pools.round()
    assert pools.ended == ended
    await pools.rounds_until(lambda: LANE in pools.actor("transformer:inbound:0").lanes, "read again")


async def test_a_lane_that_is_held_is_given_up_once_finished_and_read_again_when_released(pools: Pools) -> None:
    pools.members.wake(LANE)
    reader = pools.actor("transformer:inbound:0")
    await pools.rounds_until(lambda: LANE in reader.lanes, "read")
    reader.go_on.clear()
    holding = asyncio.create_task(pools.members.hold(LANE, "purge", 40.0))
    await pools.round()
    assert not holding.done(), "something is under way"
    reader.go_on.set()
    assert await asyncio.wait_for(holding, 5)
    pools.members.wake(LANE)
    await pools.round()
    assert LANE not in reader.lanes and not pools.members.is_read(LANE)
    assert not await pools.members.hold(LANE, "another purge", 40.0)
    pools.members.release(LANE, "purge")
    await until(lambda: LANE in reader.lanes, "read again")


async def test_a_lane_that_was_on_its_way_to_its_reader_when_it_was_held_is_taken_back(pools: Pools) -> None:
    await pools.round()
    assert await pools.members.hold(LANE, "purge", 40.0)
    reader = pools.actor("transformer:inbound:0")
    reader.lanes[LANE] = 0.0  # as if it had been given to it a moment before
    await pools.rounds_until(lambda: LANE not in reader.lanes, "taken back")


async def test_a_lane_that_is_not_given_up_cannot_be_held(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "HELD_WITHIN_S", 0.01)
    monkeypatch.setattr(members, "GIVE_UP_TIMEOUT_S", 0.01)
    pools.members.wake(LANE)
    reader = pools.actor("transformer:inbound:0")
    await pools.rounds_until(lambda: LANE in reader.lanes, "read")
    reader.go_on.clear()
    with pytest.raises(Unavailable, match="has not given it up"):
        await pools.members.hold(LANE, "purge", 40.0)
    reader.go_on.set()
    assert LANE in reader.lanes and await pools.members.hold(LANE, "another purge", 40.0)
