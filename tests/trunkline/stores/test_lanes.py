"""The lanes that a starting supervisor looks into, on a real Postgres."""

from __future__ import annotations

import pytest

from tests.trunkline.records import BY, tenant_record
from tests.trunkline.stores.attempts import claim, envelope
from trunkline.arrival import Arrival
from trunkline.envelope import Direction
from trunkline.errors import StoreUnavailable
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.lanes import LaneStore
from trunkline.stores.messages import MessageStore
from trunkline.stores.sealing import Sealer
from trunkline.stores.spool import SpoolStore
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
        await tenants.create(tenant_record(tenant_id), BY)
    await _use(pool, served, Direction.INBOUND, days_ago=1)
    await _use(pool, served, Direction.OUTBOUND, days_ago=0)
    await _use(pool, served, Direction.STATUS, days_ago=8.1)
    await _use(pool, gone, Direction.INBOUND, days_ago=0)
    await tenants.delete(gone, BY)
    assert await LaneStore(pool).recent() == [(served, Direction.OUTBOUND), (served, Direction.INBOUND)]


async def test_lanes_come_in_pages_in_the_order_of_tenant_and_direction(pool: Pool) -> None:
    tenants = sorted(tenant_record().tenant_id for _ in range(2))
    for tenant_id in tenants:
        for direction in (Direction.STATUS, Direction.INBOUND):
            await _use(pool, tenant_id, direction, days_ago=100)
    lanes, ours = LaneStore(pool), set(tenants)
    found = [lane for lane in await lanes.page(list(Direction), 100) if lane[0] in ours]
    assert found == [(tenant_id, each) for tenant_id in tenants for each in (Direction.INBOUND, Direction.STATUS)]
    (following,) = await lanes.page(list(Direction), 1, (tenants[0], "inbound"))
    assert following == (tenants[0], Direction.STATUS)
    assert [lane for lane in await lanes.page([Direction.STATUS], 100) if lane[0] in ours] == [
        (tenant_id, Direction.STATUS) for tenant_id in tenants
    ]


async def test_what_waits_in_postgres_is_told_with_its_age(pool: Pool, tenant_id: str) -> None:
    lanes, inbound = LaneStore(pool), (tenant_id, Direction.INBOUND)
    await SpoolStore(pool).append(
        [envelope(tenant_id, accepted_at=at, conversation="447700900999") for at in (200.0, 100.0)]
    )
    assert await lanes.with_spooled() == [inbound]
    assert await lanes.spooled([inbound, (tenant_id, Direction.STATUS)]) == {inbound: (2, 100.0)}

    old, new = envelope(tenant_id, accepted_at=300.0), envelope(tenant_id, accepted_at=400.0)
    await ArrivalStore(pool).record([Arrival(each, "hello", 72, is_message=True) for each in (old, new)])
    assert await lanes.oldest_recorded([tenant_id], 5.0) == {inbound: 300.0}
    await MessageStore(pool).exchange([], [claim(old)])
    assert await lanes.oldest_recorded([tenant_id], 5.0) == {inbound: 400.0}, "one that is being sent waits no more"


async def test_an_age_that_takes_too_long_to_find_is_given_up(pool: Pool, tenant_id: str) -> None:
    async with connection(pool) as locking:
        await locking.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="statement_timeout"):
            await LaneStore(pool).oldest_recorded([tenant_id], 0.05)
