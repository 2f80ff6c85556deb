"""The directory: every tenant and Meta app, in memory, by the ids that webhooks name."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from trunkline.tenancy.record import DEFAULT_META_APP, MetaApp, TenantRecord

MISS_REMEMBERED_S = 1.0
MISSES_REMEMBERED = 10_000
# Ids come in with webhooks that nobody has verified: longer ones are no one's, and are not remembered.
LONGEST_ID = 255


class DirectorySource(Protocol):
    """Where tenants are kept; every call raises StoreUnavailable when it cannot answer."""

    async def load_all(self) -> list[TenantRecord]:
        """Every tenant that is not deleted."""

    async def load_apps(self) -> list[MetaApp]:
        """Every further Meta app."""

    async def get(self, tenant_id: str) -> TenantRecord | None:
        """One tenant."""

    async def find_by_phone_number(self, phone_number_id: str) -> TenantRecord | None:
        """The tenant that owns a WhatsApp number."""

    async def find_by_integration(self, integration_id: str) -> TenantRecord | None:
        """The tenant that owns an Open Messaging integration."""


class TenantDirectory:
    """A copy of what the source knows, kept fresh from outside by `reload`, `refresh` and `refresh_apps`.

    An id that is not in the copy is looked up in the source, since a tenant made a moment ago may not have come in yet.
    """

    def __init__(
        self, source: DirectorySource, default_app: MetaApp, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._default_app = default_app
        self._clock = clock
        self._tenants: dict[str, TenantRecord] = {}
        self._by_number: dict[str, TenantRecord] = {}
        self._by_integration: dict[str, TenantRecord] = {}
        self._apps: dict[str, MetaApp] = {DEFAULT_META_APP: default_app}
        self._missed_at: dict[tuple[str, str], float] = {}
        self.on_change: Callable[[str, TenantRecord | None], None] = lambda tenant_id, record: None

    def __len__(self) -> int:
        return len(self._tenants)

    def by_id(self, tenant_id: str) -> TenantRecord | None:
        """The tenant, as far as the copy knows."""
        return self._tenants.get(tenant_id)

    def app(self, name: str) -> MetaApp | None:
        """A Meta app."""
        return self._apps.get(name)

    async def by_phone_number(self, phone_number_id: str) -> TenantRecord | None:
        """The tenant that owns a WhatsApp number; raises StoreUnavailable when only the source could tell."""
        return await self._find(self._by_number, phone_number_id, "number", self._source.find_by_phone_number)

    async def by_integration(self, integration_id: str) -> TenantRecord | None:
        """The tenant that owns an integration; raises StoreUnavailable when only the source could tell."""
        return await self._find(self._by_integration, integration_id, "integration", self._source.find_by_integration)

    async def reload(self) -> None:
        """Take over everything the source knows."""
        records = {record.tenant_id: record for record in await self._source.load_all()}
        for tenant_id in [known for known in self._tenants if known not in records]:
            self._forget(tenant_id)
        for record in records.values():
            if self._tenants.get(record.tenant_id) != record:
                self._put(record)
        await self.refresh_apps()

    async def refresh(self, tenant_id: str) -> None:
        """Take over one tenant."""
        record = await self._source.get(tenant_id)
        if record is None:
            self._forget(tenant_id)
        else:
            self._put(record)

    async def refresh_apps(self) -> None:
        """Take over the Meta apps."""
        apps: Iterable[MetaApp] = await self._source.load_apps()
        self._apps = {DEFAULT_META_APP: self._default_app, **{app.app: app for app in apps}}

    async def _find(
        self,
        known: dict[str, TenantRecord],
        key: str,
        kind: str,
        look_up: Callable[[str], Awaitable[TenantRecord | None]],
    ) -> TenantRecord | None:
        record = known.get(key)
        if record is not None or len(key) > LONGEST_ID:
            return record
        now = self._clock()
        if now - self._missed_at.get((kind, key), -MISS_REMEMBERED_S) < MISS_REMEMBERED_S:
            return None
        record = await look_up(key)
        if record is not None:
            self._put(record)
            return record
        if len(self._missed_at) >= MISSES_REMEMBERED:
            self._missed_at.clear()
        self._missed_at[kind, key] = now
        return None

    def _put(self, record: TenantRecord) -> None:
        self._remove(record.tenant_id)
        self._tenants[record.tenant_id] = record
        self._by_number[record.whatsapp.phone_number_id] = record
        self._by_integration[record.genesys.integration_id] = record
        self.on_change(record.tenant_id, record)

    def _forget(self, tenant_id: str) -> None:
        if self._remove(tenant_id):
            self.on_change(tenant_id, None)

    def _remove(self, tenant_id: str) -> bool:
        old = self._tenants.pop(tenant_id, None)
        if old is None:
            return False
        # The number may belong to another tenant by now: take away only what is still this one's.
        for index, key in (
            (self._by_number, old.whatsapp.phone_number_id),
            (self._by_integration, old.genesys.integration_id),
        ):
            if key in index and index[key].tenant_id == tenant_id:
                del index[key]
        return True
