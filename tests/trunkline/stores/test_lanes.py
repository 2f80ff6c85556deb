"""The lanes that a starting supervisor looks into, on a real Postgres."""

from __future__ import annotations

import pytest

from tests.trunkline.records import tenant_record
from trunkline.envelope import Direction
from trunkline.stores.database import Pool, connection
from trunkline.stores.lanes import LaneStore
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore

pytestmark = pytest.mark.services

KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


async def _use(pool: Pool, tenant_id: str, direction: Direction, days_ago: float) -> None:
    async with connection(pool) as taken:
        await taken.execute(
            "INSERT INTO lanes VALUES (%s, %s, now() - make_interval(secs => %s))",
            (tenant_id, direction.value, days_ago * 86_400),
        )


async def test_lanes_used_lately_are_found_the_latest_first_and_those_of_the_deleted_are_not(pool: Pool) -> None:
    tenants = TenantStore(pool, Sealer([KEY]))
    served, gone = tenant_record().tenant_id, tenant_record().tenant_id
    for tenant_id in (served, gone):
        await tenants.create(tenant_record(tenant_id))
    await _use(pool, served, Direction.INBOUND, days_ago=1)
    await _use(pool, served, Direction.OUTBOUND, days_ago=0)
    await _use(pool, served, Direction.STATUS, days_ago=8.1)
    await _use(pool, gone, Direction.INBOUND, days_ago=0)
    await tenants.delete(gone)
    assert await LaneStore(pool).recent() == [(served, Direction.OUTBOUND), (served, Direction.INBOUND)]
