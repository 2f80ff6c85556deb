"""Queues, purging, cached values and actors over HTTP: who may, what is told, and what is left in the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes import envelope
from tests.trunkline.admin_app import NOW, AdminApp
from tests.trunkline.web.rows import insert, insert_message, insert_spooled
from trunkline.envelope import Direction, Envelope
from trunkline.errors import Unavailable
from trunkline.tenancy.record import TenantRecord
from trunkline.web.admin_ports import ActorProcess, Holding

pytestmark = pytest.mark.services

INBOUND = "inbound-whatsapp-messages"


def put(admin: AdminApp, tenant: TenantRecord, count: int, direction: Direction = Direction.INBOUND) -> list[Envelope]:
    messages = [envelope(number, direction, tenant_id=tenant.tenant_id) for number in range(count)]
    admin.queues.put(*messages)
    return messages


async def use(admin: AdminApp, tenant: TenantRecord, *directions: Direction) -> None:
    for direction in directions or (Direction.INBOUND,):
        await insert(admin, "lanes", tenant_id=tenant.tenant_id, direction=direction.value)


async def actions(admin: AdminApp, tenant: TenantRecord) -> list[tuple[str, str | None, Any]]:
    entries = await admin.audit.entries(10, tenant_id=tenant.tenant_id)
    told = [(each.record.action, each.record.subject, each.record.after) for each in reversed(entries)]
    return [each for each in told if each[0] != "tenant.created"]


async def test_a_tenants_queues_are_told_with_what_waits_and_for_how_long(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    put(admin, tenant, 3)
    admin.queues.consumers[tenant.tenant_id, Direction.INBOUND] = 1
    admin.actors.read = {
        f"{INBOUND}.{tenant.tenant_id}": {
            "reader": "transformer:inbound:0", "unacked": 2, "held": None, "oldestAcceptedAt": NOW.timestamp() - 42,
        }
    }  # fmt: skip
    await insert_spooled(admin, tenant.tenant_id, direction="outbound")
    async with admin.client(await admin.operator_key(), **{"X-Tenant-ID": tenant.tenant_id}) as client:
        answer = await client.get("/queues")
        one = await client.get("/queues", params={"queue": INBOUND})
    assert answer.status_code == 200
    first, second, third = answer.json()["queues"]
    assert first == {
        "queue": INBOUND, "name": f"{INBOUND}.{tenant.tenant_id}", "tenantId": tenant.tenant_id, "messages": 5,
        "unacked": 2, "spooled": 0, "consumers": 1, "oldestAgeSeconds": 42.0, "reader": "transformer:inbound:0",
        "held": None,
    }  # fmt: skip
    assert (second["queue"], second["messages"], second["spooled"]) == ("outbound-genesys-messages", 1, 1)
    assert (third["queue"], third["messages"], third["oldestAgeSeconds"]) == ("whatsapp-status-updates", 0, None)
    assert one.json() == {"queues": [first], "missing": {}, "nextCursor": None}


async def test_all_queues_come_in_pages_and_a_name_with_a_tenant_means_one(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    for each in (tenant, other):
        await use(admin, each, Direction.INBOUND, Direction.STATUS)
    ours = {tenant.tenant_id, other.tenant_id}
    found: list[tuple[str, str]] = []
    async with admin.client() as client:
        cursor = None
        while True:
            page = (await client.get("/queues", params={"limit": 1, **({"cursor": cursor} if cursor else {})})).json()
            found += [(row["tenantId"], row["queue"]) for row in page["queues"] if row["tenantId"] in ours]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        named = (await client.get("/queues", params={"queue": f"whatsapp-status-updates.{tenant.tenant_id}"})).json()
        statuses = (await client.get("/queues", params={"queue": "whatsapp-status-updates"})).json()["queues"]
    assert found == [(each, name) for each in sorted(ours) for name in (INBOUND, "whatsapp-status-updates")]
    assert [row["name"] for row in named["queues"]] == [f"whatsapp-status-updates.{tenant.tenant_id}"]
    assert {row["queue"] for row in statuses} == {"whatsapp-status-updates"}


async def test_an_age_that_only_the_record_knows_is_told(admin: AdminApp, tenant: TenantRecord) -> None:
    put(admin, tenant, 1)
    await insert_message(admin, tenant, status="received", accepted_at=NOW)
    admin.now = NOW + timedelta(seconds=30)
    async with admin.client() as client:
        (row,) = (await client.get("/queues", params={"queue": f"{INBOUND}.{tenant.tenant_id}"})).json()["queues"]
    assert (row["messages"], row["oldestAgeSeconds"]) == (1, 30.0)


async def test_without_a_broker_the_rest_is_told_and_who_is_away(admin: AdminApp, tenant: TenantRecord) -> None:
    await use(admin, tenant)
    await insert_spooled(admin, tenant.tenant_id)
    admin.queues.away = "RabbitMQ: connect ECONNREFUSED 127.0.0.1:5672"
    admin.actors.failure = Unavailable("supervisor did not answer within 10 s")
    async with admin.client(**{"X-Tenant-ID": tenant.tenant_id}) as client:
        told = (await client.get("/queues", params={"queue": INBOUND})).json()
    assert told["missing"] == {"rabbitmq": admin.queues.away, "supervisor": str(admin.actors.failure)}
    (row,) = told["queues"]
    assert (row["messages"], row["unacked"], row["spooled"], row["consumers"]) == (None, None, 1, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [({"queue": "inbound"}, "queue"), ({"limit": 0}, "limit"), ({"cursor": "x"}, "cursor"), ({"inUse": "x"}, "inUse")],
)
async def test_a_list_that_cannot_be_made_is_refused(admin: AdminApp, query: dict[str, Any], field: str) -> None:
    async with admin.client() as client:
        answer = await client.get("/queues", params=query)
    assert (answer.status_code, list(answer.json()["details"])) == (400, [field])


async def test_one_tenants_queue_is_purged_counted_traced_and_audited(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    messages = put(admin, tenant, 3)
    put(admin, other, 2)
    await insert_message(
        admin, tenant, message_id=messages[0].message_id, status="received", accepted_at=NOW, text="hello"
    )
    async with admin.client(**{"X-Tenant-ID": tenant.tenant_id}) as client:
        answer = await client.post(f"/queues/{INBOUND}/purge")
        trace = (await client.get(f"/messages/{messages[0].message_id}/trace")).json()
        late = (await client.get(f"/messages/{messages[2].external_id}/trace")).json()
    assert (answer.status_code, answer.json()) == (200, {"purged": 3})
    assert (trace["state"], trace["steps"][-1]["step"], trace["steps"][-1]["by"]) == ("purged", "purged", "first")
    assert late["state"] == "purged"
    assert admin.queues.bodies[tenant.tenant_id, Direction.INBOUND] == []
    assert len(admin.queues.bodies[other.tenant_id, Direction.INBOUND]) == 2
    assert await actions(admin, tenant) == [
        ("queue.purge_begun", INBOUND, None),
        ("queue.purged", INBOUND, {"purged": 3, "failed": []}),
    ]
    assert admin.actors.held == {}


async def test_a_whole_queue_is_purged_of_every_tenant_and_no_other_queue_is(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    for each in (tenant, other):
        await use(admin, each, Direction.OUTBOUND)
        put(admin, each, 2, Direction.OUTBOUND)
        put(admin, each, 1)
    async with admin.client() as client:
        answer = await client.post("/queues/outbound-genesys-messages/purge")
    assert (answer.status_code, answer.json()) == (200, {"purged": 4})
    assert {len(admin.queues.bodies[each.tenant_id, Direction.INBOUND]) for each in (tenant, other)} == {1}


async def test_tenants_whose_queue_cannot_be_had_are_named(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    for each in (tenant, other):
        await use(admin, each)
        put(admin, each, 2)
    queue = f"{INBOUND}.{tenant.tenant_id}"
    admin.actors.held[queue] = "somebody else"
    async with admin.client() as client:
        answer = await client.post(f"/queues/{INBOUND}/purge")
        alone = await client.post(f"/queues/{queue}/purge")
    words = f"{queue} is being purged already"
    assert (answer.status_code, answer.json()) == (200, {"purged": 2, "failed": {tenant.tenant_id: words}})
    assert (alone.status_code, alone.json()["error"]) == (503, words)


async def test_a_purge_needs_an_admin_a_queue_and_one_tenant_at_most(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    path = f"/queues/{INBOUND}/purge"
    put(admin, tenant, 1)
    for key in (await admin.operator_key(), await admin.key_of(tenant)):
        async with admin.client(key) as client:
            assert (await client.post(path)).status_code == 403
    async with admin.client(**{"X-Tenant-ID": other.tenant_id}) as client:
        crossed = await client.post(f"/queues/{INBOUND}.{tenant.tenant_id}/purge")
        assert (crossed.status_code, list(crossed.json()["details"])) == (400, ["X-Tenant-ID"])
    async with admin.client() as client:
        unknown = await client.post("/queues/inbound/purge")
        assert (unknown.status_code, unknown.json()["error"]) == (404, "Queue not found")
        assert "whatsapp-status-updates" in unknown.json()["details"]["queue"]
        assert (await client.post(f"/queues/{INBOUND}.nobody/purge")).status_code == 404
    assert len(admin.queues.bodies[tenant.tenant_id, Direction.INBOUND]) == 1


async def test_what_is_cached_of_a_tenant_is_cleared_also_in_its_cell(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    for each in (tenant, other):
        await admin.redis.set(f"tenant:{each.tenant_id}:oauth:token", "x", ex=60)
        await admin.redis.set(f"tenant:{each.tenant_id}:mapping:wa:44", "x", ex=60)
    async with admin.client(await admin.operator_key(), **{"X-Tenant-ID": tenant.tenant_id}) as client:
        assert (await client.post("/cache/clear", json={"pattern": "mapping:*"})).json() == {"cleared": 1}
        assert (await client.post("/cache/clear")).json() == {"cleared": 1}
        refused = await client.post("/cache/clear", json={"pattern": "[a]"})
        assert (refused.status_code, list(refused.json()["details"])) == (400, ["pattern"])
    assert admin.actors.caches_cleared == [tenant.tenant_id] * 2
    assert await admin.redis.exists(f"tenant:{other.tenant_id}:oauth:token")
    assert await actions(admin, tenant) == [("cache.cleared", "mapping:*", None), ("cache.cleared", None, None)]
    async with admin.client() as client:
        assert (await client.post("/cache/clear")).json()["code"] == "TENANT_REQUIRED"
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.post("/cache/clear")).status_code == 403


async def test_actors_are_told_with_their_memory_and_those_that_are_silent_without(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    limit = 512 * 2**20
    admin.actors.processes = [
        ActorProcess(
            "cell:0", "TenantCell", 4711, "node-1", 90_000_000, limit, "alive", Holding("tenants", 2, ("acme", "bolt"))
        ),
        ActorProcess("supervisor", "SupervisorActor", None, None, None, limit, "silent"),
    ]
    async with admin.client(await admin.operator_key()) as client:
        actors = (await client.get("/actors")).json()["actors"]
    assert actors == [
        {"name": "cell:0", "class": "TenantCell", "pid": 4711, "node": "node-1", "memoryBytes": 90_000_000,
         "memoryLimitBytes": limit, "state": "alive",
         "holds": {"of": "tenants", "count": 2, "names": ["acme", "bolt"]}},
        {"name": "supervisor", "class": "SupervisorActor", "pid": None, "node": None, "memoryBytes": None,
         "memoryLimitBytes": limit, "state": "silent", "holds": None},
    ]  # fmt: skip
    async with admin.client(await admin.key_of(tenant)) as client:
        for path in ("/actors", "/queues"):
            assert (await client.get(path)).status_code == 403
