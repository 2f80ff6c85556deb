"""A cell's tenants: activated on first use, kept fresh, passivated when idle. One activation of a tenant in a cell."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from trunkline.tenancy.record import TenantRecord
from trunkline.tenancy.tenant import Tenant

log = logging.getLogger(__name__)

IDLE_S = 600.0


class Records(Protocol):
    """Where a tenant's record is found."""

    def by_id(self, tenant_id: str) -> TenantRecord | None:
        """The record as far as this process knows."""

    async def refresh(self, tenant_id: str) -> None:
        """Take the record over from where it is kept; raises StoreUnavailable."""


class Activations:
    """The tenants that live in one cell."""

    def __init__(
        self,
        records: Records,
        activate: Callable[[TenantRecord], Awaitable[Tenant]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._activate = activate
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._activating: dict[str, asyncio.Task[Tenant | None]] = {}

    def __len__(self) -> int:
        return len(self._tenants)

    def active(self, tenant_id: str) -> Tenant | None:
        """The tenant if it is active here; does not activate it."""
        return self._tenants.get(tenant_id)

    def all_active(self) -> list[Tenant]:
        """Every tenant that is active here."""
        return list(self._tenants.values())

    def active_ids(self) -> list[str]:
        """The ids of all that are active here."""
        return list(self._tenants)

    async def of(self, tenant_id: str) -> Tenant | None:
        """The tenant, activated if need be; None when there is none any more. Raises StoreUnavailable."""
        tenant = self._tenants.get(tenant_id)
        if tenant is not None:
            return tenant
        task = self._activating.get(tenant_id)
        if task is None:
            task = self._activating[tenant_id] = asyncio.create_task(self._start(tenant_id))
            task.add_done_callback(lambda _: self._activating.pop(tenant_id, None))
        return await asyncio.shield(task)

    def changed(self, tenant_id: str, record: TenantRecord | None) -> None:
        """The tenant's record changed, or went."""
        if record is None:
            self._tenants.pop(tenant_id, None)
        elif tenant_id in self._tenants:
            self._tenants[tenant_id].update(record)

    def outdated(self, tenant_id: str, epoch: int) -> None:
        """Another activation has superseded the one with this epoch: the next use activates anew."""
        tenant = self._tenants.get(tenant_id)
        if tenant is not None and tenant.epoch <= epoch:
            del self._tenants[tenant_id]
            log.warning("tenant.superseded", extra={"tenant": tenant_id, "epoch": epoch})

    def passivate_idle(self) -> int:
        """Let idle tenants go; returns how many. Their state is in the stores already."""
        before = self._clock() - IDLE_S
        idle = [tenant_id for tenant_id, tenant in self._tenants.items() if tenant.last_used_at < before]
        for tenant_id in idle:
            del self._tenants[tenant_id]
        return len(idle)

    async def _start(self, tenant_id: str) -> Tenant | None:
        record = self._records.by_id(tenant_id)
        if record is None:
            await self._records.refresh(tenant_id)
            record = self._records.by_id(tenant_id)
        if record is None:
            return None
        tenant = await self._activate(record)
        # The record may have changed while its epoch was fetched.
        latest = self._records.by_id(tenant_id)
        if latest is None:
            return None
        if latest is not record:
            tenant.update(latest)
        self._tenants[tenant_id] = tenant
        log.info("tenant.activated", extra={"tenant": tenant_id, "epoch": tenant.epoch})
        return tenant
