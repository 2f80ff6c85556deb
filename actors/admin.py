"""The actors as the admin API asks them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from actors import directory
from trunkline.errors import Unavailable
from trunkline.tenancy.record import Secret, TenantRecord
from trunkline.web.admin_ports import ComponentHealth, TokenView

HEALTH_TIMEOUT_S = 0.8


class ActorsForAdmin:
    """Asks cells and the supervisor. `record_of` looks a tenant up, `cells` is how many shared cells there are."""

    def __init__(self, record_of: Callable[[str], Awaitable[TenantRecord | None]], cells: int) -> None:
        self._record_of = record_of
        self._cells = cells
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
        """The tenant's state in its cell, and its lanes that are being read."""
        await self._locate(tenant_id)
        status, lanes = await asyncio.gather(
            self._tenants.status(tenant_id),
            directory.answer(directory.supervisor().lanes.remote(tenant_id), directory.SUPERVISOR),
        )
        return {**status, "lanes": lanes}

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

    async def scale(self, pool: str, low: int, high: int) -> dict[str, dict[str, Any]]:
        """Give a pool other bounds; answers as `pools` does when the change has begun; raises Unavailable."""
        return await directory.answer(directory.supervisor().scale.remote(pool, low, high), directory.SUPERVISOR)

    async def restart(self) -> dict[str, Any]:
        """Begin to restart everything; answers as `restart_progress` does; raises Unavailable."""
        return await directory.answer(directory.supervisor().restart.remote(), directory.SUPERVISOR)

    async def restart_progress(self) -> dict[str, Any]:
        """How the last restart stands; raises Unavailable."""
        return await directory.answer(directory.supervisor().restart_progress.remote(), directory.SUPERVISOR)

    async def _locate(self, tenant_id: str) -> None:
        record = await self._record_of(tenant_id)
        dedicated = record is not None and record.dedicated
        self._cell_names[tenant_id] = directory.cell_name(tenant_id, dedicated=dedicated, cells=self._cells)
