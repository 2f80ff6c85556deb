"""Parked statuses go back into their lanes once their messages are known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.fakes import MemoryLanes, envelope, until
from trunkline.delivery import parking as parking_module
from trunkline.delivery.parking import Parking
from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable

STATUSES = [envelope(number, Direction.STATUS) for number in range(3)]


class Parked:
    """What is kept; all of it is known by now."""

    def __init__(self) -> None:
        self.kept = list(STATUSES)
        self.away = False

    async def parked(self, limit: int) -> list[Envelope]:
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")
        return self.kept[:limit]

    async def unpark(self, statuses: Sequence[Envelope]) -> None:
        self.kept = [each for each in self.kept if each not in statuses]


async def test_they_are_published_in_their_order_and_kept_no_longer() -> None:
    parked, lanes = Parked(), MemoryLanes()
    await Parking(parked, lanes.publish).run_once()
    assert (lanes.published, parked.kept) == (STATUSES, [])


async def test_what_cannot_be_published_stays_parked() -> None:
    parked, lanes = Parked(), MemoryLanes()
    lanes.refuses = lambda status: status is STATUSES[1]
    with pytest.raises(StoreUnavailable):
        await Parking(parked, lanes.publish).run_once()
    assert parked.kept == STATUSES


async def test_a_store_that_was_away_is_looked_into_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking_module, "LOOK_EVERY_S", 0.001)
    parked, lanes = Parked(), MemoryLanes()
    parked.away = True
    running = asyncio.create_task(Parking(parked, lanes.publish).run())
    for _ in range(20):
        await asyncio.sleep(0)
    parked.away = False
    await until(lambda: parked.kept == [], "taken up")
    running.cancel()
    assert lanes.published == STATUSES
