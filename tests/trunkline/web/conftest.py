"""The admin API under test."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.trunkline.admin_app import AdminApp
from tests.trunkline.records import BY, tenant_record
from trunkline.stores.database import Pool
from trunkline.tenancy.record import TenantRecord


@pytest.fixture
def admin(pool: Pool, redis: Redis) -> AdminApp:
    return AdminApp(pool, redis)


@pytest.fixture
async def tenant(admin: AdminApp) -> TenantRecord:
    record = tenant_record()
    await admin.tenants.create(record, BY)
    return record


@pytest.fixture
async def other(admin: AdminApp) -> TenantRecord:
    record = tenant_record()
    await admin.tenants.create(record, BY)
    return record


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes nobody seem to be away; whoever hangs in a test is given up by that test's own patience."""
    monkeypatch.setattr("trunkline.delivery.queues.ANSWER_WITHIN_S", 20.0)
    monkeypatch.setattr("trunkline.delivery.queues.RECORDED_WITHIN_S", 20.0)
    monkeypatch.setattr("trunkline.web.tenant_status.ANSWER_WITHIN_S", 60.0)
