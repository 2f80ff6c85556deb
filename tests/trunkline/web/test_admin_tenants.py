"""Tenants, credentials, keys and Meta apps over HTTP."""

from __future__ import annotations

import json
import logging
import secrets
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.trunkline.admin_app import NOW, AdminApp
from tests.trunkline.records import ACCESS_TOKEN, CLIENT_SECRET, WEBHOOK_SECRET
from trunkline.stores.database import Pool
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services

SECRETS = (ACCESS_TOKEN, CLIENT_SECRET, WEBHOOK_SECRET)


def _body(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Alder",
        "whatsapp": {
            "phoneNumberId": str(secrets.randbits(60)),
            "wabaId": "104488220011733",
            "accessToken": ACCESS_TOKEN,
        },
        "genesys": {
            "clientId": "client-1",
            "clientSecret": CLIENT_SECRET,
            "integrationId": secrets.token_hex(16),
            "webhookSecret": WEBHOOK_SECRET,
        },
        **changes,
    }


async def test_a_tenant_is_made_with_a_key_that_is_shown_once(admin: AdminApp) -> None:
    body = _body()
    async with admin.client() as client:
        made = await client.post("/tenants", json=body)
        assert made.status_code == 201
        shown = made.json()
        key = shown.pop("apiKey")
        shown.pop("keyId")
        again = await client.get(f"/tenants/{shown['tenantId']}")
    assert again.json() == shown
    assert shown["id"] == shown["tenantId"]
    assert {name: shown[name] for name in ("name", "status", "rateLimit", "dedicated", "createdAt")} == {
        "name": "Alder",
        "status": "active",
        "rateLimit": 100,
        "dedicated": False,
        "createdAt": "2026-11-23T12:00:17.000Z",
    }
    assert shown["genesys"]["region"] == "mypurecloud.com"
    assert shown["whatsapp"]["app"] == "default"
    assert shown["settings"]["genesysRequestsPerMinute"] == 300
    assert not any(secret in made.text for secret in SECRETS)
    async with admin.client(key) as client:
        assert (await client.get("/dead-letters")).status_code == 200


async def test_all_that_may_be_given_is_kept(admin: AdminApp) -> None:
    body = _body(
        tenantId=f"alder-{secrets.token_hex(4)}",
        status="suspended",
        rateLimit=200,
        dedicated=True,
        settings={"genesysRequestsPerMinute": 600, "retentionDays": {"media": 3}},
    )
    body["genesys"]["region"] = "MyPureCloud.de"
    body["whatsapp"]["displayPhoneNumber"] = "+44 20 7946 0101"
    async with admin.client() as client:
        shown = (await client.post("/tenants", json=body)).json()
    assert shown["tenantId"] == body["tenantId"]
    assert (shown["status"], shown["rateLimit"], shown["dedicated"]) == ("suspended", 200, True)
    assert shown["genesys"]["region"] == "mypurecloud.de"
    assert shown["settings"]["genesysRequestsPerMinute"] == 600
    assert shown["settings"]["retentionDays"] == {"content": 30, "metadata": 90, "media": 3, "audit": 365}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"name": ""}, "name", id="an empty name"),
        pytest.param({"name": "a\0b"}, "name", id="a name with a NUL"),
        pytest.param({"name": "\ud800"}, "name", id="half a character"),
        pytest.param({"tenantId": "Upper"}, "tenantId", id="an id in upper case"),
        pytest.param({"tenantId": "abc\n"}, "tenantId", id="an id with a line break"),
        pytest.param({"status": "deleted"}, "status", id="a status that is not to be given"),
        pytest.param({"rateLimit": 0}, "rateLimit", id="a limit of nothing"),
        pytest.param({"rateLimit": "100"}, "rateLimit", id="a number as a text"),
        pytest.param({"rateLimit": True}, "rateLimit", id="true is no number"),
        pytest.param({"settings": {"genesysRequests": 1}}, "settings.genesysRequests", id="an unknown setting"),
        pytest.param({"settings": {"lanes": 2}}, "settings.lanes", id="a setting out of range"),
        pytest.param({"colour": "red"}, "colour", id="an unknown field"),
        pytest.param({"whatsapp": None}, "whatsapp", id="no WhatsApp side"),
        pytest.param({"genesys.region": "evil.example"}, "genesys.region", id="a region that is none of Genesys"),
        pytest.param({"genesys.clientId": "a:b"}, "genesys.clientId", id="a client id with a colon"),
        pytest.param({"genesys.clientSecret": ""}, "genesys.clientSecret", id="an empty secret"),
        pytest.param({"genesys.clientSecret": "****abcd"}, "genesys.clientSecret", id="a mask that masks nothing"),
        pytest.param({"whatsapp.accessToken": "a\r\nHost: x"}, "whatsapp.accessToken", id="a token with a line break"),
        pytest.param({"whatsapp.phoneNumberId": "../../me"}, "whatsapp.phoneNumberId", id="a number that is a path"),
        pytest.param({"whatsapp.app": "no-such-app"}, "whatsapp.app", id="a Meta app that is not there"),
        pytest.param({"whatsapp.wabaId": None}, "whatsapp.wabaId", id="something missing"),
    ],
)
async def test_what_cannot_be_is_refused_by_field_and_without_secrets(
    admin: AdminApp, change: dict[str, Any], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = _body()
    for path, value in change.items():
        inside, _, name = path.rpartition(".")
        (body[inside] if inside else body)[name] = value
    async with admin.client() as client:
        answer = await client.post("/tenants", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "BAD_REQUEST"
    assert list(answer.json()["details"]) == [field]
    assert not any(secret in answer.text + caplog.text for secret in SECRETS)


async def test_a_wrong_secret_is_not_repeated_in_the_answer(admin: AdminApp) -> None:
    body = _body()
    body["genesys"]["clientSecret"] = ["not-a-string-but-secret"]
    body["whatsapp"]["accessToken"] = "EAAG-secret-with-ümlaut"
    async with admin.client() as client:
        answer = await client.post("/tenants", json=body)
    assert set(answer.json()["details"]) == {"genesys.clientSecret", "whatsapp.accessToken"}
    assert "not-a-string" not in answer.text and "EAAG" not in answer.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(admin: AdminApp, content: bytes) -> None:
    async with admin.client() as client:
        answer = await client.post("/tenants", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST"), answer.text


async def test_a_body_that_is_too_large_is_refused(admin: AdminApp) -> None:
    async with admin.client() as client:
        answer = await client.post("/tenants", json=_body(name="x" * 2_000_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_routes_and_methods_that_are_not_there_answer_in_the_one_shape(admin: AdminApp) -> None:
    async with admin.client() as client:
        assert (await client.get("/nothing")).json() == {"error": "Not found", "code": "NOT_FOUND", "details": None}
        answer = await client.put("/tenants", json={})
    assert answer.status_code == 405
    assert answer.json() == {"error": "Method not allowed", "code": "METHOD_NOT_ALLOWED", "details": None}
    assert "GET" in answer.headers["Allow"]


async def test_what_is_taken_is_a_conflict_that_names_the_field(admin: AdminApp) -> None:
    async with admin.client() as client:
        first = _body(tenantId=f"alder-{secrets.token_hex(4)}")
        assert (await client.post("/tenants", json=first)).status_code == 201
        for field in ("tenantId", "whatsapp.phoneNumberId", "genesys.integrationId"):
            second = _body()
            inside, _, name = field.rpartition(".")
            (second[inside] if inside else second)[name] = (first[inside] if inside else first)[name]
            answer = await client.post("/tenants", json=second)
            assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
            assert list(answer.json()["details"]) == [field]


async def test_any_region_is_taken_when_all_calls_go_elsewhere_anyway(pool: Pool, redis: Redis) -> None:
    admin = AdminApp(pool, redis, allow_any_region=True)
    body = _body()
    body["genesys"]["region"] = "sandbox.local"
    async with admin.client() as client:
        assert (await client.post("/tenants", json=body)).json()["genesys"]["region"] == "sandbox.local"


async def test_a_patch_changes_what_it_names(admin: AdminApp, tenant: TenantRecord) -> None:
    path = f"/tenants/{tenant.tenant_id}"
    async with admin.client() as client:
        before = (await client.get(path)).json()
        after = (await client.patch(path, json={"rateLimit": 200, "status": "suspended"})).json()
        assert after.pop("updatedAt") >= before.pop("updatedAt")
        assert after == {**before, "rateLimit": 200, "status": "suspended"}
        nested = await client.patch(path, json={"whatsapp": {"displayPhoneNumber": None}})
        assert nested.json()["whatsapp"] == {**before["whatsapp"], "displayPhoneNumber": None}
        await client.patch(path, json={"genesys": {"clientSecret": "****efgh", "region": "mypurecloud.jp"}})
    stored = await admin.tenants.get(tenant.tenant_id)
    assert stored is not None
    assert (stored.genesys.region, stored.genesys.client_secret) == ("mypurecloud.jp", tenant.genesys.client_secret)


async def test_settings_merge_by_name_and_null_restores_the_default(admin: AdminApp, tenant: TenantRecord) -> None:
    path = f"/tenants/{tenant.tenant_id}"
    async with admin.client() as client:
        await client.patch(
            path, json={"settings": {"whatsappPersonBurst": 50, "retentionDays": {"media": 3, "content": 5}}}
        )
        merged = await client.patch(
            path, json={"settings": {"phoneWithPlus": True, "retentionDays": {"content": None}}}
        )
        settings = merged.json()["settings"]
        assert (settings["whatsappPersonBurst"], settings["phoneWithPlus"]) == (50, True)
        assert (settings["retentionDays"]["media"], settings["retentionDays"]["content"]) == (3, 30)
        restored = await client.patch(path, json={"settings": {"whatsappPersonBurst": None}})
        assert restored.json()["settings"]["whatsappPersonBurst"] == 45
        refused = await client.patch(path, json={"settings": {"whatsappPersonBurst": 0}})
    assert (refused.status_code, list(refused.json()["details"])) == (400, ["settings.whatsappPersonBurst"])


@pytest.mark.parametrize(
    "body",
    [
        {"name": None},
        {"status": "deleted"},
        {"tenantId": "another"},
        {"settings": {"unknown": 1}},
        {"genesys": {"region": "evil.example"}},
        {"whatsapp": {"accessToken": None}},
    ],
)
async def test_a_patch_that_cannot_be_changes_nothing(
    admin: AdminApp, tenant: TenantRecord, body: dict[str, Any]
) -> None:
    async with admin.client() as client:
        answer = await client.patch(f"/tenants/{tenant.tenant_id}", json={"rateLimit": 7, **body})
    assert answer.status_code == 400, answer.text
    assert await admin.tenants.get(tenant.tenant_id) == tenant


async def test_a_number_of_another_tenant_cannot_be_taken_over(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    async with admin.client() as client:
        answer = await client.patch(
            f"/tenants/{tenant.tenant_id}", json={"whatsapp": {"phoneNumberId": other.whatsapp.phone_number_id}}
        )
    assert (answer.status_code, list(answer.json()["details"])) == (409, ["whatsapp.phoneNumberId"])


async def test_tenants_come_in_pages(admin: AdminApp, tenant: TenantRecord, other: TenantRecord) -> None:
    found: list[str] = []
    async with admin.client() as client:
        page: dict[str, Any] = {"nextCursor": None}
        while not found or page["nextCursor"]:
            cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else {}
            page = (await client.get("/tenants", params={"limit": 1, **cursor})).json()
            found += [shown["tenantId"] for shown in page["tenants"]]
        assert {tenant.tenant_id, other.tenant_id} <= set(found) and found == sorted(set(found))
        for bad in ({"cursor": "nonsense"}, {"cursor": "WzFd"}, {"limit": 0}, {"limit": "x"}, {"limit": 10_000}):
            assert (await client.get("/tenants", params=bad)).status_code == 400, bad


async def test_credentials_are_shown_masked_and_a_mask_means_unchanged(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client() as client:
        path = f"/tenants/{tenant.tenant_id}/credentials/genesys"
        genesys = (await client.get(path)).json()
        assert (genesys["clientSecret"], genesys["webhookSecret"]) == ("****efgh", "****ijkl")
        replaced = await client.put(
            path, json={**genesys, "clientId": "client-2", "webhookSecret": "a-new-secret-mnop"}
        )
        assert replaced.json() == {**genesys, "clientId": "client-2", "webhookSecret": "****mnop"}

        path = f"/tenants/{tenant.tenant_id}/whatsapp"
        whatsapp = (await client.get(path)).json()
        assert whatsapp["accessToken"] == "****abcd"
        replaced = await client.put(path, json={**whatsapp, "wabaId": "42"})
        assert replaced.json() == {**whatsapp, "wabaId": "42"}
        assert (await client.put(path, json={"wabaId": "43"})).status_code == 400
    stored = await admin.tenants.get(tenant.tenant_id)
    assert stored is not None
    assert stored.genesys.client_secret == tenant.genesys.client_secret
    assert stored.genesys.webhook_secret.reveal() == "a-new-secret-mnop"
    assert stored.whatsapp.access_token == tenant.whatsapp.access_token
    assert stored.whatsapp.waba_id == "42"


async def test_keys_of_a_tenant_are_made_listed_and_revoked(admin: AdminApp, tenant: TenantRecord) -> None:
    path = f"/tenants/{tenant.tenant_id}/api-keys"
    async with admin.client() as client:
        expiry = (NOW + timedelta(days=400)).isoformat()
        made = await client.post(path, json={"name": "shop", "expiresAt": expiry})
        assert (made.status_code, set(made.json())) == (201, {"keyId", "apiKey"})
        listed = (await client.get(path)).json()["apiKeys"]
        assert [key["name"] for key in listed] == ["first key", "shop"]
        assert made.json()["apiKey"] not in str(listed)
        async with admin.client(made.json()["apiKey"]) as shop:
            assert (await shop.get("/dead-letters")).status_code == 200
            assert (await client.delete(f"{path}/{made.json()['keyId']}")).status_code == 204
            assert (await shop.get("/dead-letters")).status_code == 401
        assert (await client.delete(f"{path}/{made.json()['keyId']}")).status_code == 404
        assert (await client.delete(f"{path}/%00")).status_code == 404
        past = await client.post(path, json={"name": "late", "expiresAt": "2020-01-01T00:00:00Z"})
        assert (past.status_code, list(past.json()["details"])) == (400, ["expiresAt"])
        naive = await client.post(path, json={"name": "when", "expiresAt": "2090-01-01T00:00:00"})
        assert naive.status_code == 400


@pytest.mark.parametrize(("role", "may_change"), [("admin", True), ("operator", False)])
async def test_keys_for_admins_and_operators_are_made_listed_and_revoked(
    admin: AdminApp, tenant: TenantRecord, role: str, may_change: bool
) -> None:
    async with admin.client() as client:
        made = await client.post("/api-keys", json={"role": role, "name": "ops"})
        assert (made.status_code, set(made.json())) == (201, {"keyId", "apiKey"})
        async with admin.client(made.json()["apiKey"]) as staff:
            changed = await staff.patch(f"/tenants/{tenant.tenant_id}", json={"name": "new"})
            assert changed.status_code == (200 if may_change else 403)
            assert made.json()["keyId"] in (await staff.get("/api-keys")).text
            assert (await client.delete(f"/api-keys/{made.json()['keyId']}")).status_code == 204
            assert (await staff.get("/tenants")).status_code == 401
        assert (await client.post("/api-keys", json={"role": "tenant", "name": "x"})).status_code == 400


async def test_meta_apps_are_made_shown_masked_and_deleted(admin: AdminApp) -> None:
    app = f"app_{secrets.token_hex(4)}"
    body = {"app": app, "appSecret": "app-secret-abcd,old-secret-efgh", "verifyToken": "verify-token-wxyz"}
    async with admin.client() as client:
        made = await client.post("/meta-apps", json=body)
        shown = {"app": app, "appSecret": "****abcd,****efgh", "verifyToken": "****wxyz"}
        assert (made.status_code, made.json()) == (201, shown)
        assert shown in (await client.get("/meta-apps")).json()["metaApps"]
        assert (await client.post("/meta-apps", json=body)).status_code == 409
        assert (await client.post("/meta-apps", json={**body, "app": "default"})).status_code == 409

        owner = _body()
        owner["whatsapp"]["app"] = app
        tenant_id = (await client.post("/tenants", json=owner)).json()["tenantId"]
        kept = await client.delete(f"/meta-apps/{app}")
        assert (kept.status_code, kept.json()["details"]) == (409, {"tenants": [tenant_id]})
        await client.delete(f"/tenants/{tenant_id}")
        assert (await client.delete(f"/meta-apps/{app}")).status_code == 204
        assert (await client.delete(f"/meta-apps/{app}")).status_code == 404
        for wrong in ({"app": "No"}, {"appSecret": ","}, {"appSecret": "a,b,c"}, {"verifyToken": "****wxyz"}):
            assert (await client.post("/meta-apps", json={**body, **wrong})).status_code == 400, wrong


async def test_the_description_names_the_fields_as_they_travel(admin: AdminApp) -> None:
    async with admin.client(None) as client:
        description = (await client.get("/openapi.json")).json()
        assert "text/html" in (await client.get("/docs")).headers["Content-Type"]
    schemas = description["components"]["schemas"]
    assert set(schemas["NewTenant"]["properties"]) == {
        "tenantId", "name", "status", "rateLimit", "dedicated", "whatsapp", "genesys", "settings",
    }  # fmt: skip
    assert "phoneNumberId" in schemas["WhatsAppAsked"]["properties"]
    assert {"apiKey", "createdAt"} <= set(schemas["TenantMade"]["properties"])
    assert set(schemas["ErrorBody"]["properties"]) == {"error", "code", "details"}
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert not any("422" in operation["responses"] for operation in operations)
    assert description["paths"]["/tenants"]["get"]["security"] == [{"APIKeyHeader": []}, {"HTTPBearer": []}]
    assert "security" not in description["paths"]["/health"]["get"]
