"""Looking into many queues of a real broker, and emptying one from outside."""

from __future__ import annotations

import asyncio

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from scripts.faults.tcp_proxy import TcpProxy
from tests.trunkline.lanes.waiting import envelope, number_of, until
from trunkline.envelope import Direction
from trunkline.errors import StoreUnavailable
from trunkline.lanes.consumer import Delivery, LaneConsumer
from trunkline.lanes.publisher import LanePublisher
from trunkline.lanes.queues import LaneQueues
from trunkline.lanes.topology import Lane

pytestmark = pytest.mark.services

Network = tuple[TcpProxy, str]


async def test_ready_messages_and_consumers_are_told_and_queues_that_are_not_there_are_none_of_them_made(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane, broker: BlockingChannel
) -> None:
    queues = LaneQueues(consumer)
    key = (lane.tenant_id, lane.direction)
    nowhere = [(f"{lane.tenant_id}-{number}", direction) for number in range(20) for direction in Direction]
    for number in range(3):
        await publisher.publish(envelope(lane, number))
    expected = {key: (3, 0), **dict.fromkeys(nowhere)}
    assert await queues.states([*nowhere[:30], key, *nowhere[30:]]) == expected
    assert await queues.states([*nowhere, key]) == expected, "none was made by looking, and no channel is lost"

    taken: list[Delivery] = []
    reading = await queues.subscribe(*key, 2, taken.append, lambda: None)
    await until(lambda: len(taken) == 2)
    assert await queues.states([key]) == {key: (1, 1)}
    assert reading.unacked == 2
    taken[0].ack()
    await until(lambda: len(taken) == 3)
    assert reading.unacked == 2
    await reading.close()
    assert await queues.states([key]) == {key: (2, 0)}


async def test_a_look_that_is_broken_off_says_nothing_about_the_next_queue(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane, network: Network
) -> None:
    queues = LaneQueues(consumer)
    key, nowhere = (lane.tenant_id, lane.direction), (f"{lane.tenant_id}-2", lane.direction)
    await publisher.publish(envelope(lane, 1))
    assert await queues.states([key]) == {key: (1, 0)}
    looking = asyncio.create_task(queues.states([nowhere]))
    asked = consumer._looks[0]
    while asked._answered is None or asked._answered.done():
        await asyncio.sleep(0)
    looking.cancel()  # the answer is on its way
    await asyncio.gather(looking, return_exceptions=True)
    assert await queues.states([key]) == {key: (1, 0)}


async def test_without_a_broker_nothing_is_told(consumer: LaneConsumer, lane: Lane, network: Network) -> None:
    await network[0].refuse()
    await until(lambda: not consumer._connection.ready.is_set())
    with pytest.raises(StoreUnavailable, match="RabbitMQ"):
        await LaneQueues(consumer).states([(lane.tenant_id, lane.direction)])


async def test_whoever_empties_a_queue_waits_for_its_reader_and_gets_what_that_returns_in_order(
    consumer: LaneConsumer, publisher: LanePublisher, lane: Lane
) -> None:
    queues = LaneQueues(consumer)
    for number in range(5):
        await publisher.publish(envelope(lane, number))
    first: list[Delivery] = []
    reader = await consumer.subscribe(lane, 10, first.append, lambda: None)
    await until(lambda: len(first) == 5)
    taken: list[Delivery] = []
    await queues.subscribe(lane.tenant_id, lane.direction, 10, taken.append, lambda: None)
    assert taken == []
    await reader.close()
    await until(lambda: len(taken) == 5)
    assert [number_of(delivery.body) for delivery in taken] == list(range(5))
