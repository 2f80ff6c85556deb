"""Waiting for the end of a load: everything arrived, and nothing of it under way any more."""

from __future__ import annotations

import asyncio
import time

from scripts.faults.load import Load
from scripts.faults.platform import Platform, TenantUnderTest
from tests.waiting import until

SETTLED_WITHIN_S = 10.0
_UNSETTLED = """
SELECT message_id, status FROM messages
WHERE tenant_id = %s AND direction <> 'status' AND status NOT IN ('delivered', 'dead') LIMIT 5
"""


async def all_arrived(platform: Platform, load: Load, since: int, within_s: float = 40.0) -> None:
    """Return when every message of the load has arrived; fails, naming some that are lost, if they do not in time."""
    deadline = time.monotonic() + within_s
    while lost := load.judge(await asyncio.to_thread(platform.records, load.kind, since)).lost:
        assert time.monotonic() < deadline, f"{len(lost)} of {len(load.taken)} lost, such as {lost[:5]}"
        await asyncio.sleep(0.1)


def all_settled(platform: Platform, tenant: TenantUnderTest) -> None:
    """Return when every outcome of the tenant's messages is stored: nothing can be sent a second time after that."""
    until(lambda: not platform.rows(_UNSETTLED, tenant.tenant_id), SETTLED_WITHIN_S, f"{tenant.tenant_id} settled")
