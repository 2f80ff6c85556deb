"""Lanes' queues as they are looked into and emptied from outside, by tenant and direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trunkline.envelope import Direction
from trunkline.lanes.connection import QueueState
from trunkline.lanes.consumer import Delivery, LaneConsumer, Subscription
from trunkline.lanes.topology import EXCHANGES, Lane


class LaneQueues:
    """The broker's queues; every call raises StoreUnavailable while it is away."""

    names: Mapping[Direction, str] = EXCHANGES

    def __init__(self, consumer: LaneConsumer) -> None:
        self._consumer = consumer

    def name(self, tenant_id: str, direction: Direction) -> str:
        """The name of a lane's queue."""
        return Lane(tenant_id, direction).queue

    async def states(
        self, lanes: Sequence[tuple[str, Direction]]
    ) -> dict[tuple[str, Direction], tuple[int, int] | None]:
        """Messages ready and consumers of each lane's queue, None for a queue that is not there."""
        found = await self._consumer.states([self.name(*lane) for lane in lanes])
        return {lane: _pair(found[self.name(*lane)]) for lane in lanes}

    async def subscribe(
        self,
        tenant_id: str,
        direction: Direction,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        on_lost: Callable[[], None],
    ) -> Subscription:
        """Receive a lane's messages once nobody else does; `on_lost` is called if that ends without our doing."""
        return await self._consumer.subscribe(Lane(tenant_id, direction), prefetch, on_delivery, on_lost)


def _pair(state: QueueState | None) -> tuple[int, int] | None:
    return (state.ready, state.consumers) if state else None
