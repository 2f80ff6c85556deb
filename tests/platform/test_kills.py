"""Any one of our Ray worker processes killed during a run: none lost, work resumes, doubles only where unknown."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from tests.platform.load import Load
from tests.platform.platform import Platform, TenantUnderTest, until
from tests.platform.verdicts import all_arrived, all_settled

pytestmark = pytest.mark.ray

RESUMES_WITHIN_S = 10.0
# The most calls that may be under way towards one cloud.
IN_FLIGHT = 20


def worker(platform: Platform, title: str) -> int:
    """The only process with this title."""
    (pid,) = platform.workers(title)
    return pid


def transformer(platform: Platform, tenant: TenantUnderTest, direction: str) -> int:
    """The transformer that is sending the tenant's messages in this direction: both kinds have one title."""

    def owner() -> list[int]:
        query = "SELECT DISTINCT owner FROM messages WHERE tenant_id = %s AND direction = %s AND status = 'sending'"
        return [int(row["owner"].split("/")[1]) for row in platform.rows(query, tenant.tenant_id, direction)]

    (pid,) = until(owner, 10.0, f"a transformer sending {direction}")
    assert pid in platform.workers("TransformerActor")
    return pid


KINDS = {
    "an intake replica": lambda platform, tenant: worker(platform, "ServeReplica:webhooks:intake"),
    "the inbound transformer": lambda platform, tenant: transformer(platform, tenant, "inbound"),
    "the outbound transformer": lambda platform, tenant: transformer(platform, tenant, "outbound"),
    "the cell": lambda platform, tenant: min(platform.workers("TenantCell")),
    "the supervisor": lambda platform, tenant: worker(platform, "SupervisorActor"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_killed_in_a_run_loses_and_reorders_nothing(faults: Platform, kind: str) -> None:
    tenant = faults.new_tenant()
    faults.fault(tenantId=tenant.tenant_id, latency_ms=40)  # so that calls are in flight whenever the kill comes
    secret = faults.default_app.app_secret
    loads = [
        Load(faults.url, tenant, "inbound", secret, customers=60, each=10, per_second=150),
        Load(faults.url, tenant, "outbound", secret, customers=40, each=5, per_second=50),
    ]
    since = faults.last_seq()
    posting = asyncio.gather(*(load.post() for load in loads))
    await asyncio.gather(*(load.reached(0.25) for load in loads))
    pid = await asyncio.to_thread(KINDS[kind], faults, tenant)
    killed_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    await posting
    for load in loads:
        await all_arrived(faults, load, since, within_s=60.0)
    await asyncio.to_thread(all_settled, faults, tenant)

    for load in loads:
        waiting = await asyncio.to_thread(waiting_for_news, faults, load)
        verdict = load.judge(faults.records(load.kind, since), since_ns=killed_ns, without=waiting)
        assert verdict.lost == verdict.reordered == []
        assert verdict.longest_gap_s < RESUMES_WITHIN_S
        assert len(verdict.doubled) <= IN_FLIGHT
        for text in verdict.doubled:
            trace = faults.api.get(f"/messages/{load.id_of(text)}/trace", headers={"X-API-Key": tenant.api_key}).json()
            assert "unknown" in [attempt["outcome"] for attempt in trace["attempts"]]
    await asyncio.to_thread(until, lambda: is_well(faults), 15.0, "a platform that is well")


def waiting_for_news(platform: Platform, load: Load) -> set[str]:
    """Customers who, by the stated rule, waited up to 30 s for a status that tells what became of a send."""
    query = """
        SELECT DISTINCT m.wa_id FROM message_events e JOIN messages m USING (tenant_id, message_id)
        WHERE e.event = 'unknown' AND m.direction = 'outbound' AND e.tenant_id = %s
    """
    return {row["wa_id"] for row in platform.rows(query, load.tenant.tenant_id) if load.direction == "outbound"}


def is_well(platform: Platform) -> bool:
    """Whether every part of it answers again."""
    return bool(platform.api.get("/health").json()["status"] == "healthy")
