"""What a process knows of people who were erased, and what it asks the store for."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import envelope, until
from trunkline.delivery import erased as erased_module
from trunkline.delivery.erased import ErasedPeople
from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable
from trunkline.people import masked, person_key

ERASED = envelope(1)
OTHER = envelope(2, conversation="447700900222")


class Store:
    """Erasures, and the messages that were asked about."""

    def __init__(self) -> None:
        self.erasures = [(person_key(ERASED.tenant_id, ERASED.conversation), 100.0)]
        self.since: list[float] = []
        self.asked: list[Envelope] = []
        self.away = False

    async def recent(self, since: float) -> list[tuple[str, float]]:
        self.since.append(since)
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")
        return self.erasures

    async def settle(self, message: Envelope) -> bool:
        self.asked.append(message)
        return True


async def test_the_store_is_asked_about_messages_of_erased_people_only() -> None:
    store = Store()
    people = ErasedPeople(store)
    assert not await people.settle(ERASED)  # nobody has looked yet: the claim asks
    await people.run_once()
    assert await people.settle(ERASED)
    assert not await people.settle(OTHER)
    assert store.asked == [ERASED]


async def test_each_look_asks_for_what_is_new() -> None:
    store = Store()
    people = ErasedPeople(store)
    await people.run_once()
    store.erasures = []
    await people.run_once()
    assert store.since == [0.0, 100.0]
    assert await people.settle(ERASED)


async def test_it_goes_on_looking_when_the_store_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erased_module, "LOOK_EVERY_S", 0.001)
    store = Store()
    store.away = True
    people = ErasedPeople(store)
    running = asyncio.create_task(people.run())
    await until(lambda: len(store.since) > 1, "looked again")
    store.away = False
    looked = len(store.since)
    await until(lambda: len(store.since) > looked + 1, "looked again")
    running.cancel()
    assert await people.settle(ERASED)


def test_a_person_is_remembered_under_a_hash_that_differs_between_tenants() -> None:
    keys = {person_key(tenant, "447700900111") for tenant in ("acme", "beta")}
    assert len(keys) == 2
    assert not any("447700900111" in key for key in keys)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        pytest.param("447700900111", "****0111", id="a number"),
        pytest.param("GB.71204433551902288417", "****8417", id="a user id"),
        pytest.param("4477", "****", id="too short to show a part of"),
    ],
)
def test_an_address_is_shown_by_its_end(address: str, shown: str) -> None:
    assert masked(address) == shown
