"""Many messages of many customers, both ways: none lost, doubled or disordered."""

from __future__ import annotations

import asyncio

import pytest

from scripts.faults.load import Direction, Load
from scripts.faults.platform import Fault, Platform
from tests.platform.verdicts import all_arrived, all_settled

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(("direction", "customers", "each"), [("inbound", 200, 10), ("outbound", 100, 5)])
async def test_none_of_many_messages_is_lost_doubled_or_reordered(
    platform: Platform, fault: Fault, direction: Direction, customers: int, each: int
) -> None:
    tenant = platform.new_tenant()
    fault(cloud="meta", tenantId=tenant.tenant_id, statuses="off")  # they would be a load of their own
    load = Load(platform.url, tenant, direction, platform.default_app.app_secret, customers=customers, each=each)
    since = platform.last_seq()
    await load.post()
    await all_arrived(platform, load, since)
    await asyncio.to_thread(all_settled, platform, tenant)
    verdict = load.judge(platform.records(load.kind, since))
    assert (verdict.lost, verdict.doubled, verdict.reordered) == ([], [], [])
    assert load.answers == {200: customers * each}
