"""The admin API under test."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.trunkline.admin_app import AdminApp
from tests.trunkline.records import tenant_record
from trunkline.stores.database import Pool
from trunkline.tenancy.record import TenantRecord


@pytest.fixture
def admin(pool: Pool, redis: Redis) -> AdminApp:
    return AdminApp(pool, redis)


@pytest.fixture
async def tenant(admin: AdminApp) -> TenantRecord:
    record = tenant_record()
    await admin.tenants.create(record)
    return record


@pytest.fixture
async def other(admin: AdminApp) -> TenantRecord:
    record = tenant_record()
    await admin.tenants.create(record)
    return record
