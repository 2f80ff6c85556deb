"""Purging: a lane's reader gives it up, what is in it is settled as purged and only then taken away, and it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from trunkline.delivery.outbound_route import is_claimed
from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable, Unavailable

log = logging.getLogger(__name__)

# A purge that has died leaves its lane to the transformers after so long.
HELD_FOR_S = 40.0
HOLD_AGAIN_EVERY_S = 10.0
GROUP_LIMIT = 500
# The broker gives what is there at once; with nothing for so long, somebody else may have taken it.
QUIET_S = 3.0
# Whoever read the lane before may be slow to go, though not for ever.
NOTHING_COMES_AFTER_S = 15.0
# What was accepted so long ago has been put into a queue or the spool by now.
STORED_WITHIN_S = 60.0


class Delivery(Protocol):
    """A message from the lane's queue."""

    body: bytes

    def ack(self) -> None:
        """Take it off the queue."""


class Subscription(Protocol):
    """The lane's queue being read."""

    async def close(self) -> None:
        """Receive nothing more, and return everything that is not acknowledged."""


class Queues(Protocol):
    """The lanes' queues; every call raises StoreUnavailable."""

    def name(self, tenant_id: str, direction: Direction) -> str:
        """The name of a lane's queue."""

    async def states(
        self, lanes: Sequence[tuple[str, Direction]]
    ) -> dict[tuple[str, Direction], tuple[int, int] | None]:
        """Messages ready and consumers of each lane's queue, None for a queue that is not there."""

    async def subscribe(
        self,
        tenant_id: str,
        direction: Direction,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        on_lost: Callable[[], None],
    ) -> Subscription:
        """Receive a lane's messages once nobody else does."""


class Holds(Protocol):
    """Who gives lanes to transformers; every call raises Unavailable."""

    async def hold_lane(self, queue: str, by: str, for_s: float) -> bool:
        """Have no transformer read a lane, once what is under way is finished; False while another holds it."""

    async def release_lane(self, queue: str, by: str) -> None:
        """Have a lane read again."""


class Records(Protocol):
    """Messages and the spool; every call raises StoreUnavailable."""

    async def purge(self, envelopes: Sequence[Envelope], by: str) -> None:
        """Settle as purged what is not settled yet, and remove it from the spool."""

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        """Remove from the spool what has no row of its own."""

    async def spooled(self, tenant_id: str, direction: Direction, before: float, limit: int) -> list[Envelope]:
        """Some of what was put into the lane's spool before then (Unix seconds)."""

    async def settle_lost(self, tenant_id: str, direction: Direction, before: float, by: str) -> int:
        """Settle what was accepted before then, waits, and is nowhere; how many."""


class Purging:
    """Empties lanes. What comes in meanwhile stays; a purge that ends in the middle leaves the rest where it was."""

    def __init__(self, queues: Queues, holds: Holds, records: Records, clock: Callable[[], float] = time.time) -> None:
        self._queues = queues
        self._holds = holds
        self._records = records
        self._clock = clock

    async def lane(self, tenant_id: str, direction: Direction, by: str) -> int:
        """How many messages were purged; raises Unavailable when the lane cannot be had, or a store is away."""
        queue = self._queues.name(tenant_id, direction)
        async with self._held(queue):
            began = self._clock()
            purged = await self._empty_queue(tenant_id, direction, by)
            purged += await self._empty_spool(tenant_id, direction, began, by)
            purged += await self._records.settle_lost(tenant_id, direction, began - STORED_WITHIN_S, by)
        log.info("lane.purged", extra={"tenant": tenant_id, "lane": queue, "count": purged, "key": by})
        return purged

    @contextlib.asynccontextmanager
    async def _held(self, queue: str) -> AsyncIterator[None]:
        """No transformer reads the lane."""
        by = secrets.token_hex(8)
        if not await self._holds.hold_lane(queue, by, HELD_FOR_S):
            raise Unavailable(f"{queue} is being purged already")
        holding = asyncio.create_task(self._keep_holding(queue, by))
        try:
            yield
        finally:
            holding.cancel()
            with contextlib.suppress(Unavailable):  # it is let go by itself
                await self._holds.release_lane(queue, by)

    async def _keep_holding(self, queue: str, by: str) -> None:
        # A supervisor that starts anew knows of no holds: its transformer waits for the queue behind this purge then.
        while True:
            await asyncio.sleep(HOLD_AGAIN_EVERY_S)
            with contextlib.suppress(Unavailable):
                await self._holds.hold_lane(queue, by, HELD_FOR_S)

    async def _empty_queue(self, tenant_id: str, direction: Direction, by: str) -> int:
        """Purge as many as are in the queue now, its oldest."""
        lane = (tenant_id, direction)
        state = (await self._queues.states([lane]))[lane]
        count = state[0] if state else 0
        if count == 0:
            return 0
        arrived: asyncio.Queue[Delivery | None] = asyncio.Queue()
        subscription = await self._queues.subscribe(
            tenant_id, direction, min(count, 2 * GROUP_LIMIT), arrived.put_nowait, lambda: arrived.put_nowait(None)
        )
        purged = 0
        patience_s = NOTHING_COMES_AFTER_S
        try:
            while purged < count:
                group = await _next(arrived, min(GROUP_LIMIT, count - purged), patience_s)
                if not group:
                    await self._check_empty(lane)
                    break
                await self._purge(group, by)
                purged += len(group)
                patience_s = QUIET_S
        finally:
            await subscription.close()
        return purged

    async def _check_empty(self, lane: tuple[str, Direction]) -> None:
        state = (await self._queues.states([lane]))[lane]
        if state and state[0]:
            raise Unavailable(f"{self._queues.name(*lane)} has a reader that does not give it up: try again")

    async def _purge(self, group: Sequence[Delivery], by: str) -> None:
        """Settle what was received, then take it off the queue."""
        envelopes = []
        for delivery in group:
            # What is not an envelope has nobody whom it could be told to.
            with contextlib.suppress(ValueError):
                envelopes.append(Envelope.from_bytes(delivery.body))
        await self._settle(envelopes, by)
        for delivery in group:
            delivery.ack()

    async def _empty_spool(self, tenant_id: str, direction: Direction, before: float, by: str) -> int:
        purged = 0
        while envelopes := await self._records.spooled(tenant_id, direction, before, GROUP_LIMIT):
            await self._settle(envelopes, by)
            purged += len(envelopes)
        return purged

    async def _settle(self, envelopes: Sequence[Envelope], by: str) -> None:
        """Signs of life and reports have no rows: they are of no use later, purged or not."""
        if claimed := [each for each in envelopes if is_claimed(each)]:
            await self._records.purge(claimed, by)
        if others := [each for each in envelopes if not is_claimed(each)]:
            await self._records.remove(others)


async def _next(arrived: asyncio.Queue[Delivery | None], limit: int, within_s: float) -> list[Delivery]:
    """What has arrived, at most `limit`; empty when nothing comes. Raises StoreUnavailable when reading has ended."""
    group: list[Delivery] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            group.append(_there(await arrived.get()))
    while len(group) < limit and not arrived.empty() and group:
        group.append(_there(arrived.get_nowait()))
    return group


def _there(delivery: Delivery | None) -> Delivery:
    if delivery is None:
        raise StoreUnavailable("RabbitMQ: the queue could not be read to its end: try again")
    return delivery
