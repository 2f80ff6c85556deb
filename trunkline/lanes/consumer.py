"""Consuming lanes: one connection, a channel for each lane, acknowledgements by hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pika.channel import Channel
from pika.exceptions import AMQPError

from trunkline.errors import StoreUnavailable
from trunkline.lanes.acks import Acks
from trunkline.lanes.connection import BrokerConnection, Control, QueueState
from trunkline.lanes.topology import WAKEUPS_QUEUE, Lane, QueueType

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0
WAKEUPS_PREFETCH = 1000
# Looking into many queues is waiting, mostly: with so many channels it takes a fraction of the time.
LOOKS_AT_ONCE = 8


class Delivery:
    """One message from a lane, to be acknowledged once its outcome is stored."""

    __slots__ = ("_subscription", "_tag", "body", "redelivered")

    def __init__(self, subscription: Subscription, tag: int, body: bytes, redelivered: bool) -> None:
        self._subscription = subscription
        self._tag = tag
        self.body = body
        self.redelivered = redelivered

    def ack(self) -> None:
        """Take it off the queue; nothing happens when its channel has gone, since it will come again."""
        self._subscription.ack(self._tag)


class Subscription:
    """A lane being consumed on a channel of its own; closing returns what is not acknowledged, in its order."""

    def __init__(
        self,
        channel: Channel,
        on_delivery: Callable[[Delivery], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._on_delivery = on_delivery
        self._on_lost = on_lost
        self._closing = False
        self._acks = Acks()
        self._is_acking = False
        # Received and not acknowledged.
        self.unacked = 0
        self._closed = asyncio.get_running_loop().create_future()
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(self._on_cancelled_by_broker)

    async def start(self, queue: str, prefetch: int) -> None:
        """Begin receiving; raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        granted, consuming = loop.create_future(), loop.create_future()
        try:
            self._channel.basic_qos(prefetch_count=prefetch, callback=lambda _: _settle(granted))
            await asyncio.wait_for(self._or_closed(granted), CALL_TIMEOUT_S)
            self._channel.basic_consume(queue, self._receive, callback=lambda _: _settle(consuming))
            await asyncio.wait_for(self._or_closed(consuming), CALL_TIMEOUT_S)
        except (AMQPError, TimeoutError) as error:
            raise StoreUnavailable(f"RabbitMQ: cannot consume {queue}: {error!r}") from error

    async def close(self) -> None:
        """Return everything unacknowledged to the queue."""
        self._closing = True
        self._send_acks()
        if self._channel.is_open:
            self._channel.close()
        await asyncio.wait([self._closed], timeout=CALL_TIMEOUT_S)

    def ack(self, tag: int) -> None:
        """Acknowledge one delivery of this channel, together with others that are done at the same time."""
        self._acks.add(tag)
        self.unacked -= 1
        if not self._is_acking:
            self._is_acking = True
            asyncio.get_running_loop().call_soon(self._send_acks)

    def _send_acks(self) -> None:
        self._is_acking = False
        if self._channel.is_open:
            for tag, multiple in self._acks.take():
                self._channel.basic_ack(tag, multiple)

    async def _or_closed(self, future: asyncio.Future[None]) -> None:
        await asyncio.wait([future, self._closed], return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise StoreUnavailable("RabbitMQ: the channel was closed")

    def _receive(self, _: Channel, method: Any, __: Any, body: bytes) -> None:
        self.unacked += 1
        self._on_delivery(Delivery(self, method.delivery_tag, body, bool(method.redelivered)))

    def _on_cancelled_by_broker(self, _: Any) -> None:
        # The queue was deleted, or its node went: the channel is of no use without it.
        if self._channel.is_open:
            self._channel.close()

    def _on_channel_closed(self, _: Channel, reason: Exception) -> None:
        _settle(self._closed)
        if not self._closing:
            log.info("lane.lost", extra={"error": repr(reason)})
            self._on_lost()


class LaneConsumer:
    """Subscribes to lanes on one connection that comes back by itself."""

    def __init__(self, url: str, name: str, queue_type: QueueType) -> None:
        self._connection = BrokerConnection(url, name, self._on_open)
        self.control = Control(self._connection, queue_type)
        self._looks = [Control(self._connection, queue_type) for _ in range(LOOKS_AT_ONCE)]

    def start(self) -> None:
        """Begin connecting."""
        self._connection.start()

    async def close(self) -> None:
        """End the connection; everything unacknowledged returns to its queue."""
        await self._connection.close()

    async def wait_ready(self) -> None:
        """Return once connected."""
        await self._connection.ready.wait()

    def check(self) -> None:
        """Raise StoreUnavailable, in words, when there is no connection."""
        if not self._connection.ready.is_set():
            raise StoreUnavailable(f"RabbitMQ: {self._connection.last_error}")

    async def states(self, queues: Sequence[str]) -> dict[str, QueueState | None]:
        """How each of these queues stands, None for one that is not there; raises StoreUnavailable."""
        self.check()
        found: dict[str, QueueState | None] = {}
        left = iter(queues)

        async def look(control: Control, left: Iterable[str]) -> None:
            for queue in left:
                found[queue] = await control.state(queue)

        await asyncio.gather(*(look(control, left) for control in self._looks[: len(queues)]))
        return found

    async def subscribe(
        self, lane: Lane, prefetch: int, on_delivery: Callable[[Delivery], None], on_lost: Callable[[], None]
    ) -> Subscription:
        """Declare the lane and consume it; `on_lost` is called if it ends without our doing."""
        await self._connection.ready.wait()
        await self.control.declare_lane(lane)
        return await self._consume(lane.queue, prefetch, on_delivery, on_lost)

    async def subscribe_wakeups(
        self, on_delivery: Callable[[Delivery], None], on_lost: Callable[[], None]
    ) -> Subscription:
        """Consume the queue in which intake names lanes that have something."""
        await self._connection.ready.wait()
        return await self._consume(WAKEUPS_QUEUE, WAKEUPS_PREFETCH, on_delivery, on_lost)

    async def _consume(
        self, queue: str, prefetch: int, on_delivery: Callable[[Delivery], None], on_lost: Callable[[], None]
    ) -> Subscription:
        subscription = Subscription(await self._connection.open_channel(), on_delivery, on_lost)
        try:
            await subscription.start(queue, prefetch)
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def _on_open(self, _: BrokerConnection) -> None:
        await self.control.declare_exchanges()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
