"""Storing: in the broker if it takes the envelope, else in the spool, else an error; never both silently lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from tests.fakes import Clock, envelope
from trunkline.delivery import storing as storing_module
from trunkline.delivery.storing import LEFT_ALONE_FOR_S, SLOW_S, Storing
from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable


class Stores:
    """A broker and a spool, either of which may be away; a hung broker takes its time to fail."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.published: list[str] = []
        self.spooled: list[list[str]] = []
        self.tries = 0
        self.broker_fails_after_s: float | None = None
        self.spool_away = False
        self.before_publish: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
        self.storing = Storing(self, self.append, self.clock)

    async def publish(self, message: Envelope) -> None:
        self.tries += 1
        await self.before_publish()
        if self.broker_fails_after_s is not None:
            self.clock.advance(self.broker_fails_after_s)
            raise StoreUnavailable("RabbitMQ: connect ECONNREFUSED 127.0.0.1:5672")
        self.published.append(message.external_id)

    async def append(self, messages: Sequence[Envelope]) -> None:
        await asyncio.sleep(0)
        if self.spool_away:
            raise StoreUnavailable("Postgres cannot be reached")
        self.spooled.append([message.external_id for message in messages])


@pytest.fixture
def stores() -> Stores:
    return Stores()


async def test_what_the_broker_takes_is_not_spooled(stores: Stores) -> None:
    assert await stores.storing.publish(envelope(1))
    assert (stores.published, stores.spooled) == (["wamid.1"], [])


async def test_nothing_is_spooled_before_it_is_known_what_lies_in_the_queues(stores: Stores) -> None:
    stores.broker_fails_after_s = 0.0

    async def unknown() -> None:
        raise StoreUnavailable("Postgres cannot be reached")

    stores.storing.before_spooling = unknown
    with pytest.raises(StoreUnavailable):
        await stores.storing.publish(envelope(1))
    assert stores.spooled == []


async def test_what_the_broker_does_not_take_is_spooled_many_at_once(stores: Stores) -> None:
    stores.broker_fails_after_s = 0.0
    await asyncio.gather(*(stores.storing.publish(envelope(number)) for number in range(1, 6)))
    assert sorted(name for group in stores.spooled for name in group) == [f"wamid.{number}" for number in range(1, 6)]
    assert len(stores.spooled) < 5


async def test_without_both_it_is_an_error(stores: Stores) -> None:
    stores.broker_fails_after_s, stores.spool_away = 0.0, True
    with pytest.raises(StoreUnavailable, match="Postgres"):
        await stores.storing.publish(envelope(1))


@pytest.mark.parametrize("hung", ["publish", "append"])
async def test_a_store_that_does_not_answer_is_as_good_as_away(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, hung: str
) -> None:
    monkeypatch.setattr(storing_module, "PUBLISH_WITHIN_S", 0.01)
    monkeypatch.setattr(storing_module, "SPOOL_WITHIN_S", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    if hung == "publish":
        stores.before_publish = hang
        assert not await stores.storing.publish(envelope(1))
        assert stores.spooled == [["wamid.1"]]
    else:
        stores.broker_fails_after_s = 0.0
        stores.storing.before_spooling = hang
        with pytest.raises(StoreUnavailable, match="in time"):
            await stores.storing.publish(envelope(1))


async def test_a_broker_that_refuses_is_tried_each_time(stores: Stores) -> None:
    stores.broker_fails_after_s = 0.0
    for number in range(3):
        await stores.storing.publish(envelope(number))
    assert stores.tries == 3


async def test_a_broker_that_lets_one_wait_is_left_alone_for_a_while(stores: Stores) -> None:
    stores.broker_fails_after_s = SLOW_S
    for number in range(3):
        await stores.storing.publish(envelope(number))
    assert (stores.tries, len(stores.spooled)) == (1, 3)
    stores.broker_fails_after_s = None
    stores.clock.advance(LEFT_ALONE_FOR_S)
    await stores.storing.publish(envelope(9))
    assert stores.published == ["wamid.9"]


async def test_a_sign_of_life_is_not_spooled(stores: Stores) -> None:
    stores.broker_fails_after_s = 0.0
    await stores.storing.publish(replace(envelope(1, Direction.OUTBOUND), kind="event"))
    assert stores.spooled == []
