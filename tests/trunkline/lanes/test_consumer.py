"""Consuming on a real broker: nothing is gone before it is acknowledged, and what comes back comes in order."""

from __future__ import annotations

import asyncio

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from scripts.faults.tcp_proxy import TcpProxy
from tests.trunkline.lanes.waiting import envelope, number_of, until
from trunkline.errors import StoreUnavailable
from trunkline.lanes.consumer import Delivery, LaneConsumer, Subscription
from trunkline.lanes.publisher import LanePublisher
from trunkline.lanes.topology import Lane

pytestmark = pytest.mark.services

Network = tuple[TcpProxy, str]
PREFETCH = 50


class Reader:
    """Somebody who subscribes to a lane and remembers what came."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.lost = asyncio.Event()

    @property
    def numbers(self) -> list[int]:
        """The numbers of what came, in the order in which it came."""
        return [number_of(delivery.body) for delivery in self.deliveries]

    async def subscribe(self, consumer: LaneConsumer, lane: Lane, prefetch: int = PREFETCH) -> Subscription:
        """Begin to receive."""
        return await consumer.subscribe(lane, prefetch, self.deliveries.append, self.lost.set)


async def publish(publisher: LanePublisher, lane: Lane, numbers: range) -> None:
    for number in numbers:
        await publisher.publish(envelope(lane, number))


async def test_what_is_acknowledged_is_gone_and_the_rest_returns_in_order(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane
) -> None:
    await publish(publisher, lane, range(10))
    first = Reader()
    subscription = await first.subscribe(consumer, lane)
    await until(lambda: len(first.deliveries) == 10)
    for delivery in first.deliveries[:3]:
        delivery.ack()
    await subscription.close()
    assert not first.lost.is_set()  # it was our own doing

    second = Reader()
    await second.subscribe(consumer, lane)
    await until(lambda: len(second.deliveries) == 7)
    assert second.numbers == list(range(3, 10))


async def test_no_more_than_the_prefetch_is_received_unacknowledged(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane, broker: BlockingChannel
) -> None:
    await publish(publisher, lane, range(10))
    reader = Reader()
    await reader.subscribe(consumer, lane, prefetch=4)
    await until(lambda: len(reader.deliveries) == 4)
    assert await consumer.control.count(lane.queue) == 6
    reader.deliveries[0].ack()
    await until(lambda: len(reader.deliveries) == 5)
    assert reader.numbers == list(range(5))


async def test_of_two_readers_one_reads_and_the_other_goes_on_when_it_ends(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane
) -> None:
    first, second = Reader(), Reader()
    active = await first.subscribe(consumer, lane)
    await second.subscribe(consumer, lane)
    await publish(publisher, lane, range(5))
    await until(lambda: len(first.deliveries) == 5)
    assert second.deliveries == []
    await active.close()
    await until(lambda: len(second.deliveries) == 5)
    assert second.numbers == list(range(5))


async def test_a_lane_whose_queue_is_deleted_is_lost_and_can_be_subscribed_anew(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane, broker: BlockingChannel
) -> None:
    reader = Reader()
    await reader.subscribe(consumer, lane)
    broker.queue_delete(lane.queue)
    await asyncio.wait_for(reader.lost.wait(), 10)

    again = Reader()
    await again.subscribe(consumer, lane)
    await publish(publisher, lane, range(2))
    await until(lambda: len(again.deliveries) == 2)


async def test_losing_one_lane_leaves_the_others_of_the_connection_alone(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane, broker: BlockingChannel
) -> None:
    other = Lane(f"{lane.tenant_id}-2", lane.direction)
    lost, kept = Reader(), Reader()
    await lost.subscribe(consumer, other)
    await kept.subscribe(consumer, lane)
    broker.queue_delete(other.queue)
    await asyncio.wait_for(lost.lost.wait(), 10)
    await publish(publisher, lane, range(3))
    await until(lambda: len(kept.deliveries) == 3)
    assert not kept.lost.is_set()


async def test_a_connection_that_breaks_loses_the_lane_and_gives_it_all_back_in_order(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane, network: Network
) -> None:
    await publish(publisher, lane, range(10))
    reader = Reader()
    await reader.subscribe(consumer, lane)
    await until(lambda: len(reader.deliveries) == 10)
    network[0].cut()
    await asyncio.wait_for(reader.lost.wait(), 10)
    reader.deliveries[0].ack()  # too late: its channel has gone, and it comes again

    again = Reader()
    await asyncio.wait_for(again.subscribe(consumer, lane), 15)
    await until(lambda: len(again.deliveries) == 10)
    assert again.numbers == list(range(10))


async def test_a_broker_that_is_away_is_named_in_words_that_operators_know(
    consumer: LaneConsumer, network: Network
) -> None:
    consumer.check()
    await network[0].refuse()

    def refusal() -> str:
        try:
            consumer.check()
        except StoreUnavailable as error:
            return str(error)
        return ""

    await until(lambda: "ECONNREFUSED" in refusal())
    await network[0].open()
    await asyncio.wait_for(consumer.wait_ready(), 10)
    consumer.check()
