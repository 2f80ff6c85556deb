"""Erasing a person: in an order in which a repetition finds what is left, and looked at once more in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from trunkline.delivery.erased import LOOK_EVERY_S
from trunkline.delivery.erasing import Erased, Erasing
from trunkline.errors import StoreUnavailable, Unavailable
from trunkline.people import Erasure
from trunkline.tenancy.audit import Actor

BY = Actor("k-1", "admin", "127.0.0.1")
ADDRESSES = ("447700900111", "GB.71204433551902288417")


class World:
    """Every place that holds something of people, and what was done to them, in its order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.open: list[Erasure] = []
        self.known_s = 0.0
        self.cache_away = False
        self.cells_away: set[str] = set()
        self.erasing = Erasing(self, self, self, self)

    async def begin(self, tenant_id: str, address: str, by: Actor) -> Erasure:
        assert (address, by) == (ADDRESSES[0], BY)
        self.done.append("noted")
        self.open.append(Erasure(len(self.open) + 1, tenant_id, ADDRESSES, 1_795_435_200.0))
        return self.open[-1]

    async def unfinished(self, known_s: float) -> list[Erasure]:
        self.known_s = known_s
        return list(self.open)

    async def finished(self, erasure: Erasure) -> None:
        self.open.remove(erasure)

    async def remove_messages(self, erasure: Erasure) -> Counter[str]:
        self.done.append("messages")
        return Counter(messages=3, purged=1)

    async def forget_files(self, erasure: Erasure) -> list[str]:
        self.done.append("files listed")
        return ["1203", "1204"]

    async def remove(self, tenant_id: str, media_id: str) -> bool:
        self.done.append(f"file {media_id}")
        return media_id == "1203"  # the other one is on another node

    async def conversation_ids(self, erasure: Erasure) -> list[str]:
        return ["conversation-1"]

    async def forget(self, tenant_id: str, wa_ids: Sequence[str], conversation_ids: Sequence[str]) -> int:
        assert (tuple(wa_ids), conversation_ids) == (ADDRESSES, ["conversation-1"])
        if self.cache_away:
            raise StoreUnavailable("Cannot connect to Redis")
        self.done.append("cache")
        return 2

    async def remove_conversations(self, erasure: Erasure) -> Counter[str]:
        self.done.append("conversations")
        return Counter(conversations=1, aliases=2)

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        assert tuple(wa_ids) == ADDRESSES
        if tenant_id in self.cells_away:
            raise Unavailable("cell:0 cannot be reached")
        self.done.append("cell")


@pytest.fixture
def world() -> World:
    return World()


async def test_it_is_noted_then_removed_from_every_place(world: World) -> None:
    erased = await world.erasing.erase("acme", ADDRESSES[0], BY)
    assert world.done == [
        "noted", "messages", "files listed", "file 1203", "file 1204", "cache", "conversations", "cell",
    ]  # fmt: skip
    counts = {"messages": 3, "purged": 1, "files": 2, "cacheKeys": 2, "conversations": 1, "aliases": 2}
    assert erased == Erased(1_795_435_200.0, counts)


async def test_every_place_is_looked_at_once_more_when_all_transformers_know(world: World) -> None:
    await world.erasing.erase("acme", ADDRESSES[0], BY)
    first = world.done[1:]
    await world.erasing.finish()
    assert world.done[1:] == first * 2
    assert world.known_s > 2 * LOOK_EVERY_S
    await world.erasing.finish()
    assert world.done[1:] == first * 2


async def test_what_could_not_be_done_is_finished_once_it_can(world: World) -> None:
    world.cache_away = True
    with pytest.raises(StoreUnavailable):
        await world.erasing.erase("acme", ADDRESSES[0], BY)
    assert "conversations" not in world.done  # by them the keys are found that are still there
    await world.erasing.finish()
    assert len(world.open) == 1
    world.cache_away = False
    await world.erasing.finish()
    assert (world.open, world.done[-3:]) == ([], ["cache", "conversations", "cell"])


async def test_one_that_cannot_be_finished_is_not_in_the_way_of_others(world: World) -> None:
    for tenant_id in ("acme", "beta"):
        await world.erasing.erase(tenant_id, ADDRESSES[0], BY)
    world.cells_away = {"acme"}
    await world.erasing.finish()
    assert [each.tenant_id for each in world.open] == ["acme"]
