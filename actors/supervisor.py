"""SupervisorActor: sees that cells and transformers run, and that every lane with something in it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from actors import processes, rolling
from actors.directory import DEDICATED, REPLICA, TRANSFORMER, answer, cell, cell_name, shared_cells, transformer
from actors.hosting import Started
from actors.members import POOLS, Members
from actors.survey import SURVEY_EVERY_S, Survey
from actors.watch import Question, Watch
from config.settings import Settings, load_settings
from config.wiring import SupervisorParts, build_supervisor
from trunkline.delivery.pool_size import Bounds, PoolSize
from trunkline.delivery.rolling import Restart
from trunkline.errors import Rejected, StoreUnavailable, Unavailable
from trunkline.lanes.consumer import Delivery
from trunkline.lanes.topology import Lane, lane_of
from trunkline.tenancy.audit import Actor

log = logging.getLogger(__name__)

ROUND_EVERY_S = 1.0
LOOK_AROUND_EVERY_S = 5.0
SWEEP_EVERY_S = 60.0
SURROUNDINGS_EVERY_S = 15.0
# There is no index of what waits: seldom, and never for long.
AGES_EVERY_S = 30.0
RECORDED_WITHIN_S = 0.25
HOUSEKEEPING_AFTER_S = 60.0
HOUSEKEEPING_EVERY_S = 3600.0
START_TIMEOUT_S = 50.0
DRAIN_TIMEOUT_S = 12.0


class SupervisorActor:
    """One actor; its state is rebuilt from its transformers' reports, the broker and Postgres after a restart."""

    def __init__(self, name: str) -> None:
        self._settings: Settings = load_settings()
        self._parts: Started[SupervisorParts] = Started(build_supervisor)
        self._watch = Watch()
        self._sizes: dict[str, PoolSize] = {}
        self._members = Members(self._watch, self._sizes, self._cell_of, self._start)
        self._restart = Restart()
        self._starting = asyncio.Lock()
        self._loops: list[asyncio.Task[None]] = []
        self._work: set[asyncio.Task[None]] = set()
        self._draining = False
        self._spooled: frozenset[str] = frozenset()
        self._dedicated: dict[str, bool] = {}
        self._cells: list[str] = shared_cells(self._settings.trunkline_cells)
        self._replicas: list[str] = []
        self._recorded_since: dict[tuple[str, str], float] = {}
        self._survey = Survey(self._members, self._watch, lambda: (*self._members.names, *self._cells, *self._replicas))

    def __repr__(self) -> str:
        """As Ray's dashboard and its logs call it."""
        return "SupervisorActor"

    # --- life ---

    async def ensure_running(self) -> None:
        """Supervise, if that is not being done already; returns once every cell and transformer answers."""
        if await self._begin():
            await self._call_all_cells()
            await self._members.all_run(START_TIMEOUT_S)

    async def drain(self) -> None:
        """Give no more lanes, and let every transformer finish what is under way."""
        self._draining = True
        async with self._starting:
            for task in (*self._loops, *self._work):
                task.cancel()
            self._watch.close()
            await self._members.drain(DRAIN_TIMEOUT_S)

    # --- what is asked ---

    async def status(self) -> dict[str, Any]:
        """Pools with their size, how many run and are missing, and their lanes' state."""
        if not self._sizes:
            raise Unavailable("the supervisor is starting")
        pools = {pool: self._members.status(pool) for pool in self._sizes}
        return {"pools": pools, "cells": self._settings.trunkline_cells}

    async def lanes(self, tenant_id: str | None = None) -> dict[str, dict[str, Any]]:
        """The lanes that are being read, the tenant's or all, by queue."""
        return self._members.lanes(tenant_id)

    async def lanes_in_use(self) -> list[str]:
        """The queues of lanes that are being read, or have something and no reader."""
        return self._members.lanes_in_use()

    async def hold_lane(self, queue: str, by: str, for_s: float) -> bool:
        """Have no transformer read a lane for so long; False while another holds it. Raises Unavailable."""
        await self._begin()
        return await self._members.hold(queue, by, for_s)

    async def release_lane(self, queue: str, by: str) -> None:
        """Have a lane read again."""
        self._members.release(queue, by)

    async def pools(self) -> dict[str, dict[str, Any]]:
        """Each pool's size and bounds, how many run, and whether it is changing."""
        await self._begin()
        return {pool: self._members.size(pool) for pool in POOLS}

    async def scale(self, pool: str, low: int, high: int, by: Actor) -> dict[str, dict[str, Any]]:
        """Give a pool other bounds, the same number twice for a fixed size; answers when the change has begun."""
        await self._begin()
        parts = await self._parts.get()
        try:
            bounds = Bounds(low, high)
        except ValueError as error:
            raise Rejected("invalid", str(error)) from None
        await parts.pools.save(pool, low, high, by)
        before = self._sizes[pool].size
        self._sizes[pool].rebound(bounds)
        log.info("pool.resized", extra={"pool": pool, "size": self._sizes[pool].size, "before": before, "by": "hand"})
        self._members.reconcile()
        return await self.pools()

    async def restart(self) -> dict[str, Any]:
        """Begin to restart everything, if that is not being done already; answers how it stands."""
        await self._begin()
        if self._restart.state != "running":
            self._restart = Restart("running")
            self._start(rolling.restart_everything(self._restart, self._members, list(self._cells)))
        return self._restart.shown()

    async def restart_progress(self) -> dict[str, Any]:
        """How the last restart stands."""
        await self._begin()
        return self._restart.shown()

    # --- loops ---

    async def _begin(self) -> bool:
        """Whether supervising has begun with this call."""
        parts = await self._parts.get()
        async with self._starting:
            if self._loops or self._draining:
                return False
            await self._take_stock(parts)
            parts.directory.on_change = self._tenant_changed
            self._loops = [
                asyncio.create_task(self._repeat("round", self._round, ROUND_EVERY_S)),
                asyncio.create_task(self._repeat("spool", partial(self._look_into_spool, parts), ROUND_EVERY_S)),
                asyncio.create_task(self._repeat("look", self._look_around, LOOK_AROUND_EVERY_S)),
                asyncio.create_task(self._repeat("sweep", partial(self._sweep, parts), SWEEP_EVERY_S)),
                asyncio.create_task(self._repeat("survey", partial(self._look_over, parts), SURVEY_EVERY_S)),
                asyncio.create_task(self._repeat("ages", partial(self._look_into_messages, parts), AGES_EVERY_S)),
                asyncio.create_task(self._repeat("surroundings", parts.surroundings.look, SURROUNDINGS_EVERY_S)),
                asyncio.create_task(self._read_wakeups(parts)),
                asyncio.create_task(self._keep_house("housekeeping", partial(self._tidy, parts))),
                asyncio.create_task(self._keep_house("retention", parts.retention.run)),
            ]
            return True

    async def _take_stock(self, parts: SupervisorParts) -> None:
        """Learn which sizes the pools are to have, and which transformers there are."""
        bounds = await parts.pools.load()
        running = await asyncio.to_thread(processes.names, TRANSFORMER)
        for pool in POOLS:
            fixed = self._fixed_size(pool)
            members = [name for name in running if name.startswith(f"{TRANSFORMER}{pool}:")]
            self._sizes[pool] = PoolSize(Bounds(*bounds.get(pool, (fixed, fixed))), len(members))
            for name in members:
                self._members.adopt(name, pool)
        self._members.reconcile()
        self._restart = rolling.recall()

    async def _repeat(self, name: str, work: Any, every_s: float) -> None:
        while True:
            wait_s = every_s
            try:
                await work()
            except StoreUnavailable as error:
                log.info("supervisor.waits", extra={"for": name, "error": str(error)})
                wait_s = ROUND_EVERY_S
            except Exception:
                log.exception("supervisor.failed", extra={"in": name})
            await asyncio.sleep(wait_s)

    async def _round(self) -> None:
        """Ask everybody, let quiet lanes go, give lanes without a reader one, keep the pools at their sizes."""
        for each in await self._watch.round(self._questions()):
            if each.name.startswith(TRANSFORMER):
                self._members.take(each, self._spooled)
            elif isinstance(each.value, str):
                self._watch.lives(each.name, each.value)
        self._members.assign()
        self._members.reconcile()

    def _questions(self) -> dict[str, Question]:
        def report(name: str) -> Question:
            return lambda: transformer(name).report.remote()

        def owner(name: str) -> Question:
            return lambda: processes.owner(name)

        return {
            **{name: report(name) for name in self._members.names},
            **{name: owner(name) for name in (*self._cells, *self._replicas)},
        }

    async def _look_into_spool(self, parts: SupervisorParts) -> None:
        """Wake lanes with something in the spool: nobody else may, while the broker is away."""
        self._spooled = frozenset(Lane(*each).queue for each in await parts.spool.lanes())
        for queue in self._spooled:
            self._members.wake(queue)
        self._members.assign()

    async def _look_over(self, parts: SupervisorParts) -> None:
        self._survey.look(parts.recorder, self._sizes, parts.surroundings.spooled_since, self._recorded_since)

    async def _look_into_messages(self, parts: SupervisorParts) -> None:
        """Find out since when something waits in lanes whose transformer does not know, or that have none."""
        self._recorded_since = {}
        if tenants := self._survey.tenants_of_unknown_age():
            recorded = await parts.lanes.oldest_recorded(tenants, RECORDED_WITHIN_S)
            self._recorded_since = {(tenant, direction.value): at for (tenant, direction), at in recorded.items()}

    async def _sweep(self, parts: SupervisorParts) -> None:
        """Look into known lanes that nobody reads: wake-ups may be lost."""
        for each in await parts.lanes.recent():
            queue = Lane(*each).queue
            if not self._members.is_read(queue) and await parts.consumer.control.count(queue):
                self._members.wake(queue)
        # The round that follows gives them a reader.

    async def _look_around(self) -> None:
        """Find what others have made: tenants' own cells, and replicas of the web edge."""
        found = await asyncio.to_thread(processes.names, DEDICATED, REPLICA)
        before = {*self._cells, *self._replicas}
        self._replicas = [name for name in found if name.startswith(REPLICA)]
        own = [name for name in found if name.startswith(DEDICATED)]
        self._cells = shared_cells(self._settings.trunkline_cells) + own
        for name in before.difference(self._cells, self._replicas):
            self._watch.forget(name)

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
        queue = delivery.body.decode(errors="replace")
        try:
            lane_of(queue)
        except ValueError:
            return
        self._members.wake(queue)
        self._members.assign()

    async def _keep_house(self, name: str, work: Any) -> None:
        await asyncio.sleep(HOUSEKEEPING_AFTER_S)
        await self._repeat(name, work, HOUSEKEEPING_EVERY_S)

    async def _tidy(self, parts: SupervisorParts) -> None:
        if made := await parts.partitions.make_ahead():
            log.info("housekeeping.partitions_made", extra={"count": made})
        removed = {
            "seen": await parts.housekeeping.forget_seen(),
            "take_overs": await parts.housekeeping.forget_take_overs(),
        }
        if any(removed.values()):
            log.info("housekeeping.done", extra=removed)

    def _tenant_changed(self, tenant_id: str, record: Any) -> None:
        dedicated = bool(record and record.dedicated)
        if self._dedicated.get(tenant_id, dedicated) != dedicated:
            self._members.move_tenant(tenant_id)
        self._dedicated[tenant_id] = dedicated

    async def _call_all_cells(self) -> None:
        names = shared_cells(self._settings.trunkline_cells)
        await asyncio.gather(*(answer(cell(name).count.remote(), name, START_TIMEOUT_S) for name in names))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("supervisor.failed", exc_info=error)

    def _cell_of(self, tenant_id: str) -> str:
        parts = self._parts.ready
        record = parts.directory.by_id(tenant_id) if parts else None
        return cell_name(tenant_id, dedicated=bool(record and record.dedicated), cells=self._settings.trunkline_cells)

    def _fixed_size(self, pool: str) -> int:
        settings = self._settings
        return (
            settings.trunkline_inbound_transformers if pool == "inbound" else settings.trunkline_outbound_transformers
        )
