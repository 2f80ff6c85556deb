"""TransformerActor: consumes the lanes it was given until told to stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from actors.directory import CellTenants
from actors.hosting import Started
from actors.reports import Holding, LaneReport, TransformerReport
from config.delivery_wiring import TransformerParts
from config.settings import load_settings
from trunkline.attempt import this_owner
from trunkline.delivery.lane import LaneRunner
from trunkline.delivery.spooling import TenantSpool
from trunkline.envelope import Direction, message_id_for
from trunkline.errors import StoreUnavailable
from trunkline.lanes.topology import Lane, lane_of
from trunkline.tenancy.tenant import Gone, Held, Ready, cloud_of


class TransformerActor:
    """An actor that delivers what its lanes hold."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._incarnation = this_owner()
        self._prefetch = load_settings().trunkline_prefetch
        self._cells: dict[str, str] = {}
        self._tenants = CellTenants(self._cells.__getitem__)
        self._parts = Started(lambda settings: TransformerParts(settings, name, self._tenants, self._runners_by_lane))
        self._runners: dict[str, LaneRunner] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        """As Ray's dashboard and its logs call it."""
        return f"TransformerActor({self._name})"

    @property
    def holds(self) -> Holding:
        """The lanes that it reads."""
        return Holding.shown("lanes", self._running)

    async def assign(self, queue: str, cell: str) -> None:
        """Consume a lane whose tenant lives in `cell`; does nothing when it is consumed already."""
        lane = lane_of(queue)
        self._cells[lane.tenant_id] = cell
        parts = await self._parts.get()
        if queue in self._running:
            return
        runner = self._runners[queue] = self._runner(parts, lane)
        self._running[queue] = asyncio.create_task(runner.run(), name=queue)

    async def move_tenant(self, tenant_id: str, cell: str) -> None:
        """The tenant lives in another cell from now on."""
        if tenant_id in self._cells:
            self._cells[tenant_id] = cell

    async def let_go(self, queue: str) -> bool:
        """Stop consuming a lane; answers whether its queue was empty, before and after."""
        parts = await self._parts.get()
        if queue not in self._running:
            return True
        if await self._count(parts, queue):
            return False
        await self._stop([queue])
        return not await self._count(parts, queue)

    async def give_up(self, queues: list[str]) -> None:
        """Stop consuming these lanes, whatever is in them; returns once what was under way there is finished."""
        await self._stop([queue for queue in queues if queue in self._running])

    async def report(self) -> TransformerReport:
        """How this transformer and its lanes stand."""
        now = time.monotonic()
        parts = await self._parts.get()
        lanes = {
            queue: LaneReport(
                runner.unfinished,
                0.0 if runner.unfinished or runner.held_reason else now - runner.active_at,
                runner.held_reason,
                runner.oldest_accepted_at,
                now - runner.stepped_at,
                runner.unacked,
                runner.is_probing,
            )
            for queue, runner in self._runners.items()
        }
        return TransformerReport(
            self._incarnation,
            lanes,
            parts.transformer.delivered,
            parts.ledger.unsettled,
            parts.files_under_way,
        )

    async def drain(self) -> None:
        """Finish what is under way, give back the rest, store every outcome."""
        parts = await self._parts.get()
        await self._stop(list(self._running))
        await parts.settled()

    def _runners_by_lane(self) -> dict[tuple[str, Direction], LaneRunner]:
        return {
            (lane.tenant_id, lane.direction): runner
            for queue, runner in self._runners.items()
            if (lane := lane_of(queue))
        }

    def _runner(self, parts: TransformerParts, lane: Lane) -> LaneRunner:
        async def standing() -> Held | Ready | Gone:
            return await self._tenants.standing(lane.tenant_id, cloud_of(lane.direction))

        async def keep_unreadable(body: bytes) -> None:
            message_id = message_id_for(lane.tenant_id, lane.direction, body.hex())
            await parts.messages.bury_unreadable(lane.tenant_id, lane.direction, message_id, body)

        async def subscribe(prefetch: int, on_delivery: Any, on_lost: Any) -> Any:
            return await parts.consumer.subscribe(lane, prefetch, on_delivery, on_lost)

        async def queue_is_empty() -> bool:
            return runner.is_subscribed and await parts.consumer.control.count(lane.queue) == 0

        spool = TenantSpool(parts.spool, lane.tenant_id, lane.direction, queue_is_empty)
        runner = LaneRunner(
            subscribe,
            parts.deliver,
            standing,
            keep_unreadable,
            parts.transformer.give_up,
            spool,
            self._prefetch,
            {"tenant": lane.tenant_id, "lane": lane.queue},
        )
        return runner

    async def _stop(self, queues: list[str]) -> None:
        running = {queue: self._running[queue] for queue in queues}
        for queue in queues:
            self._runners[queue].stop()
        if running:
            await asyncio.wait(running.values())
        for queue, task in running.items():
            if self._running.get(queue) is task:  # two may ask for the same
                del self._running[queue], self._runners[queue]
                await self._forget(lane_of(queue).tenant_id)

    async def _forget(self, tenant_id: str) -> None:
        if not any(lane_of(queue).tenant_id == tenant_id for queue in self._running):
            (await self._parts.get()).transformer.forget(tenant_id)

    async def _count(self, parts: TransformerParts, queue: str) -> int:
        try:
            return await parts.consumer.control.count(queue) or 0
        except StoreUnavailable:
            return 1  # nobody knows: keep it
