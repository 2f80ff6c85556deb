"""TenantCell: the process around many tenants. Hosts them; decides nothing itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from actors.hosting import Started
from actors.reports import Holding
from config.delivery_wiring import CellParts
from trunkline.envelope import Direction
from trunkline.errors import NotFound
from trunkline.tenancy.standing import Obstacle
from trunkline.tenancy.tenant import Ask, Cloud, Credentials, Gone, Held, Later, Passage, Ready

PASSIVATE_EVERY_S = 30.0


class TenantCell:
    """An actor that tenants live in, activated on first use and passivated when idle."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts = Started(lambda settings: CellParts(settings, name))
        self._sweeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """As Ray's dashboard and its logs call it."""
        return f"TenantCell({self._name})"

    @property
    def holds(self) -> Holding:
        """The tenants that are active in it."""
        parts = self._parts.ready
        return Holding.shown("tenants", parts.activations.active_ids() if parts else ())

    async def admit(self, asks: Sequence[tuple[str, Ask]]) -> list[Passage | Later | Held | Gone | Exception]:
        """An answer to each ask, in their order."""
        by_tenant: defaultdict[str, list[int]] = defaultdict(list)
        for position, (tenant_id, _) in enumerate(asks):
            by_tenant[tenant_id].append(position)
        answers: list[Passage | Later | Held | Gone | Exception] = [Gone()] * len(asks)

        async def admit_tenant(tenant_id: str, positions: list[int]) -> None:
            try:
                tenant = await self._tenant(tenant_id)
                admitted = await tenant.admit([asks[position][1] for position in positions]) if tenant else None
            except Exception as error:  # one tenant's trouble is not another's: each gets its own
                for position in positions:
                    answers[position] = error
                return
            if admitted is not None:
                for position, passage in zip(positions, admitted, strict=True):
                    answers[position] = passage

        await asyncio.gather(*(admit_tenant(*item) for item in by_tenant.items()))
        return answers

    async def standing(self, tenant_id: str, cloud: Cloud) -> Held | Ready | Gone:
        """Whether the tenant's lanes towards `cloud` may be read, and how far ahead."""
        tenant = await self._tenant(tenant_id)
        return await tenant.standing(cloud) if tenant else Gone()

    async def credentials(self, tenant_id: str) -> Credentials | Gone:
        """What moving the tenant's files needs."""
        tenant = await self._tenant(tenant_id)
        return await tenant.credentials() if tenant else Gone()

    async def outdated(self, tenant_id: str, epoch: int) -> None:
        """Another activation has superseded the one with this epoch."""
        (await self._parts.get()).activations.outdated(tenant_id, epoch)

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, expired: bool) -> None:
        """The cloud refused a call for its credentials."""
        tenant = await self._tenant(tenant_id)
        if tenant is not None:
            await tenant.refused(cloud, used_token, words, expired=expired)

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        """The cloud asked to wait."""
        tenant = await self._tenant(tenant_id)
        if tenant is not None:
            tenant.throttled(cloud, words, retry_after_s, code)

    async def person_throttled(self, tenant_id: str, wa_id: str) -> None:
        """WhatsApp wants nothing more for this person for a while."""
        tenant = await self._tenant(tenant_id)
        if tenant is not None:
            tenant.person_throttled(wa_id)

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        """Customers were erased: remember nothing of them. A tenant that is not active remembers nobody."""
        tenant = (await self._parts.get()).activations.active(tenant_id)
        if tenant is not None:
            tenant.forget_people(wa_ids)

    async def failing(self, tenant_id: str, cloud: Cloud, words: str) -> None:
        """The cloud fails call after call, or failed a probe."""
        tenant = await self._tenant(tenant_id)
        if tenant is not None:
            tenant.failing(cloud, words)

    async def unused(self, tenant_id: str, cloud: Cloud) -> None:
        """The probe turned out to need no call."""
        tenant = await self._tenant(tenant_id)
        if tenant is not None:
            tenant.unused(cloud)

    async def accepted(self, tenant_id: str, cloud: Cloud) -> None:
        """The cloud accepted a probe."""
        tenant = await self._tenant(tenant_id)
        if tenant is not None:
            tenant.accepted(cloud)

    async def token(self, tenant_id: str, force: bool) -> tuple[str, float, str]:
        """The tenant's Genesys token, when it expires, and whether it is `cache` or `fresh`."""
        tenant = await self._tenant(tenant_id)
        if tenant is None:
            raise NotFound("Tenant")
        token, source = await tenant.token(force=force)
        return token.access_token.reveal(), token.expires_at, source

    async def status(self, tenant_id: str) -> dict[str, Any]:
        """The tenant's state here."""
        tenant = await self._tenant(tenant_id)
        if tenant is None:
            raise NotFound("Tenant")
        status: dict[str, Any] = tenant.status()
        return status

    async def clear_cache(self, tenant_id: str) -> None:
        """What others keep of the tenant was cleared: remember nothing of it here either."""
        tenant = (await self._parts.get()).activations.active(tenant_id)
        if tenant is not None:
            tenant.clear_cache()

    async def obstacle(self, tenant_id: str, direction: Direction, wa_id: str) -> Obstacle | None:
        """Why a message of this customer cannot leave now; None also for a tenant that is not active."""
        tenant = (await self._parts.get()).activations.active(tenant_id)
        return tenant.obstacle(direction, wa_id) if tenant is not None else None

    async def count(self) -> int:
        """How many tenants are active here."""
        return len((await self._parts.get()).activations)

    async def _tenant(self, tenant_id: str) -> Any:
        parts = await self._parts.get()
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._passivate(parts))
        return await parts.activations.of(tenant_id)

    async def _passivate(self, parts: CellParts) -> None:
        while True:
            await asyncio.sleep(PASSIVATE_EVERY_S)
            parts.activations.passivate_idle()
