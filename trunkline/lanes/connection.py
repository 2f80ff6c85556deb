"""A connection to RabbitMQ that comes back by itself, and channel calls that can be awaited."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError

from trunkline.errors import StoreUnavailable
from trunkline.lanes.topology import EXCHANGES, WAKEUPS_ARGUMENTS, WAKEUPS_QUEUE, Lane, QueueType, lane_arguments

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 3.0
HEARTBEAT_S = 30
CALL_TIMEOUT_S = 10.0


class BrokerConnection:
    """Keeps one connection open, for one event loop; `on_open` runs after every (re)connection."""

    def __init__(self, url: str, name: str, on_open: Callable[[BrokerConnection], Awaitable[None]]) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = HEARTBEAT_S
        self._parameters.client_properties = {"connection_name": name}
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = 5
        self._parameters.stack_timeout = 10
        self._on_open = on_open
        self._connection: AsyncioConnection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[BaseException] | None = None
        self.ready = asyncio.Event()
        self.blocked = False
        self.last_error = "not connected yet"

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._keeper = asyncio.create_task(self._keep_open(), name="broker-connection")

    async def close(self) -> None:
        """End the connection; unacknowledged deliveries go back to their queues."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._disconnect()

    async def open_channel(self) -> Channel:
        """A new channel; raises StoreUnavailable when there is no connection."""
        if self._connection is None or not self._connection.is_open:
            raise StoreUnavailable(f"RabbitMQ: {self.last_error}")
        opened: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        try:
            self._connection.channel(on_open_callback=lambda channel: _settle(opened, channel))
        except AMQPError as error:
            raise StoreUnavailable(f"RabbitMQ: {error!r}") from error
        return await _within(opened, "open a channel")

    def reset_if_open(self) -> None:
        """Start over: what hung from the connection has become unusable."""
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    async def _keep_open(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                await self._connect()
                await self._on_open(self)
                self.ready.set()
                wait_s = FIRST_WAIT_S
                assert self._closed is not None
                self.last_error = self._describe(await self._closed)
                log.warning("broker.lost", extra={"error": self.last_error})
            except (StoreUnavailable, AMQPError, OSError) as error:
                self.last_error = self._describe(error)
                log.info("broker.unreachable", extra={"error": self.last_error, "wait_s": wait_s})
            finally:
                self.ready.clear()
                self.blocked = False
            await self._disconnect()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[AsyncioConnection] = loop.create_future()
        self._closed = closed = loop.create_future()
        connection = AsyncioConnection(
            self._parameters,
            on_open_callback=lambda connection: _settle(opened, connection),
            on_open_error_callback=lambda _, error: _fail(opened, error),
            on_close_callback=lambda _, reason: _settle(closed, reason),
            custom_ioloop=loop,
        )
        self._connection = connection
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        await _within(opened, "connect")

    def _describe(self, error: BaseException) -> str:
        """The words operators know for a broken connection."""
        if any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error)):
            return f"connect ECONNREFUSED {self._parameters.host}:{self._parameters.port}"
        return str(error) or repr(error)

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        log.warning("broker.blocked" if blocked else "broker.unblocked")

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or self._closed is None:
            return
        if connection.is_open:
            connection.close()
        if not self._closed.done() and (connection.is_closing or connection.is_open):
            await asyncio.wait([self._closed], timeout=2)


@dataclass(frozen=True, slots=True)
class QueueState:
    """Messages of a queue that nobody has received, and how many consumers it has."""

    ready: int
    consumers: int


class Control:
    """Declarations on a channel of their own, since a refused one closes its channel."""

    def __init__(self, connection: BrokerConnection, queue_type: QueueType) -> None:
        self._connection = connection
        self._arguments = lane_arguments(queue_type)
        self._channel: Channel | None = None
        self._answered: asyncio.Future[Any] | None = None
        self._lock = asyncio.Lock()

    async def declare_exchanges(self) -> None:
        """Declare what all lanes hang from, and the queue of wake-ups."""
        for exchange in EXCHANGES.values():
            await self._call("exchange_declare", exchange=exchange, exchange_type="direct", durable=True)
        await self._call("queue_declare", queue=WAKEUPS_QUEUE, durable=True, arguments=WAKEUPS_ARGUMENTS)

    async def declare_lane(self, lane: Lane) -> None:
        """Declare and bind a lane's queue; raises StoreUnavailable."""
        await self._call("queue_declare", queue=lane.queue, durable=True, arguments=self._arguments)
        await self._call("queue_bind", queue=lane.queue, exchange=lane.exchange, routing_key=lane.tenant_id)

    async def count(self, queue: str) -> int | None:
        """Messages ready in a queue, or None when there is no such queue."""
        state = await self.state(queue)
        return state.ready if state else None

    async def state(self, queue: str) -> QueueState | None:
        """How a queue stands, or None when there is no such queue."""
        try:
            answer = await self._call("queue_declare", queue=queue, passive=True)
        except StoreUnavailable as error:
            if error.code == "404":
                return None
            raise
        return QueueState(int(answer.method.message_count), int(answer.method.consumer_count))

    async def _call(self, method: str, **arguments: Any) -> Any:
        async with self._lock:
            if self._channel is None or not self._channel.is_open:
                self._channel = await self._connection.open_channel()
                self._channel.add_on_close_callback(self._on_channel_closed)
            self._answered = answered = asyncio.get_running_loop().create_future()
            try:
                getattr(self._channel, method)(callback=lambda frame: _settle(answered, frame), **arguments)
            except AMQPError as error:
                raise StoreUnavailable(f"RabbitMQ: {error!r}") from error
            try:
                return await _within(answered, method)
            finally:
                if answered.cancelled():
                    self._leave_channel()

    def _leave_channel(self) -> None:
        """What is still to be answered there must not be taken for the answer to the next call."""
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if self._answered is not None and channel is self._channel:
            code = str(getattr(reason, "reply_code", ""))
            _fail(self._answered, StoreUnavailable(f"RabbitMQ: {str(reason) or repr(reason)}", code))


async def _within(future: asyncio.Future[Any], what: str) -> Any:
    try:
        return await asyncio.wait_for(future, CALL_TIMEOUT_S)
    except TimeoutError as error:
        raise StoreUnavailable(f"RabbitMQ: no answer to {what} within {CALL_TIMEOUT_S:g} s") from error


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything that pika has wrapped into it."""
    found = [error]
    inside = (
        *error.args,
        *(getattr(error, "exceptions", None) or ()),
        getattr(error, "exception", None),
        error.__cause__,
    )
    for item in inside:
        if isinstance(item, BaseException):
            found.extend(_causes(item))
    return found
