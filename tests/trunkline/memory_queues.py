"""The broker's queues, in memory: what is received and not acknowledged comes back when its reader goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable
from trunkline.lanes.topology import EXCHANGES, Lane

LaneKey = tuple[str, Direction]


class MemoryDelivery:
    """A message that was received."""

    def __init__(self, reading: MemoryReading, body: bytes) -> None:
        self.body = body
        self.redelivered = False
        self._reading = reading

    def ack(self) -> None:
        self._reading.unacked.remove(self)
        self._reading.give()


class MemoryReading:
    """A queue that is being read."""

    def __init__(self, queue: list[bytes], prefetch: int, on_delivery: Callable[[Any], None]) -> None:
        self.unacked: list[MemoryDelivery] = []
        self._queue = queue
        self._prefetch = prefetch
        self._on_delivery = on_delivery
        self.give()

    def give(self) -> None:
        while self._queue and len(self.unacked) < self._prefetch:
            delivery = MemoryDelivery(self, self._queue.pop(0))
            self.unacked.append(delivery)
            self._on_delivery(delivery)

    async def close(self) -> None:
        self._queue[:0] = [delivery.body for delivery in self.unacked]
        self.unacked = []


class MemoryQueues:
    """All lanes' queues; `away` says in words that the broker is. `consumers` of those that have any."""

    names = EXCHANGES

    def __init__(self) -> None:
        self.bodies: defaultdict[LaneKey, list[bytes]] = defaultdict(list)
        self.consumers: dict[LaneKey, int] = {}
        self.away: str | None = None
        # Called for each subscription, before anything is received.
        self.on_subscribe: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None

    def put(self, *envelopes: Envelope) -> None:
        for envelope in envelopes:
            self.bodies[envelope.tenant_id, envelope.direction].append(envelope.to_bytes())

    def name(self, tenant_id: str, direction: Direction) -> str:
        return Lane(tenant_id, direction).queue

    async def states(self, lanes: Sequence[LaneKey]) -> dict[LaneKey, tuple[int, int] | None]:
        self._check()
        return {
            lane: (len(self.bodies[lane]), self.consumers.get(lane, 0)) if lane in self.bodies else None
            for lane in lanes
        }

    async def subscribe(
        self,
        tenant_id: str,
        direction: Direction,
        prefetch: int,
        on_delivery: Callable[[Any], None],
        on_lost: Callable[[], None],
    ) -> MemoryReading:
        self._check()
        self.on_lost = on_lost
        self.on_subscribe()
        return MemoryReading(self.bodies[tenant_id, direction], prefetch, on_delivery)

    def _check(self) -> None:
        if self.away is not None:
            raise StoreUnavailable(self.away)
