"""The audit log over HTTP: every change and every reveal is in it, with who, what and from where; who may read it."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from tests.trunkline.admin_app import ADMIN_KEY, AdminApp
from tests.trunkline.records import ACCESS_TOKEN, CLIENT_SECRET, tenant_record
from tests.trunkline.web.rows import WA_ID, insert_conversation, insert_message
from trunkline.errors import CredentialsRefused, Unavailable
from trunkline.stores.database import connection
from trunkline.tenancy.record import TenantRecord
from trunkline.web.admin_models import encode_cursor

pytestmark = pytest.mark.services


async def _newest(admin: AdminApp, **query: Any) -> dict[str, Any]:
    async with admin.client() as client:
        answer = await client.get("/audit", params={"limit": 1, **query})
    assert answer.status_code == 200
    entry: dict[str, Any] = answer.json()["entries"][0]
    return entry


async def _count(admin: AdminApp) -> int:
    async with connection(admin.pool) as taken:
        row = await (await taken.execute("SELECT last_id FROM audit_head")).fetchone()
    return int(row[0]) if row else 0


def _new_tenant(record: TenantRecord) -> dict[str, Any]:
    whatsapp, genesys = record.whatsapp, record.genesys
    return {
        "tenantId": record.tenant_id,
        "name": record.name,
        "whatsapp": {
            "phoneNumberId": whatsapp.phone_number_id,
            "wabaId": whatsapp.waba_id,
            "accessToken": whatsapp.access_token.reveal(),
        },
        "genesys": {
            "region": genesys.region,
            "clientId": genesys.client_id,
            "clientSecret": genesys.client_secret.reveal(),
            "integrationId": genesys.integration_id,
            "webhookSecret": genesys.webhook_secret.reveal(),
        },
    }


async def test_an_entry_names_the_key_its_role_and_the_address_and_masks_what_it_shows(admin: AdminApp) -> None:
    record = tenant_record()
    async with admin.client() as client:
        assert (await client.post("/tenants", json=_new_tenant(record))).status_code == 201
    entry = await _newest(admin, tenant=record.tenant_id)
    assert entry["actor"] == {"keyId": "first", "role": "admin", "address": "127.0.0.1"}
    assert (entry["action"], entry["tenantId"], entry["subject"]) == (
        "tenant.created",
        record.tenant_id,
        record.tenant_id,
    )
    assert entry["before"] is None
    assert entry["after"]["whatsapp"]["accessToken"] == f"****{ACCESS_TOKEN[-4:]}"
    assert ACCESS_TOKEN not in str(entry) and CLIENT_SECRET not in str(entry)
    assert len(entry["hash"]) == 64


async def test_each_change_of_a_tenant_says_what_was_there_before(admin: AdminApp, tenant: TenantRecord) -> None:
    path = f"/tenants/{tenant.tenant_id}"
    async with admin.client() as client:
        assert (await client.patch(path, json={"rateLimit": 200, "settings": {"lanes": 1}})).status_code == 200
        changed = await _newest(admin)
        genesys = (await client.get(f"{path}/credentials/genesys")).json()
        assert (
            await client.put(f"{path}/credentials/genesys", json={**genesys, "clientSecret": "a-new-secret-9876"})
        ).status_code == 200
        replaced = await _newest(admin)
        assert (await client.delete(path)).status_code == 204
    assert (changed["action"], changed["before"]["rateLimit"], changed["after"]["rateLimit"]) == (
        "tenant.updated",
        100,
        200,
    )
    assert (replaced["before"], replaced["after"]) == (
        {"genesys": {"clientSecret": f"****{CLIENT_SECRET[-4:]}"}},
        {"genesys": {"clientSecret": "****9876"}},
    )
    deleted = await _newest(admin)
    assert (deleted["action"], deleted["after"]["status"]) == ("tenant.deleted", "deleted")


async def test_what_changes_nothing_or_fails_leaves_no_entry(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    path = f"/tenants/{tenant.tenant_id}"
    admin.actors.failure = Unavailable("the supervisor is away")
    async with admin.client() as client:
        before = await _count(admin)
        taken = {"whatsapp": {"phoneNumberId": other.whatsapp.phone_number_id}}
        answers = [
            await client.patch(path, json={"rateLimit": tenant.rate_limit}),
            await client.patch(path, json=taken),
            await client.patch(path, json={"rateLimit": 0}),
            await client.post("/tenants", json=_new_tenant(tenant)),
            await client.delete(f"{path}/api-keys/key_unknown"),
            await client.post(f"{path}/api-keys", json={"name": ""}),
            await client.delete("/meta-apps/unknown"),
            await client.post("/restart"),
            await client.patch("/pools/inbound", json={"size": 2}),
            await client.get("/auth/token?force=true", headers={"X-Tenant-ID": tenant.tenant_id}),
            await client.post("/dead-letters/1000000/replay"),
            await client.post("/dead-letters/replay?dryRun=true"),
        ]
    assert [answer.status_code for answer in answers] == [200, 409, 400, 409, 404, 400, 404, 503, 503, 502, 404, 200]
    assert await _count(admin) == before


async def test_keys_and_apps_are_noted_as_made_and_as_gone(admin: AdminApp, tenant: TenantRecord) -> None:
    path = f"/tenants/{tenant.tenant_id}/api-keys"
    async with admin.client() as client:
        made = (await client.post(path, json={"name": "shop"})).json()
        created = await _newest(admin)
        await client.delete(f"{path}/{made['keyId']}")
        revoked = await _newest(admin)
        staff = (await client.post("/api-keys", json={"name": "ops", "role": "operator"})).json()
        staffed = await _newest(admin)
        app = {"app": f"app-{tenant.tenant_id}", "appSecret": "secret-of-the-app-1234", "verifyToken": "token-5678"}
        await client.post("/meta-apps", json=app)
        added = await _newest(admin)
        await client.delete(f"/meta-apps/{app['app']}")
    assert (created["action"], created["subject"], created["tenantId"]) == (
        "key.created",
        made["keyId"],
        tenant.tenant_id,
    )
    assert (revoked["action"], revoked["subject"], revoked["before"]["name"]) == ("key.revoked", made["keyId"], "shop")
    assert (staffed["subject"], staffed["after"]["role"]) == (staff["keyId"], "operator")
    assert added["after"] == {"app": app["app"], "appSecret": ["****1234"], "verifyToken": ["****5678"]}
    assert (await _newest(admin))["action"] == "meta_app.deleted"
    for entry in (created, revoked, staffed):
        assert made["apiKey"] not in str(entry) and staff["apiKey"] not in str(entry)


async def test_what_staff_is_shown_of_a_tenants_secrets_and_texts_is_noted_and_what_it_sees_itself_is_not(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    conversation_id = await insert_conversation(admin, tenant)
    await insert_message(admin, tenant, conversation_id=conversation_id, text="hello from a customer")
    messages = f"/state/conversation/{conversation_id}/messages"
    scoped = {"X-Tenant-ID": tenant.tenant_id}
    async with admin.client(await admin.operator_key(), **scoped) as client:
        shown = []
        for path in (
            f"/tenants/{tenant.tenant_id}/credentials/genesys",
            f"/tenants/{tenant.tenant_id}/whatsapp",
            "/auth/token",
            messages,
        ):
            assert (await client.get(path)).status_code == 200, path
            entry = await _newest(admin)
            assert entry["actor"]["role"] == "operator" and "hello" not in str(entry)
            shown.append((entry["action"], entry["tenantId"], entry["subject"]))
    assert shown == [
        ("credentials.shown", tenant.tenant_id, "genesys"),
        ("credentials.shown", tenant.tenant_id, "whatsapp"),
        ("token.shown", tenant.tenant_id, None),
        ("messages.shown", tenant.tenant_id, conversation_id),
    ]
    before = await _count(admin)
    async with admin.client(await admin.key_of(tenant)) as client:
        before = await _count(admin)
        for path in ("/auth/token", messages, f"/state/conversation?whatsappNumber={WA_ID}"):
            assert (await client.get(path)).status_code == 200, path
        assert await _count(admin) == before
        assert (await client.get("/auth/token?force=true")).status_code == 200
    assert (await _newest(admin))["action"] == "token.forced"


async def test_a_restart_is_noted_once_when_it_begins(admin: AdminApp) -> None:
    running: dict[str, Any] = {"state": "running", "steps": [], "error": None}
    admin.actors.restarts = [{"state": "idle", "steps": [], "error": None}, running]
    async with admin.client() as client:
        assert (await client.post("/restart")).status_code == 202
        assert (await _newest(admin))["action"] == "restart.begun"
        before = await _count(admin)
        assert (await client.post("/restart")).status_code == 202
    assert await _count(admin) == before
    assert admin.actors.restarted == 2


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        pytest.param(None, "127.0.0.1", id="no proxy"),
        pytest.param("203.0.113.9", "203.0.113.9", id="our own proxy"),
        pytest.param("198.51.100.7, 203.0.113.9", "203.0.113.9 for 198.51.100.7", id="a proxy in front of it"),
        pytest.param("spoofed, 198.51.100.7, 203.0.113.9", "203.0.113.9 for 198.51.100.7", id="no further"),
        pytest.param("x" * 500, "x" * 45, id="too long"),
        pytest.param(" , ", "127.0.0.1", id="empty"),
    ],
)
async def test_an_entry_says_where_the_request_came_from_as_far_as_proxies_tell(
    admin: AdminApp, tenant: TenantRecord, forwarded: str | None, address: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    async with admin.client(**headers) as client:
        await client.get(f"/tenants/{tenant.tenant_id}/whatsapp")
    assert (await _newest(admin))["actor"]["address"] == address


async def _pages(client: AsyncClient, **query: Any) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = (await client.get("/audit", params={**query, **({"cursor": cursor} if cursor else {})})).json()
        entries += page["entries"]
        cursor = page["nextCursor"]
        if cursor is None:
            return entries


async def test_the_log_is_read_in_pages_by_tenant_and_action_and_entry(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client(await admin.operator_key()) as client:
        for _ in range(3):
            await client.get(f"/tenants/{tenant.tenant_id}/whatsapp")
        entries = await _pages(client, limit=2, tenant=tenant.tenant_id)
        assert [entry["action"] for entry in entries] == ["credentials.shown"] * 3 + ["tenant.created"]
        ids = [int(entry["id"]) for entry in entries]
        assert ids == sorted(ids, reverse=True)
        (created,) = await _pages(client, limit=2, tenant=tenant.tenant_id, action="tenant.created")
        assert (await client.get(f"/audit/{created['id']}")).json() == created
        assert (await client.get("/audit/999999999")).status_code == 404
        for bad in ("/audit?cursor=x", "/audit?action=no", "/audit?tenant=NO", "/audit/0", "/audit/x"):
            assert (await client.get(bad)).status_code == 400, bad


async def test_only_staff_reads_the_log(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client(await admin.key_of(tenant)) as client:
        for path in ("/audit", "/audit/verify", "/audit/1", f"/audit?tenant={tenant.tenant_id}"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), path
    for key in (ADMIN_KEY, await admin.operator_key()):
        async with admin.client(key) as client:
            assert (await client.get("/audit")).status_code == 200


async def test_the_chain_is_checked_in_parts_and_a_breach_named(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client() as client:
        for _ in range(4):
            await client.get(f"/tenants/{tenant.tenant_id}/whatsapp")
        parts: list[dict[str, Any]] = []
        cursor = None
        while not parts or cursor is not None:
            query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
            parts.append((await client.get("/audit/verify", params=query)).json())
            cursor = parts[-1]["nextCursor"]
        last = parts[-1]
        assert sum(part["checked"] for part in parts) == last["total"] == int(last["head"]["id"])
        assert last["broken"] is None and last["reached"] == last["head"]
        for bad in ("x", encode_cursor(1, "x"), encode_cursor(10**9, "0" * 64)):
            assert (await client.get("/audit/verify", params={"cursor": bad})).status_code == 400
        newest = last["head"]["id"]
        async with connection(admin.pool) as taken:
            await taken.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
            await taken.execute("UPDATE audit_log SET role = 'tenant' WHERE id = %s", (newest,))
            await taken.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
        found = (await client.get("/audit/verify", params={"limit": 10_000})).json()
    assert found["broken"] == {"id": newest, "reason": "its content was changed"}
    assert found["nextCursor"] is None


async def test_a_token_that_cannot_be_had_is_not_noted_as_shown(admin: AdminApp, tenant: TenantRecord) -> None:
    admin.actors.failure = CredentialsRefused("invalid_client")
    before = await _count(admin)
    async with admin.client() as client:
        assert (await client.get("/auth/token", headers={"X-Tenant-ID": tenant.tenant_id})).status_code == 502
    assert await _count(admin) == before
