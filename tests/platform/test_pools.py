"""Pools that are resized, and a platform that is restarted part by part, under load: nothing lost, doubled or moved."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scripts.faults.load import Load
from scripts.faults.platform import Fault, Platform, TenantUnderTest
from tests.platform.verdicts import all_arrived, all_settled
from tests.waiting import until

pytestmark = pytest.mark.ray

CHANGED_WITHIN_S = 60.0
RESTARTED_WITHIN_S = 240.0
TENANTS = 4


@pytest.fixture
def tenants(platform: Platform) -> list[TenantUnderTest]:
    """So many that there is something to move."""
    return [platform.new_tenant() for _ in range(TENANTS)]


@asynccontextmanager
async def under_load(platform: Platform, tenants: list[TenantUnderTest]) -> AsyncIterator[None]:
    """Messages both ways of every tenant while the block runs; then nothing of them may be missing or twice."""
    secret = platform.default_app.app_secret
    loads = [
        Load(platform.url, tenant, direction, secret, customers=6, per_second=8)
        for tenant in tenants
        for direction in ("inbound", "outbound")
    ]
    since = platform.last_seq()
    posting = asyncio.gather(*(load.post() for load in loads))
    try:
        yield
    finally:
        for load in loads:
            load.enough = True
        await posting
    for load in loads:
        await all_arrived(platform, load, since)
    for tenant in tenants:
        await asyncio.to_thread(all_settled, platform, tenant)
    for load in loads:
        verdict = load.judge(platform.records(load.kind, since))
        assert (verdict.lost, verdict.doubled, verdict.reordered) == ([], [], [])
        assert set(load.answers) == {200}


async def becomes(condition: Callable[[], Any], within_s: float, what: str) -> None:
    await asyncio.to_thread(until, condition, within_s, what)


def pool(platform: Platform, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = platform.api.get("/pools").json()[name]
    return shown


def scale(platform: Platform, name: str, **size: int) -> dict[str, Any]:
    answer = platform.api.patch(f"/pools/{name}", json=size)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()[name]
    return shown


def readers(platform: Platform, tenant: TenantUnderTest) -> dict[str, set[str]]:
    """Who reads the tenant's lanes, by pool."""
    found: dict[str, set[str]] = {"inbound": set(), "outbound": set()}
    for lane in platform.api.get(f"/tenants/{tenant.tenant_id}/status").json()["lanes"].values():
        if lane["reader"]:
            found[lane["reader"].split(":")[1]].add(lane["reader"])
    return found


def are_read(platform: Platform, tenants: list[TenantUnderTest]) -> bool:
    """Whether all lanes of each tenant have the same reader."""
    return all(len(readers(platform, tenant)["inbound"]) == 1 for tenant in tenants)


async def test_a_pool_grows_and_shrinks_under_load(
    platform: Platform, fault: Fault, tenants: list[TenantUnderTest]
) -> None:
    fault(latency_ms=100)  # so that calls are in flight whenever a tenant moves
    async with under_load(platform, tenants):
        assert scale(platform, "inbound", size=3) == {"size": 3, "running": 1, "min": 3, "max": 3, "changing": True}
        await becomes(lambda: not pool(platform, "inbound")["changing"], CHANGED_WITHIN_S, "three that run")
        assert pool(platform, "inbound") == {"size": 3, "running": 3, "min": 3, "max": 3, "changing": False}
        await becomes(lambda: are_read(platform, tenants), CHANGED_WITHIN_S, "a reader for each tenant")
        assert len(platform.workers("TransformerActor")) == 4
        assert platform.api.get("/health").json()["status"] == "healthy"

        assert scale(platform, "inbound", size=1)["changing"]
        await becomes(lambda: not pool(platform, "inbound")["changing"], CHANGED_WITHIN_S, "one that runs")
        assert len(platform.workers("TransformerActor")) == 2
        everybody = [readers(platform, tenant)["inbound"] for tenant in tenants]
        assert set().union(*everybody) <= {"transformer:inbound:0"}


async def test_a_size_outlives_the_supervisor(platform: Platform) -> None:
    scale(platform, "outbound", min=2, max=3)
    await becomes(lambda: not pool(platform, "outbound")["changing"], CHANGED_WITHIN_S, "two that run")
    (supervisor,) = platform.workers("SupervisorActor")
    os.kill(supervisor, signal.SIGKILL)

    def is_back() -> bool:
        answer = platform.api.get("/pools")
        return bool(answer.status_code == 200 and platform.workers("SupervisorActor") not in ([], [supervisor]))

    await becomes(is_back, CHANGED_WITHIN_S, "another supervisor")
    await becomes(lambda: pool(platform, "outbound")["running"] == 2, CHANGED_WITHIN_S, "both found again")
    assert pool(platform, "outbound") == {"size": 2, "running": 2, "min": 2, "max": 3, "changing": False}
    scale(platform, "outbound", size=1)
    await becomes(lambda: not pool(platform, "outbound")["changing"], CHANGED_WITHIN_S, "one again")


async def test_a_pool_with_bounds_grows_while_messages_grow_old(
    platform: Platform, fault: Fault, tenant: TenantUnderTest
) -> None:
    fault(cloud="genesys", tenantId=tenant.tenant_id, latency_ms=2000)
    secret = platform.default_app.app_secret
    load = Load(platform.url, tenant, "inbound", secret, customers=200, each=1)  # 20 at a time: the last after 20 s
    since = platform.last_seq()
    assert scale(platform, "inbound", min=1, max=2)["size"] == 1
    await load.post()
    await becomes(lambda: pool(platform, "inbound")["size"] == 2, CHANGED_WITHIN_S, "a second one")
    await all_arrived(platform, load, since, within_s=60.0)
    scale(platform, "inbound", size=1)
    await becomes(lambda: not pool(platform, "inbound")["changing"], CHANGED_WITHIN_S, "one again")
    verdict = load.judge(platform.records(load.kind, since))
    assert (verdict.lost, verdict.doubled, verdict.reordered) == ([], [], [])


async def test_everything_is_restarted_under_load(
    platform: Platform, fault: Fault, tenants: list[TenantUnderTest]
) -> None:
    fault(latency_ms=100)
    kinds = ("TransformerActor", "TenantCell", "ServeReplica", "SupervisorActor")
    before = {kind: set(platform.workers(kind)) for kind in kinds}
    async with under_load(platform, tenants):
        begun = platform.api.post("/restart")
        assert (begun.status_code, begun.json()["state"]) == (202, "running")
        progress: dict[str, Any] = {}

        def is_over() -> bool:
            answer = platform.api.get("/restart")
            if answer.status_code == 200:  # the supervisor is among what is restarted
                progress.update(answer.json())
            return progress.get("state") in ("done", "failed")

        await becomes(is_over, RESTARTED_WITHIN_S, "the restart over")
        assert (progress["state"], progress["error"]) == ("done", None)
        names = [step["name"] for step in progress["steps"]]
        assert names[-3:] == ["admin", "webhooks", "supervisor"]
        assert {"transformer:inbound:0", "transformer:outbound:0", "cell:0"} <= set(names)
        after = {kind: set(platform.workers(kind)) for kind in kinds}
        assert all(after[kind] and not after[kind] & before[kind] for kind in kinds), (before, after)


def test_a_transformer_that_hangs_is_replaced(platform: Platform, tenant: TenantUnderTest) -> None:
    for who, kind in (("customer", "genesys_message"), ("agent", "graph_send")):
        platform.send(tenant, who, "447700900123", "before")
        platform.arrived(tenant, kind, 1)
    hanging = platform.workers("TransformerActor")
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    platform.send(tenant, "customer", "447700900123", "meanwhile")
    platform.send(tenant, "agent", "447700900123", "meanwhile")
    platform.arrived(tenant, "genesys_message", 2, within_s=CHANGED_WITHIN_S)
    platform.arrived(tenant, "graph_send", 2, within_s=CHANGED_WITHIN_S)
    assert not set(platform.workers("TransformerActor")) & set(hanging)
