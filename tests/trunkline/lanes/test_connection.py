"""The connection to a real broker: it comes back by itself, and its control channel survives what it is refused."""

from __future__ import annotations

import asyncio
import time

import pytest

from scripts.faults.tcp_proxy import TcpProxy
from tests.trunkline.lanes.waiting import until
from trunkline.errors import StoreUnavailable
from trunkline.lanes.connection import BrokerConnection, Control
from trunkline.lanes.topology import Lane, lane_arguments

pytestmark = pytest.mark.services

Network = tuple[TcpProxy, str]


class Opened:
    """Counts how often a connection was opened."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, connection: BrokerConnection) -> None:
        self.times += 1


async def test_a_queue_that_is_not_there_counts_as_none_and_what_follows_still_works(
    network: Network, lane: Lane
) -> None:
    connection = BrokerConnection(network[1], "test", Opened())
    connection.start()
    control = Control(connection, "classic")
    await asyncio.wait_for(connection.ready.wait(), 10)
    await control.declare_exchanges()
    assert await control.count(lane.queue) is None
    await control.declare_lane(lane)
    assert await control.count(lane.queue) == 0
    assert await control.count(f"{lane.queue}-not-there") is None
    await connection.close()


async def test_many_calls_at_once_on_the_control_channel_each_get_their_own_answer(
    network: Network, lane: Lane
) -> None:
    connection = BrokerConnection(network[1], "test", Opened())
    connection.start()
    control = Control(connection, "classic")
    await asyncio.wait_for(connection.ready.wait(), 10)
    await control.declare_exchanges()
    await control.declare_lane(lane)
    names = [lane.queue, "not-there"] * 5
    assert await asyncio.gather(*map(control.count, names)) == [0, None] * 5
    await connection.close()


async def test_a_lane_declared_with_other_arguments_is_refused_in_words(network: Network, lane: Lane) -> None:
    connection = BrokerConnection(network[1], "test", Opened())
    connection.start()
    await asyncio.wait_for(connection.ready.wait(), 10)
    await Control(connection, "classic").declare_exchanges()
    await Control(connection, "classic").declare_lane(lane)
    with pytest.raises(StoreUnavailable, match="PRECONDITION_FAILED"):
        await Control(connection, "quorum").declare_lane(lane)
    assert lane_arguments("classic") != lane_arguments("quorum")
    await connection.close()


async def test_a_connection_that_breaks_again_and_again_comes_back_each_time(network: Network) -> None:
    opened = Opened()
    connection = BrokerConnection(network[1], "test", opened)
    connection.start()
    for number in range(1, 4):
        await until(lambda number=number: opened.times == number and connection.ready.is_set())  # type: ignore[misc]
        network[0].cut()
    await until(lambda: opened.times == 4)
    await connection.close()


async def test_nothing_is_opened_while_the_broker_is_away_and_everything_once_it_is_back(network: Network) -> None:
    proxy, url = network
    await proxy.refuse()
    opened = Opened()
    connection = BrokerConnection(url, "test", opened)
    connection.start()
    await until(lambda: "ECONNREFUSED" in connection.last_error)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="ECONNREFUSED"):
        await connection.open_channel()
    assert time.monotonic() - began < 0.5
    assert opened.times == 0
    await proxy.open()
    await asyncio.wait_for(connection.ready.wait(), 10)
    assert (await connection.open_channel()).is_open
    await connection.close()


async def test_a_closed_connection_stays_closed(network: Network) -> None:
    opened = Opened()
    connection = BrokerConnection(network[1], "test", opened)
    connection.start()
    await asyncio.wait_for(connection.ready.wait(), 10)
    await connection.close()
    with pytest.raises(StoreUnavailable):
        await connection.open_channel()
    assert not connection.ready.is_set()
