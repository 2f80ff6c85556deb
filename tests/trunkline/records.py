"""Tenants for tests."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from trunkline.tenancy.audit import Actor
from trunkline.tenancy.record import (
    GenesysAccount,
    Secret,
    TenantId,
    TenantRecord,
    TenantSettings,
    TenantStatus,
    WhatsAppAccount,
)

ACCESS_TOKEN = "EAAG-access-token-of-a-tenant-abcd"
CLIENT_SECRET = "client-secret-of-a-tenant-efgh"
WEBHOOK_SECRET = "webhook-secret-of-a-tenant-ijkl"

# Who changes what tests need.
BY = Actor("test", "admin")


def tenant_record(tenant_id: str | None = None, **changes: Any) -> TenantRecord:
    """A tenant whose id, number and integration nobody else has."""
    name = tenant_id or f"t-{secrets.token_hex(6)}"
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "name": f"Tenant {name}",
        "status": TenantStatus.ACTIVE,
        "rate_limit": 100,
        "dedicated": False,
        "whatsapp": WhatsAppAccount(str(secrets.randbits(60)), "104488220011733", Secret(ACCESS_TOKEN), "442079460101"),
        "genesys": GenesysAccount(
            "mypurecloud.ie", "client-1", Secret(CLIENT_SECRET), secrets.token_hex(16), Secret(WEBHOOK_SECRET)
        ),
        "settings": TenantSettings(),
        "created_at": now,
        "updated_at": now,
    }
    return TenantRecord(tenant_id=TenantId(name), **{**values, **changes})
