"""What is needed of tenants to keep their files: the way to WhatsApp, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trunkline.stores.database import Pool, connection
from trunkline.stores.retention_runs import tally
from trunkline.tenancy.record import RetentionDays, TenantRecord
from trunkline.tenancy.tenant import WhatsAppAccess

_MEDIA_DAYS = """
SELECT tenant_id, COALESCE((settings->'retentionDays'->>'media')::int, %s) FROM tenants
"""


class Tenants(Protocol):
    """The directory of tenants."""

    async def get(self, tenant_id: str) -> TenantRecord | None:
        """The tenant, unless there is none or it was deleted."""


class MediaAccounts:
    """Reads tenants as those who keep their files need them. Every method raises StoreUnavailable."""

    def __init__(self, tenants: Tenants, pool: Pool) -> None:
        self._tenants = tenants
        self._pool = pool

    async def whatsapp_access(self, tenant_id: str) -> WhatsAppAccess | None:
        """How the tenant's files are fetched; None when there is no such tenant."""
        record = await self._tenants.get(tenant_id)
        if record is None:
            return None
        return WhatsAppAccess(record.whatsapp.phone_number_id, record.whatsapp.access_token.reveal())

    async def media_days(self) -> Mapping[str, int]:
        """How many days each tenant keeps files."""
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_MEDIA_DAYS, (RetentionDays().media,))).fetchall()
        return dict(rows)

    async def note_removed(self, removed: Mapping[str, int]) -> None:
        """So many files of these tenants have gone for their age: the audit log will tell of it."""
        async with connection(self._pool) as taken:
            for tenant_id, count in sorted(removed.items()):
                await tally(taken, tenant_id, "files", count)
