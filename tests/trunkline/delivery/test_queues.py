"""How lanes stand, from all who know a part of it; and purging many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes import envelope
from tests.trunkline.memory_queues import MemoryQueues
from trunkline.delivery import queues as queues_module
from trunkline.delivery.purging import Purging
from trunkline.delivery.queues import LaneDesk, LaneState
from trunkline.envelope import Direction
from trunkline.errors import StoreUnavailable, Unavailable

ACME, BETA = ("acme", Direction.INBOUND), ("beta", Direction.INBOUND)
QUEUE = "inbound-whatsapp-messages.acme"


class Readers:
    """The supervisor."""

    def __init__(self) -> None:
        self.read: dict[str, dict[str, Any]] = {}
        self.unread: list[str] = []
        self.trouble: dict[str, Exception] = {}
        self.hangs = False

    async def lanes(self, tenant_id: str | None = None) -> dict[str, dict[str, Any]]:
        if self.hangs:
            await asyncio.sleep(10)
        return self.read

    async def lanes_in_use(self) -> list[str]:
        return [*self.read, *self.unread]

    async def hold_lane(self, queue: str, by: str, for_s: float) -> bool:
        if queue in self.trouble:
            raise self.trouble[queue]
        return True

    async def release_lane(self, queue: str, by: str) -> None:
        return


class Lanes:
    """What Postgres knows."""

    def __init__(self, *known: tuple[str, Direction]) -> None:
        self.known = sorted(known)
        self.in_spool: dict[tuple[str, Direction], tuple[int, float]] = {}
        self.recorded: dict[tuple[str, Direction], float] = {}
        self.asked: list[Sequence[str]] = []
        self.away: str | None = None

    async def page(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> list[tuple[str, Direction]]:
        wanted = [lane for lane in self.known if lane[1] in directions and (after is None or lane > after)]
        return wanted[:limit]

    async def with_spooled(self) -> list[tuple[str, Direction]]:
        return list(self.in_spool)

    async def spooled(self, lanes: Sequence[tuple[str, Direction]]) -> dict[tuple[str, Direction], tuple[int, float]]:
        if self.away:
            raise StoreUnavailable(self.away)
        return {lane: self.in_spool[lane] for lane in lanes if lane in self.in_spool}

    async def oldest_recorded(self, tenants: Sequence[str], within_s: float) -> dict[tuple[str, Direction], float]:
        self.asked.append(tenants)
        return self.recorded


class NoRecords:
    """Nothing is kept here."""

    async def purge(self, envelopes: Any, by: str) -> None:
        return

    async def remove(self, envelopes: Any) -> None:
        return

    async def spooled(self, *lane: Any) -> list[Any]:
        return []

    async def settle_lost(self, *lane: Any) -> int:
        return 0


class Setting:
    def __init__(self, *known: tuple[str, Direction]) -> None:
        self.queues, self.readers, self.lanes = MemoryQueues(), Readers(), Lanes(*known)
        purges = Purging(self.queues, self.readers, NoRecords())
        self.desk = LaneDesk(self.queues, self.readers, self.lanes, purges)

    async def state(self) -> LaneState:
        found = await self.desk.of_tenant("acme", [Direction.INBOUND])
        (state,) = found.lanes
        return state


@pytest.fixture
def setting() -> Setting:
    return Setting(ACME, BETA, ("acme", Direction.STATUS))


async def test_a_lane_is_put_together_from_broker_supervisor_and_spool(setting: Setting) -> None:
    setting.queues.put(*(envelope(number) for number in range(3)))
    setting.queues.consumers[ACME] = 1
    setting.readers.read[QUEUE] = {"reader": "transformer:inbound:0", "unacked": 2, "oldestAcceptedAt": 50.0}
    setting.lanes.in_spool[ACME] = (4, 40.0)
    assert await setting.state() == LaneState(
        "acme", Direction.INBOUND, "inbound-whatsapp-messages", QUEUE, messages=9, unacked=2, spooled=4, consumers=1,
        oldest_at=40.0, reader="transformer:inbound:0", held=None,
    )  # fmt: skip
    assert setting.lanes.asked == [], "an age that is known is not looked for"


async def test_an_age_that_nobody_holds_is_looked_for_among_what_was_recorded(setting: Setting) -> None:
    setting.queues.put(envelope(1))
    setting.lanes.recorded = {ACME: 33.0, BETA: 1.0}
    state = await setting.state()
    assert (state.messages, state.oldest_at, setting.lanes.asked) == (1, 33.0, [["acme"]])


async def test_an_empty_lane_has_no_age_whatever_is_remembered(setting: Setting) -> None:
    setting.readers.read[QUEUE] = {"reader": "r", "unacked": 0, "oldestAcceptedAt": 50.0}
    state = await setting.state()
    assert (state.messages, state.oldest_at, setting.lanes.asked) == (0, None, [])


async def test_what_is_away_is_said_and_the_rest_is_told(setting: Setting) -> None:
    setting.lanes.in_spool[ACME] = (4, 40.0)
    setting.queues.away = "RabbitMQ: connect ECONNREFUSED 127.0.0.1:5672"
    found = await setting.desk.of_tenant("acme", [Direction.INBOUND])
    (state,) = found.lanes
    assert (state.messages, state.unacked, state.spooled, state.consumers) == (None, 0, 4, None)
    assert (state.oldest_at, found.missing) == (40.0, {"rabbitmq": "RabbitMQ: connect ECONNREFUSED 127.0.0.1:5672"})
    setting.lanes.in_spool, setting.lanes.recorded = {}, {ACME: 33.0}
    assert (await setting.state()).oldest_at == 33.0, "what was recorded is known all the same"
    setting.queues.away, setting.lanes.away = None, "Connection pool timeout"
    found = await setting.desk.of_tenant("acme", [Direction.INBOUND])
    assert (found.lanes[0].spooled, found.missing) == (None, {"postgres": "Connection pool timeout"})


async def test_who_hangs_is_not_waited_for(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues_module, "ANSWER_WITHIN_S", 0.01)
    setting.readers.hangs = True
    found = await setting.desk.of_tenant("acme", [Direction.INBOUND])
    assert (found.lanes[0].messages, found.lanes[0].unacked) == (0, None)
    assert found.missing == {"supervisor": "no answer within 0.01 s"}


async def test_lanes_in_use_are_those_read_those_nobody_reads_yet_and_those_with_a_spool(setting: Setting) -> None:
    setting.readers.read[QUEUE] = {"reader": "r", "unacked": 0}
    setting.readers.unread.append("whatsapp-status-updates.acme")
    found = await setting.desk.in_use(list(Direction), 10)
    assert [(state.tenant_id, state.direction) for state in found.lanes] == [ACME, ("acme", Direction.STATUS)]
    setting.lanes.in_spool[BETA] = (1, 1.0)
    found = await setting.desk.in_use([Direction.INBOUND], 1, ("acme", "inbound"))
    assert [(state.tenant_id, state.direction) for state in found.lanes] == [BETA]


async def test_of_a_purge_of_all_only_lanes_with_something_are_stopped(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues_module, "LANES_AT_ONCE", 1)  # several pages of them
    setting.readers.trouble = {"inbound-whatsapp-messages.beta": Unavailable("it must not be asked for")}
    setting.queues.put(*(envelope(number) for number in range(5)))
    purged = await setting.desk.purge_all(Direction.INBOUND, "key_1")
    assert (purged.count, purged.failed) == (5, {})


async def test_a_lane_that_cannot_be_purged_keeps_no_other_from_it(setting: Setting) -> None:
    setting.readers.trouble = {QUEUE: Unavailable("its reader has not given it up")}
    setting.queues.put(envelope(1), *(envelope(number, tenant_id="beta") for number in range(3)))
    purged = await setting.desk.purge_all(Direction.INBOUND, "key_1")
    assert (purged.count, purged.failed) == (3, {"acme": "its reader has not given it up"})
