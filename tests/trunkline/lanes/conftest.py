"""The real broker, reached directly and through a network that can be broken."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from scripts.faults.tcp_proxy import TcpProxy, proxied
from trunkline.envelope import Direction
from trunkline.lanes.consumer import LaneConsumer
from trunkline.lanes.publisher import LanePublisher
from trunkline.lanes.topology import Lane


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """The tests' RabbitMQ. Others may use it too: tests keep to queues of tenants with random names."""
    url = os.environ.get("RABBITMQ_URL", "")
    if not url:
        pytest.fail("RABBITMQ_URL is not set: run the tests with scripts/test, which starts the stores")
    return url


@pytest.fixture
def broker(rabbitmq_url: str) -> Iterator[BlockingChannel]:
    """A channel of the test's own, to look at queues and to meddle with them."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    yield connection.channel()
    connection.close()


@pytest.fixture
def lane(broker: BlockingChannel) -> Iterator[Lane]:
    """A lane that nobody else uses."""
    lane = Lane(f"t-{secrets.token_hex(6)}", Direction.INBOUND)
    yield lane
    broker.queue_delete(lane.queue)


@pytest.fixture
async def network(rabbitmq_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A way to the broker that can be broken, and the URL that takes it."""
    async with proxied(rabbitmq_url) as way:
        yield way


@pytest.fixture
async def publisher(network: tuple[TcpProxy, str]) -> AsyncIterator[LanePublisher]:
    """A publisher, connected."""
    made = LanePublisher(network[1], "test-publisher", "classic")
    made.start()
    await made.wait_ready()
    yield made
    await made.close()


@pytest.fixture
async def consumer(network: tuple[TcpProxy, str]) -> AsyncIterator[LaneConsumer]:
    """A consumer, connected."""
    made = LaneConsumer(network[1], "test-consumer", "classic")
    made.start()
    await made.wait_ready()
    yield made
    await made.close()
