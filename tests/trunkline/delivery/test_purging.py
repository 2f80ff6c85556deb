"""Purging a lane: nothing is taken away before it is settled, nothing newer is touched, and the lane goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.fakes import Clock, envelope
from tests.trunkline.memory_queues import MemoryQueues
from trunkline.delivery import purging as purging_module
from trunkline.delivery.purging import Purging
from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable, Unavailable

BY = "key_1"
QUEUE = "inbound-whatsapp-messages.acme"
LANE = ("acme", Direction.INBOUND)


class Holds:
    """The supervisor: `reader` is called while a lane is taken from its transformer."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.log: list[str] = []
        self.refusal: Exception | None = None

    async def hold_lane(self, queue: str, by: str, for_s: float) -> bool:
        if self.refusal is not None:
            raise self.refusal
        self.log.append(f"held {queue}")
        return self.held.setdefault(queue, by) == by

    async def release_lane(self, queue: str, by: str) -> None:
        self.log.append(f"released {queue}")
        assert self.held.pop(queue) == by


class Records:
    """Messages and the spool; `away` counts the groups that are settled before Postgres goes."""

    def __init__(self) -> None:
        self.purged: list[str] = []
        self.removed: list[str] = []
        self.spool: list[tuple[Envelope, float]] = []
        self.lost = 0
        self.lost_before = 0.0
        self.groups_left = 1000

    async def purge(self, envelopes: Sequence[Envelope], by: str) -> None:
        assert by == BY
        await asyncio.sleep(0)
        if self.groups_left == 0:
            raise StoreUnavailable("Postgres cannot be reached")
        self.groups_left -= 1
        self.purged += [each.external_id for each in envelopes]
        self._unspool(envelopes)

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        self.removed += [each.external_id for each in envelopes]
        self._unspool(envelopes)

    async def spooled(self, tenant_id: str, direction: Direction, before: float, limit: int) -> list[Envelope]:
        found = [each for each, at in self.spool if (each.tenant_id, each.direction) == (tenant_id, direction)]
        return [each for each in found if dict(self._ages())[each.external_id] <= before][:limit]

    async def settle_lost(self, tenant_id: str, direction: Direction, before: float, by: str) -> int:
        self.lost_before = before
        return self.lost

    def _ages(self) -> list[tuple[str, float]]:
        return [(each.external_id, at) for each, at in self.spool]

    def _unspool(self, envelopes: Sequence[Envelope]) -> None:
        self.spool = [(each, at) for each, at in self.spool if each not in envelopes]


class Setting:
    """A lane that is purged."""

    def __init__(self) -> None:
        self.queues, self.holds, self.records, self.clock = MemoryQueues(), Holds(), Records(), Clock()
        self.purging = Purging(self.queues, self.holds, self.records, self.clock)

    async def purge(self) -> int:
        return await asyncio.wait_for(self.purging.lane(*LANE, BY), 5)

    @property
    def left(self) -> list[str]:
        return [Envelope.from_bytes(body).external_id for body in self.queues.bodies[LANE]]


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(purging_module, "GROUP_LIMIT", 3)
    monkeypatch.setattr(purging_module, "QUIET_S", 0.01)
    monkeypatch.setattr(purging_module, "NOTHING_COMES_AFTER_S", 0.01)
    return Setting()


def numbered(*numbers: int) -> list[Envelope]:
    return [envelope(number) for number in numbers]


async def test_everything_in_queue_and_spool_is_settled_and_counted_while_nobody_reads(setting: Setting) -> None:
    setting.queues.put(*numbered(*range(8)))
    setting.records.spool = [(envelope(number), setting.clock() - 5) for number in (20, 21, 22, 23)]
    setting.queues.on_subscribe = lambda: setting.holds.log.append("read")
    assert await setting.purge() == 12
    assert setting.records.purged == [f"wamid.{number}" for number in (*range(8), 20, 21, 22, 23)]
    assert (setting.left, setting.records.spool) == ([], [])
    assert setting.holds.log == [f"held {QUEUE}", "read", f"released {QUEUE}"]


async def test_what_comes_in_meanwhile_stays(setting: Setting) -> None:
    setting.queues.put(*numbered(1, 2))
    setting.queues.on_subscribe = lambda: setting.queues.put(*numbered(3, 4, 5))
    setting.records.spool = [(envelope(9), setting.clock() + 1)]
    assert await setting.purge() == 2
    assert setting.left == ["wamid.3", "wamid.4", "wamid.5"]
    assert len(setting.records.spool) == 1


async def test_what_was_taken_from_the_queue_by_others_is_settled_once_it_must_have_been_stored(
    setting: Setting,
) -> None:
    setting.records.lost = 7
    assert await setting.purge() == 7
    assert setting.records.lost_before == setting.clock() - 60


async def test_without_postgres_nothing_more_is_taken_away_and_the_lane_goes_on(setting: Setting) -> None:
    setting.queues.put(*numbered(*range(8)))
    setting.records.groups_left = 1
    with pytest.raises(StoreUnavailable, match="Postgres"):
        await setting.purge()
    assert setting.records.purged == ["wamid.0", "wamid.1", "wamid.2"]
    assert setting.left == [f"wamid.{number}" for number in range(3, 8)]
    assert setting.holds.held == {}


async def test_a_purge_that_is_broken_off_leaves_the_rest_in_its_order(setting: Setting) -> None:
    setting.queues.put(*numbered(*range(8)))
    purging = asyncio.create_task(setting.purging.lane(*LANE, BY))
    while not setting.records.purged:
        await asyncio.sleep(0)
    purging.cancel()
    await asyncio.gather(purging, return_exceptions=True)
    done = len(setting.records.purged)
    assert 3 <= done < 8
    assert setting.left == [f"wamid.{number}" for number in range(8 - len(setting.left), 8)]
    assert len(setting.left) >= 8 - done, "what is not settled is still there"
    assert setting.holds.held == {}


async def test_a_lane_that_another_purges_is_left_to_that_one(setting: Setting) -> None:
    setting.queues.put(*numbered(1))
    setting.holds.held[QUEUE] = "somebody else"
    with pytest.raises(Unavailable, match="is being purged already"):
        await setting.purge()
    assert setting.left == ["wamid.1"] and setting.holds.held == {QUEUE: "somebody else"}


async def test_a_lane_whose_reader_does_not_give_it_up_is_not_purged(setting: Setting) -> None:
    setting.queues.put(*numbered(1))
    setting.holds.refusal = Unavailable("its reader has not given it up")
    with pytest.raises(Unavailable, match="given it up"):
        await setting.purge()
    assert setting.records.purged == []


async def test_a_queue_that_gives_nothing_though_it_is_full_has_another_reader(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.queues.put(*numbered(1))
    monkeypatch.setattr("tests.trunkline.memory_queues.MemoryReading.give", lambda reading: None)
    with pytest.raises(Unavailable, match="has a reader"):
        await setting.purge()
    assert setting.left == ["wamid.1"] and setting.holds.held == {}


async def test_a_broker_that_goes_away_meanwhile_is_said(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.queues.put(*numbered(1))
    monkeypatch.setattr("tests.trunkline.memory_queues.MemoryReading.give", lambda reading: setting.queues.on_lost())
    with pytest.raises(StoreUnavailable, match="could not be read to its end"):
        await setting.purge()
    assert setting.left == ["wamid.1"]


async def test_signs_of_life_leave_no_trace_and_what_is_no_envelope_is_counted(setting: Setting) -> None:
    typing = envelope(1, Direction.OUTBOUND)
    typing = Envelope.from_bytes(typing.to_bytes().replace(b'"kind":"text"', b'"kind":"event"'))
    message = envelope(2, Direction.OUTBOUND)
    setting.queues.put(typing, message)
    setting.queues.bodies["acme", Direction.OUTBOUND].append(b"\xff")
    assert await asyncio.wait_for(setting.purging.lane("acme", Direction.OUTBOUND, BY), 5) == 3
    assert (setting.records.purged, setting.records.removed) == (["wamid.2"], ["wamid.1"])


async def test_a_queue_that_is_not_there_is_not_made(setting: Setting) -> None:
    assert await setting.purge() == 0
    assert LANE not in setting.queues.bodies
