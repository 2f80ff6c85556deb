"""Queues through the whole platform: what waits is seen, purged and accounted for, and the lane goes on."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.faults.platform import Fault, Platform, TenantUnderTest
from tests.waiting import until

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"
QUEUE = "inbound-whatsapp-messages"


def queue(platform: Platform, tenant: TenantUnderTest, name: str = QUEUE) -> dict[str, Any]:
    answer = platform.api.get("/queues", params={"queue": name}, headers={"X-Tenant-ID": tenant.tenant_id})
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["queues"]
    found: dict[str, Any] = row
    return found


def state(platform: Platform, tenant: TenantUnderTest, message_id: str) -> str | None:
    """Where the message stands; None while nobody knows of it."""
    answer = platform.api.get(f"/messages/{message_id}/trace", headers={"X-API-Key": tenant.api_key})
    found: str | None = answer.json()["state"] if answer.status_code == 200 else None
    return found


def purge(platform: Platform, tenant: TenantUnderTest) -> dict[str, Any]:
    answer = platform.api.post(f"/queues/{QUEUE}/purge", headers={"X-Tenant-ID": tenant.tenant_id}, timeout=60)
    assert answer.status_code == 200, answer.text
    purged: dict[str, Any] = answer.json()
    return purged


def test_what_waits_for_a_suspended_tenant_is_seen_purged_and_traced_and_the_lane_goes_on(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    other = platform.new_tenant(status="suspended")
    platform.send(tenant, "customer", CUSTOMER, "before")
    platform.arrived(tenant, "genesys_message", 1)
    platform.change(tenant, status="suspended")
    sent = [platform.send(tenant, "customer", CUSTOMER, f"question {number}")["id"] for number in range(4)]
    platform.send(tenant, "agent", CUSTOMER, "an answer")
    platform.send(other, "customer", CUSTOMER, "of another tenant")
    waiting = until(lambda: (row := queue(platform, tenant))["messages"] == 4 and row["held"] and row, 20, "four held")
    assert waiting["held"] == "tenant is suspended" and waiting["reader"].startswith("transformer:inbound:")
    assert 0 <= waiting["oldestAgeSeconds"] < 60
    until(lambda: queue(platform, other)["messages"] == 1, 20, "the other's")
    assert platform.status(tenant)["backlog"]["inbound"]["messages"] == 4

    assert purge(platform, tenant) == {"purged": 4}
    assert queue(platform, tenant)["messages"] == 0
    assert [state(platform, tenant, each) for each in sent] == ["purged"] * 4
    assert platform.trace(tenant, sent[0])["steps"][-1]["step"] == "purged"
    assert queue(platform, other)["messages"] == 1
    assert queue(platform, tenant, "outbound-genesys-messages")["messages"] == 1

    platform.change(tenant, status="active")
    platform.send(tenant, "customer", CUSTOMER, "after")
    texts = [event["text"] for event in platform.arrived(tenant, "genesys_message", 2)]
    assert texts == ["before", "after"]
    platform.arrived(tenant, "graph_send", 1)


def test_a_message_that_is_being_sent_is_finished_before_the_rest_is_purged(
    platform: Platform, tenant: TenantUnderTest, fault: Fault
) -> None:
    fault(cloud="genesys", tenantId=tenant.tenant_id, latency_ms=3000)
    sent = [platform.send(tenant, "customer", CUSTOMER, f"question {number}")["id"] for number in range(3)]
    until(lambda: state(platform, tenant, sent[0]) == "sending", 20, "the first on its way")
    assert purge(platform, tenant) == {"purged": 2}
    assert [state(platform, tenant, each) for each in sent] == ["delivered", "purged", "purged"]
    assert [event["text"] for event in platform.events(tenant, "genesys_message")] == ["question 0"]


def test_every_actor_is_listed_with_its_memory(platform: Platform, tenant: TenantUnderTest) -> None:
    platform.send(tenant, "customer", CUSTOMER, "hello")
    platform.arrived(tenant, "genesys_message", 1)
    actors = {each["name"]: each for each in platform.api.get("/actors").json()["actors"]}
    assert {"supervisor", "cell:0", "transformer:inbound:0", "transformer:outbound:0"} <= actors.keys()
    assert {each["class"] for each in actors.values()} == {
        "SupervisorActor", "TenantCell", "TransformerActor", "ServeReplica",
    }  # fmt: skip
    assert tenant.tenant_id in actors["cell:0"]["holds"]["names"]
    assert f"inbound-whatsapp-messages.{tenant.tenant_id}" in actors["transformer:inbound:0"]["holds"]["names"]
    assert actors["transformer:inbound:0"]["holds"]["of"] == "lanes"
    alive = [each for each in actors.values() if each["state"] == "alive"]
    assert actors["cell:0"] in alive and actors["cell:0"]["pid"] in platform.workers("TenantCell")
    assert all(10 * 2**20 < each["memoryBytes"] < 2**31 for each in alive)


def test_a_cleared_cache_makes_the_tenant_fetch_another_token(platform: Platform, tenant: TenantUnderTest) -> None:
    platform.send(tenant, "customer", CUSTOMER, "first")
    platform.arrived(tenant, "genesys_message", 1)
    headers = {"X-Tenant-ID": tenant.tenant_id}
    before = platform.api.get("/auth/token", headers=headers).json()["token"]
    cleared = platform.api.post("/cache/clear", json={}, headers=headers)
    assert cleared.status_code == 200 and cleared.json()["cleared"] >= 1

    def is_another() -> bool:
        return bool(platform.api.get("/auth/token", headers=headers).json()["token"] != before)

    until(is_another, 5, "another token")
    platform.send(tenant, "customer", CUSTOMER, "second")
    platform.arrived(tenant, "genesys_message", 2)
