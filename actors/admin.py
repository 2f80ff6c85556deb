"""The actors as the admin API asks them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from actors import census, directory
from trunkline.envelope import Direction
from trunkline.errors import Unavailable
from trunkline.lanes.topology import Lane
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.record import Secret, TenantRecord
from trunkline.tenancy.standing import Standing
from trunkline.web.admin_ports import ActorProcess, ComponentHealth, TokenView

HEALTH_TIMEOUT_S = 0.8
# Whoever asks for a trace is answered without what comes later.
STANDING_TIMEOUT_S = 0.5
# What is under way in a lane ends before it is held.
HOLD_TIMEOUT_S = 40.0
LANES_TIMEOUT_S = 3.0


class ActorsForAdmin:
    """Asks cells and the supervisor.

    `record_of` looks a tenant up, `cells` is how many shared cells there are, `memory_limit_bytes` what an actor may
    have.
    """

    def __init__(
        self, record_of: Callable[[str], Awaitable[TenantRecord | None]], cells: int, memory_limit_bytes: int
    ) -> None:
        self._record_of = record_of
        self._cells = cells
        self._memory_limit_bytes = memory_limit_bytes
        self._cell_names: dict[str, str] = {}
        self._tenants = directory.CellTenants(self._cell_names.__getitem__)

    async def token(self, tenant_id: str, force: bool) -> TokenView:
        """The tenant's token; raises CredentialsRefused, Throttled or Unavailable."""
        await self._locate(tenant_id)
        token, expires_at, source = await self._tenants.token(tenant_id, force)
        return TokenView(
            Secret(token), datetime.fromtimestamp(expires_at, UTC), "cache" if source == "cache" else "fresh"
        )

    async def status(self, tenant_id: str) -> dict[str, Any]:
        """The tenant's state in its cell; raises Unavailable."""
        await self._locate(tenant_id)
        return await self._tenants.status(tenant_id)

    async def lanes(self, tenant_id: str | None = None) -> dict[str, dict[str, Any]]:
        """The lanes that are being read, the tenant's or all, by queue; raises Unavailable."""
        return await directory.answer(directory.supervisor().lanes.remote(tenant_id), directory.SUPERVISOR)

    async def lanes_in_use(self) -> list[str]:
        """The queues of lanes that are being read, or have something and no reader; raises Unavailable."""
        return await directory.answer(
            directory.supervisor().lanes_in_use.remote(), directory.SUPERVISOR, LANES_TIMEOUT_S
        )

    async def hold_lane(self, queue: str, by: str, for_s: float) -> bool:
        """Have no transformer read a lane, once what is under way is finished; False while another holds it.

        Raises Unavailable.
        """
        asked = directory.supervisor().hold_lane.remote(queue, by, for_s)
        return await directory.answer(asked, directory.SUPERVISOR, HOLD_TIMEOUT_S)

    async def release_lane(self, queue: str, by: str) -> None:
        """Have a lane read again; raises Unavailable."""
        await directory.answer(directory.supervisor().release_lane.remote(queue, by), directory.SUPERVISOR)

    async def clear_cache(self, tenant_id: str) -> None:
        """Let the tenant's cell drop what it remembers; raises Unavailable."""
        await self._locate(tenant_id)
        await self._tenants.clear_cache(tenant_id)

    async def census(self) -> list[ActorProcess]:
        """Every actor and replica; raises Unavailable when nobody knows which there are."""
        return await census.take(self._memory_limit_bytes)

    async def standing(self, tenant_id: str, direction: Direction, wa_id: str) -> Standing:
        """What a message that has not left waits for, as far as the actors say so at once."""
        await self._locate(tenant_id)
        name = self._cell_names[tenant_id]
        obstacle, lanes = await asyncio.gather(
            self._at_once(directory.cell(name).obstacle.remote(tenant_id, direction, wa_id), name),
            self._at_once(directory.supervisor().lanes.remote(tenant_id), directory.SUPERVISOR),
        )
        return Standing(obstacle, None if lanes is None else Lane(tenant_id, direction).queue in lanes)

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        """Let the tenant's cell drop what it remembers of these customers; raises Unavailable."""
        await self._locate(tenant_id)
        await self._tenants.forget_people(tenant_id, wa_ids)

    async def health(self) -> dict[str, ComponentHealth]:
        """How `ray`, `inbound`, `outbound` and `tenants` are."""
        began = time.perf_counter()
        try:
            status = await directory.answer(
                directory.supervisor().status.remote(), directory.SUPERVISOR, HEALTH_TIMEOUT_S
            )
        except Unavailable as error:
            away = ComponentHealth("degraded", None, str(error))
            return {"ray": away, "inbound": away, "outbound": away, "tenants": away}
        latency_ms = round((time.perf_counter() - began) * 1000, 1)
        health = {"ray": ComponentHealth("healthy", latency_ms)}
        for pool, state in status["pools"].items():
            missing = state["missing"]
            reason = f"{missing} of {state['size']} transformers do not answer" if missing > 0 else None
            health[pool] = ComponentHealth("degraded" if reason else "healthy", latency_ms, reason)
        health["tenants"] = ComponentHealth("healthy", latency_ms)
        return health

    async def pools(self) -> dict[str, dict[str, Any]]:
        """Each pool's size and bounds, how many run, and whether it is changing; raises Unavailable."""
        return await directory.answer(directory.supervisor().pools.remote(), directory.SUPERVISOR)

    async def scale(self, pool: str, low: int, high: int, by: Actor) -> dict[str, dict[str, Any]]:
        """Give a pool other bounds; answers as `pools` does when the change has begun; raises Unavailable."""
        return await directory.answer(directory.supervisor().scale.remote(pool, low, high, by), directory.SUPERVISOR)

    async def restart(self) -> dict[str, Any]:
        """Begin to restart everything; answers as `restart_progress` does; raises Unavailable."""
        return await directory.answer(directory.supervisor().restart.remote(), directory.SUPERVISOR)

    async def restart_progress(self) -> dict[str, Any]:
        """How the last restart stands; raises Unavailable."""
        return await directory.answer(directory.supervisor().restart_progress.remote(), directory.SUPERVISOR)

    async def _at_once(self, reference: Awaitable[Any], name: str) -> Any:
        try:
            return await directory.answer(reference, name, STANDING_TIMEOUT_S)
        except Unavailable:
            return None

    async def _locate(self, tenant_id: str) -> None:
        record = await self._record_of(tenant_id)
        dedicated = record is not None and record.dedicated
        self._cell_names[tenant_id] = directory.cell_name(tenant_id, dedicated=dedicated, cells=self._cells)
