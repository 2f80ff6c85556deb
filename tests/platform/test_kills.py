"""Each of our Ray worker processes killed in turn during a run: none lost, work resumes, doubles only where unknown."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from scripts.faults.load import Load
from scripts.faults.platform import Fault, Platform, TenantUnderTest
from tests.platform.verdicts import all_arrived, all_settled
from tests.waiting import until

pytestmark = pytest.mark.ray

# On a machine whose cores are ours; where others want them too, starting a process takes as much longer.
RESUMES_WITHIN_S = 10.0
# The most calls that may be under way towards one cloud.
IN_FLIGHT = 20

Find = Callable[[Platform, TenantUnderTest], int]


def worker(title: str) -> Find:
    """The process with this title; the first one if there are several."""
    return lambda platform, tenant: min(platform.workers(title))


def transformer(direction: str) -> Find:
    """The transformer that is sending the tenant's messages in this direction: both kinds have one title."""

    def find(platform: Platform, tenant: TenantUnderTest) -> int:
        query = "SELECT DISTINCT owner FROM messages WHERE tenant_id = %s AND direction = %s AND status = 'sending'"
        (row,) = until(lambda: platform.rows(query, tenant.tenant_id, direction), 10.0, f"{direction} sending")
        pid = int(row["owner"].split("/")[1])
        assert pid in platform.workers("TransformerActor")
        return pid

    return find


# The outbound transformer first: what it leaves without an outcome waits 30 s, by the stated rule, while we go on.
WORKERS = {
    "outbound transformer": transformer("outbound"),
    "intake replica": worker("ServeReplica:webhooks:intake"),
    "inbound transformer": transformer("inbound"),
    "cell": worker("TenantCell"),
    "supervisor": worker("SupervisorActor"),
}


async def test_workers_killed_one_after_the_other_in_a_run_lose_and_reorder_nothing(
    platform: Platform, fault: Fault
) -> None:
    tenant = platform.new_tenant()
    fault(tenantId=tenant.tenant_id, latency_ms=150)  # so that calls are in flight whenever the kill comes
    secret = platform.default_app.app_secret
    loads = [
        Load(platform.url, tenant, "inbound", secret, customers=60, per_second=60),
        Load(platform.url, tenant, "outbound", secret, customers=30, per_second=20),
    ]
    since = platform.last_seq()
    posting = asyncio.gather(*(load.post() for load in loads))
    killed_ns = {}
    crowd = 1.0
    try:
        await delivered(platform, loads, since, 20)
        for name, find in WORKERS.items():
            pid = await asyncio.to_thread(find, platform, tenant)
            killed_ns[name] = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(until, lambda: is_well(platform), 60.0, f"well again without that {name}")
            await delivered(platform, loads, since, 20)
            crowd = max(crowd, wanted_by())
    finally:
        for load in loads:
            load.enough = True
        await posting
    ended_ns = time.monotonic_ns()
    for load in loads:
        await all_arrived(platform, load, since)
    await asyncio.to_thread(all_settled, platform, tenant)

    ends = [*list(killed_ns.values())[1:], ended_ns]
    for load in loads:
        records = platform.records(load.kind, since)
        verdict = load.judge(records)
        assert (verdict.lost, verdict.reordered) == ([], [])
        waited = waiting_for_news(platform, load)
        gaps = {
            name: load.longest_gap_s(records, killed, end, waited)
            for (name, killed), end in zip(killed_ns.items(), ends, strict=True)
        }
        assert max(gaps.values()) < RESUMES_WITHIN_S * crowd, f"{load.direction}: {gaps}, wanted by {crowd:.1f}"
        assert len(verdict.doubled) <= IN_FLIGHT
        for text in verdict.doubled:
            assert "unknown" in outcomes(platform, tenant, load.id_of(text))


def wanted_by() -> float:
    """How many processes want each core, averaged over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


async def delivered(platform: Platform, loads: list[Load], since: int, more: int) -> None:
    """Return when so many more of each load have arrived than at first sight."""

    def counts() -> list[int]:
        return [len({record["text"] for record in platform.records(load.kind, since)}) for load in loads]

    before = await asyncio.to_thread(counts)
    await asyncio.to_thread(
        until, lambda: all(now >= then + more for now, then in zip(counts(), before, strict=True)), 60.0, f"{more} more"
    )


def outcomes(platform: Platform, tenant: TenantUnderTest, message_id: str) -> list[Any]:
    """What became of each attempt to send a message."""
    trace = platform.api.get(f"/messages/{message_id}/trace", headers={"X-API-Key": tenant.api_key}).json()
    return [attempt["outcome"] for attempt in trace["attempts"]]


def waiting_for_news(platform: Platform, load: Load) -> set[str]:
    """Customers who, by the stated rule, waited up to 30 s for a status that tells what became of a send."""
    query = """
        SELECT DISTINCT m.wa_id FROM message_events e JOIN messages m USING (tenant_id, message_id)
        WHERE e.event = 'unknown' AND m.direction = 'outbound' AND e.tenant_id = %s
    """
    return {row["wa_id"] for row in platform.rows(query, load.tenant.tenant_id) if load.direction == "outbound"}


def is_well(platform: Platform) -> bool:
    """Whether every part of it answers."""
    return bool(platform.api.get("/health").json()["status"] == "healthy")
