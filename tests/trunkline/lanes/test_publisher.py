"""Publishing on a real broker: confirmed, routed, in order, quick to say that it cannot."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from scripts.faults.tcp_proxy import TcpProxy
from tests.trunkline.lanes.waiting import envelope, number_of, until
from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable
from trunkline.lanes.publisher import CONFIRM_TIMEOUT_S, LanePublisher
from trunkline.lanes.topology import WAKEUPS_QUEUE, Lane

pytestmark = pytest.mark.services

Network = tuple[TcpProxy, str]

# What a broker whose disk is full says on the connection: connection.blocked with its reason, connection.unblocked.
BLOCKED = b"\x01\x00\x00\x00\x00\x00\x0d\x00\x0a\x00\x3c\x08low disk\xce"
UNBLOCKED = b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x3d\xce"


def take_all(broker: BlockingChannel, queue: str) -> list[bytes]:
    """Everything in the queue, in its order."""
    bodies = []
    while (found := broker.basic_get(queue, auto_ack=True))[0] is not None:
        bodies.append(found[2])
    return bodies


async def test_a_publish_returns_when_the_broker_has_the_envelope(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane
) -> None:
    sent = envelope(lane, 1)
    await publisher.publish(sent)
    method, properties, body = broker.basic_get(lane.queue, auto_ack=True)
    assert method is not None
    assert properties.delivery_mode == 2  # it outlives the broker
    assert Envelope.from_bytes(body) == sent


async def test_many_publishes_are_confirmed_at_once_and_keep_the_order_of_each_conversation(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane
) -> None:
    await asyncio.gather(
        *(publisher.publish(envelope(lane, number, str(customer))) for number in range(10) for customer in range(20))
    )
    orders: defaultdict[str, list[int]] = defaultdict(list)
    for body in take_all(broker, lane.queue):
        orders[Envelope.from_bytes(body).conversation].append(number_of(body))
    assert orders == {str(customer): list(range(10)) for customer in range(20)}


async def test_a_queue_deleted_under_our_feet_is_declared_again(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane
) -> None:
    await publisher.publish(envelope(lane, 1))
    broker.queue_delete(lane.queue)
    await publisher.publish(envelope(lane, 2))
    assert [number_of(body) for body in take_all(broker, lane.queue)] == [2]


async def test_a_conversation_keeps_its_order_when_its_queue_is_deleted_midway(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane
) -> None:
    await publisher.publish(envelope(lane, 0))
    publishing = [asyncio.create_task(publisher.publish(envelope(lane, number))) for number in range(1, 101)]
    await asyncio.wait([publishing[20]])
    broker.queue_delete(lane.queue)  # what was in it goes with it; what follows must not be lost or disordered
    confirmed_before = sum(task.done() for task in publishing)
    await asyncio.gather(*publishing)
    left = [number_of(body) for body in take_all(broker, lane.queue)]
    assert left == list(range(left[0], 101))
    assert left[0] <= confirmed_before + 2


async def test_a_connection_that_breaks_comes_back_and_publishes_again(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane, network: Network
) -> None:
    proxy, _ = network
    await publisher.publish(envelope(lane, 1))
    proxy.cut()
    await until(lambda: _refuses(publisher))
    await asyncio.wait_for(publisher.wait_ready(), 10)
    await publisher.publish(envelope(lane, 2))
    assert [number_of(body) for body in take_all(broker, lane.queue)] == [1, 2]


async def test_what_is_unconfirmed_when_the_connection_breaks_fails_at_once(
    publisher: LanePublisher, lane: Lane, network: Network
) -> None:
    proxy, _ = network
    await publisher.publish(envelope(lane, 1))
    proxy.hold()
    publishing = asyncio.create_task(publisher.publish(envelope(lane, 2)))
    await asyncio.sleep(0)
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(publishing, CONFIRM_TIMEOUT_S / 2)
    proxy.release()
    await asyncio.wait_for(publisher.wait_ready(), 10)


async def test_a_broker_that_does_not_confirm_fails_the_publish_in_time(
    publisher: LanePublisher, lane: Lane, network: Network
) -> None:
    proxy, _ = network
    await publisher.publish(envelope(lane, 1))
    proxy.hold()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no confirm"):
        await publisher.publish(envelope(lane, 2))
    assert time.monotonic() - began < CONFIRM_TIMEOUT_S + 1
    proxy.release()


async def test_a_broker_that_is_away_fails_the_publish_at_once_in_words_that_operators_know(
    publisher: LanePublisher, lane: Lane, network: Network
) -> None:
    proxy, _ = network
    await proxy.refuse()
    await until(lambda: "ECONNREFUSED" in _refusal(publisher))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="ECONNREFUSED"):
        await publisher.publish(envelope(lane, 1))
    assert time.monotonic() - began < 0.5

    await proxy.open()
    await asyncio.wait_for(publisher.wait_ready(), 10)
    await publisher.publish(envelope(lane, 2))


async def test_a_broker_that_blocks_publishers_fails_the_publish_at_once_until_it_unblocks_them(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane, network: Network
) -> None:
    proxy, _ = network
    await publisher.publish(envelope(lane, 1))
    proxy.inject(BLOCKED)
    await until(lambda: _refuses(publisher))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="blocked publishers"):
        await publisher.publish(envelope(lane, 2))
    assert time.monotonic() - began < 0.5
    proxy.inject(UNBLOCKED)
    await until(lambda: not _refuses(publisher))
    await publisher.publish(envelope(lane, 3))
    assert [number_of(body) for body in take_all(broker, lane.queue)] == [1, 3]


async def test_intake_wakes_the_lane_once_and_not_for_every_message(
    publisher: LanePublisher, broker: BlockingChannel, lane: Lane
) -> None:
    for number in range(3):
        await publisher.publish(envelope(lane, number))
    # Wake-ups and messages leave on one channel, so what is confirmed last has everything before it in its queue.
    woken = [body.decode() for body in take_all(broker, WAKEUPS_QUEUE)]
    assert woken.count(lane.queue) == 1


def _refusal(publisher: LanePublisher) -> str:
    try:
        publisher.check()
    except StoreUnavailable as error:
        return str(error)
    return ""


def _refuses(publisher: LanePublisher) -> bool:
    return _refusal(publisher) != ""
