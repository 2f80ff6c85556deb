"""Publishing into lanes: confirmed, mandatory, many outstanding, in order within a conversation."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pika import BasicProperties
from pika.channel import Channel
from pika.exceptions import AMQPError

from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable
from trunkline.lanes.connection import BrokerConnection, Control
from trunkline.lanes.topology import WAKEUPS_QUEUE, Lane, QueueType
from trunkline.lanes.turns import Turns
from trunkline.trace_context import TRACEPARENT

CONFIRM_TIMEOUT_S = 2.0
WAKE_EVERY_S = 10.0
# A queue that is deleted again and again under our feet is somebody's mistake: give up and let the sender repeat.
ROUTING_TRIES = 3
PERSISTENT = 2


class _Returned(Exception):
    """The broker had no queue for the message."""


class LanePublisher:
    """Publishes envelopes; a return from `publish` means that the broker has them on disk."""

    def __init__(self, url: str, name: str, queue_type: QueueType) -> None:
        self._connection = BrokerConnection(url, name, self._on_open)
        self._control = Control(self._connection, queue_type)
        self._channel: Channel | None = None
        self._next_tag = 1
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._returned: set[int] = set()
        self._declared: dict[str, asyncio.Task[None]] = {}
        self._turns = Turns()
        self._woken_at: dict[str, float] = {}

    def start(self) -> None:
        """Begin connecting; publishes fail until there is a connection."""
        self._connection.start()

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close()

    async def wait_ready(self) -> None:
        """Return once connected."""
        await self._connection.ready.wait()

    def check(self) -> None:
        """Raise StoreUnavailable, in words, unless a publish would be tried now."""
        if not self._connection.ready.is_set():
            raise StoreUnavailable(f"RabbitMQ: {self._connection.last_error}")
        if self._connection.blocked:
            raise StoreUnavailable("RabbitMQ has blocked publishers: its disk or memory alarm is on")

    async def publish(self, envelope: Envelope) -> None:
        """Return when the broker has confirmed the envelope; raises StoreUnavailable.

        At most one message of a conversation is unconfirmed at a time, so none overtakes another that was returned.
        """
        lane = Lane(envelope.tenant_id, envelope.direction)
        body = envelope.to_bytes()
        # For others who look at the queue: the body, which goes to more places, has it too.
        headers = {TRACEPARENT: envelope.traceparent} if envelope.traceparent is not None else None
        async with self._turns.of((lane.queue, envelope.conversation)):
            await self._publish_routed(lane, body, headers)
        self._wake(lane)

    async def _publish_routed(self, lane: Lane, body: bytes, headers: dict[str, str] | None) -> None:
        for _ in range(ROUTING_TRIES):
            await self._declare_once(lane)
            try:
                confirmed = self._publish_confirmed(lane.exchange, lane.tenant_id, body, headers)
                await asyncio.wait_for(confirmed, CONFIRM_TIMEOUT_S)
                return
            except _Returned:
                self._declared.pop(lane.queue, None)
            except TimeoutError as error:
                raise StoreUnavailable(f"RabbitMQ: no confirm within {CONFIRM_TIMEOUT_S:g} s") from error
        raise StoreUnavailable(f"RabbitMQ: queue {lane.queue} vanishes as soon as it is declared")

    def _publish_confirmed(
        self, exchange: str, routing_key: str, body: bytes, headers: dict[str, str] | None
    ) -> asyncio.Future[None]:
        self.check()
        if self._channel is None or not self._channel.is_open:
            raise StoreUnavailable(f"RabbitMQ: {self._connection.last_error}")
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unconfirmed[tag] = confirmed
        properties = BasicProperties(delivery_mode=PERSISTENT, message_id=str(tag), headers=headers)
        try:
            self._channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
        except AMQPError as error:
            self._unconfirmed.pop(tag, None)
            raise StoreUnavailable(f"RabbitMQ: {error!r}") from error
        return confirmed

    async def _declare_once(self, lane: Lane) -> None:
        """Declare the lane before its first publish on this connection, so that a return is the exception."""
        task = self._declared.get(lane.queue)
        if task is None:
            self.check()
            task = self._declared[lane.queue] = asyncio.create_task(self._control.declare_lane(lane))
        try:
            await asyncio.shield(task)
        except BaseException:
            if task.done():
                self._declared.pop(lane.queue, None)
            raise

    def _wake(self, lane: Lane) -> None:
        """Tell the supervisor, now and then, that this lane has something; a lost wake-up is covered by its sweep."""
        now = time.monotonic()
        if now - self._woken_at.get(lane.queue, -WAKE_EVERY_S) < WAKE_EVERY_S:
            return
        if self._channel is not None and self._channel.is_open:
            self._next_tag += 1  # an unawaited publish takes a delivery tag too
            self._channel.basic_publish("", WAKEUPS_QUEUE, lane.queue.encode())
            self._woken_at[lane.queue] = now

    async def _on_open(self, connection: BrokerConnection) -> None:
        await self._control.declare_exchanges()
        channel = await connection.open_channel()
        self._next_tag = 1
        self._declared.clear()
        self._woken_at.clear()
        selected: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_channel_closed)
        channel.confirm_delivery(self._on_confirm, callback=lambda frame: selected.set_result(frame))
        await asyncio.wait_for(selected, CONFIRM_TIMEOUT_S)
        self._channel = channel

    def _on_return(self, _: Channel, __: Any, properties: BasicProperties, ___: bytes) -> None:
        if properties.message_id is not None:
            self._returned.add(int(properties.message_id))

    def _on_confirm(self, frame: Any) -> None:
        last: int = frame.method.delivery_tag
        tags = [tag for tag in self._unconfirmed if tag <= last] if frame.method.multiple else [last]
        acked = frame.method.NAME == "Basic.Ack"
        for tag in tags:
            confirmed = self._unconfirmed.pop(tag, None)
            returned = tag in self._returned
            self._returned.discard(tag)
            if confirmed is None or confirmed.done():
                continue
            if returned:
                confirmed.set_exception(_Returned())
            elif acked:
                confirmed.set_result(None)
            else:
                confirmed.set_exception(StoreUnavailable("RabbitMQ refused the message (basic.nack)"))

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if self._channel is channel:
            self._channel = None
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        self._returned.clear()
        for confirmed in unconfirmed.values():
            if not confirmed.done():
                confirmed.set_exception(StoreUnavailable(f"RabbitMQ: {reason!r}"))
                confirmed.exception()  # its waiter may have given up already
        self._connection.reset_if_open()
