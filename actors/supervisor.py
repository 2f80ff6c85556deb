"""SupervisorActor: sees that cells and transformers run, and that every lane with something in it is read."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from actors.directory import answer, cell, cell_name, transformer, transformer_name
from actors.hosting import Started
from actors.reports import TransformerReport
from config.settings import Settings, load_settings
from config.wiring import SupervisorParts, build_supervisor
from trunkline.delivery.assignment import Assign, Assignments
from trunkline.envelope import Direction
from trunkline.errors import StoreUnavailable, Unavailable
from trunkline.lanes.consumer import Delivery
from trunkline.lanes.topology import Lane, lane_of

log = logging.getLogger(__name__)

ROUND_EVERY_S = 1.0
SWEEP_EVERY_S = 60.0
ASK_TIMEOUT_S = 3.0
DRAIN_TIMEOUT_S = 12.0
POOLS = ("inbound", "outbound")


def pool_of(lane: Lane) -> str:
    """The pool that serves a lane's cloud."""
    return "outbound" if lane.direction is Direction.OUTBOUND else "inbound"


class SupervisorActor:
    """One actor; its state is rebuilt from its transformers' reports, the broker and Postgres after a restart."""

    def __init__(self, name: str) -> None:
        self._settings: Settings = load_settings()
        self._parts: Started[SupervisorParts] = Started(build_supervisor)
        self._assignments = Assignments()
        self._reports: dict[str, TransformerReport] = {}
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False
        self._dedicated: dict[str, bool] = {}

    async def ensure_running(self) -> None:
        """Supervise, if that is not being done already; returns once every cell and transformer has been called."""
        parts = await self._parts.get()
        async with self._turn:
            if self._tasks or self._draining:
                return
            parts.directory.on_change = self._tenant_changed
            for name in self._transformers():
                self._assignments.add_member(name, name.split(":")[1], time.monotonic())
            self._tasks = [
                asyncio.create_task(self._supervise()),
                asyncio.create_task(self._sweep_regularly(parts)),
                asyncio.create_task(self._read_wakeups(parts)),
            ]
        await self._call_all_cells()
        await self._round()

    async def status(self) -> dict[str, Any]:
        """Pools with their size, how many run, and their lanes' state."""
        counts = self._assignments.counts()
        return {
            "pools": {
                pool: {
                    "size": self._size(pool),
                    "running": sum(1 for name in self._reports if name.split(":")[1] == pool),
                    "lanes": counts.get(pool, 0),
                    "unfinished": sum(
                        lane.unfinished
                        for name, report in self._reports.items()
                        if name.split(":")[1] == pool
                        for lane in report.lanes.values()
                    ),
                }
                for pool in POOLS
            },
            "cells": self._settings.trunkline_cells,
        }

    async def lanes(self, tenant_id: str) -> dict[str, dict[str, Any]]:
        """The tenant's lanes that are being read, by queue."""
        return {
            queue: {"reader": name, "unfinished": lane.unfinished, "held": lane.held_reason,
                    "oldestAcceptedAt": lane.oldest_accepted_at}
            for name, report in self._reports.items()
            for queue, lane in report.lanes.items()
            if lane_of(queue).tenant_id == tenant_id
        }  # fmt: skip

    async def drain(self) -> None:
        """Give no more lanes, and let every transformer finish what is under way."""
        self._draining = True
        async with self._turn:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*(self._ask(name, "drain", DRAIN_TIMEOUT_S) for name in self._transformers()))

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(ROUND_EVERY_S)
            try:
                await self._round()
            except Exception:
                log.exception("supervisor.round_failed")

    async def _round(self) -> None:
        """Ask every transformer, let quiet lanes go, give lanes without a reader one."""
        async with self._turn:
            if self._draining:
                return
            names = self._transformers()
            reports = await asyncio.gather(*(self._ask(name, "report", ASK_TIMEOUT_S) for name in names))
            now = time.monotonic()
            for name, report in zip(names, reports, strict=True):
                if not isinstance(report, TransformerReport):
                    self._reports.pop(name, None)
                    continue
                self._reports[name] = report
                quiet_s = {queue: lane.quiet_s for queue, lane in report.lanes.items()}
                for decision in self._assignments.reported(name, report.incarnation, quiet_s, now):
                    empty = await self._ask(decision.member, "let_go", ASK_TIMEOUT_S, decision.lane)
                    self._assignments.let_go(decision.lane, decision.member)
                    if empty is not True:
                        self._assignments.wake(decision.lane, pool_of(lane_of(decision.lane)))
            await self._carry_out(self._assignments.decide(now))

    async def _carry_out(self, decisions: list[Assign]) -> None:
        async def assign(decision: Assign) -> None:
            cell = self._cell_of(lane_of(decision.lane).tenant_id)
            if await self._ask(decision.member, "assign", ASK_TIMEOUT_S, decision.lane, cell) is Unavailable:
                self._assignments.failed(decision.lane, decision.member)

        await asyncio.gather(*(assign(decision) for decision in decisions))

    async def _read_wakeups(self, parts: SupervisorParts) -> None:
        while True:
            lost = asyncio.Event()
            try:
                await parts.consumer.subscribe_wakeups(self._woken, lost.set)
                await lost.wait()
            except StoreUnavailable as error:
                log.info("supervisor.no_wakeups", extra={"error": str(error)})
                await asyncio.sleep(ROUND_EVERY_S)

    def _woken(self, delivery: Delivery) -> None:
        delivery.ack()
        try:
            lane = lane_of(delivery.body.decode())
        except ValueError:
            return
        if self._assignments.reader_of(lane.queue) is None:
            self._assignments.wake(lane.queue, pool_of(lane))
            self._tasks.append(asyncio.create_task(self._assign_woken()))

    async def _assign_woken(self) -> None:
        async with self._turn:
            if not self._draining:
                await self._carry_out(self._assignments.decide(time.monotonic()))
        self._tasks = [task for task in self._tasks if not task.done()]

    async def _sweep_regularly(self, parts: SupervisorParts) -> None:
        """Look into known lanes that nobody reads: wake-ups may be lost."""
        while True:
            try:
                for tenant_id, direction in await parts.lanes.recent():
                    lane = Lane(tenant_id, direction)
                    if self._assignments.reader_of(lane.queue) is None and await parts.consumer.control.count(
                        lane.queue
                    ):
                        self._assignments.wake(lane.queue, pool_of(lane))
                        # The round that follows gives it a reader.
                await asyncio.sleep(SWEEP_EVERY_S)
            except StoreUnavailable as error:
                log.info("supervisor.sweep_waits", extra={"error": str(error)})
                await asyncio.sleep(ROUND_EVERY_S)

    def _tenant_changed(self, tenant_id: str, record: Any) -> None:
        dedicated = bool(record and record.dedicated)
        if self._dedicated.get(tenant_id, dedicated) != dedicated:
            self._tasks.append(asyncio.create_task(self._move(tenant_id)))
        self._dedicated[tenant_id] = dedicated

    async def _move(self, tenant_id: str) -> None:
        cell = self._cell_of(tenant_id)
        await asyncio.gather(
            *(self._ask(name, "move_tenant", ASK_TIMEOUT_S, tenant_id, cell) for name in self._transformers())
        )

    async def _call_all_cells(self) -> None:
        names = [f"cell:{number}" for number in range(self._settings.trunkline_cells)]
        await asyncio.gather(*(answer(cell(name).count.remote(), name, timeout_s=30) for name in names))

    async def _ask(self, name: str, method: str, timeout_s: float, *arguments: Any) -> Any:
        """A transformer's answer, or the class Unavailable."""
        try:
            return await answer(getattr(transformer(name), method).remote(*arguments), name, timeout_s)
        except Unavailable as error:
            log.info("transformer.unreachable", extra={"transformer": name, "error": str(error)})
            return Unavailable

    def _cell_of(self, tenant_id: str) -> str:
        parts = self._parts.ready
        record = parts.directory.by_id(tenant_id) if parts else None
        return cell_name(tenant_id, dedicated=bool(record and record.dedicated), cells=self._settings.trunkline_cells)

    def _transformers(self) -> list[str]:
        return [transformer_name(pool, number) for pool in POOLS for number in range(self._size(pool))]

    def _size(self, pool: str) -> int:
        settings = self._settings
        return (
            settings.trunkline_inbound_transformers if pool == "inbound" else settings.trunkline_outbound_transformers
        )
