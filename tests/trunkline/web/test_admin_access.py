"""Who may call what: every route of the API, with no key, a foreign one, and one without the right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response
from redis.asyncio import Redis

from tests.trunkline.admin_app import ADMIN_KEY, NOW, AdminApp
from tests.trunkline.records import BY, tenant_record
from trunkline.stores.database import Pool, open_pool
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services

OPEN = {"/health", "/health/live", "/health/ready"}
# What an operator may do beside reading, and may not even read.
OPERATED = ("/dead-letters", "/pools", "/cache")
SECRET = "/secrets"
NO_TENANT = {"error": "Tenant identification required", "code": "UNAUTHORIZED", "details": None}


def _routes(admin: AdminApp, tenant_id: str) -> Iterator[tuple[str, str]]:
    """Every method and path of the API's own description."""
    for path, methods in admin.app.openapi()["paths"].items():
        for method in methods:
            filled = path.replace("{tenant_id}", tenant_id)
            yield method.upper(), re.sub(r"{\w+}", "00000000-0000-4000-8000-000000000000", filled)


async def test_every_route_but_health_and_docs_needs_a_key_before_anything_else(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    routes = [route for route in _routes(admin, tenant.tenant_id) if route[1] not in OPEN]
    assert len(routes) > 20
    bad_keys: list[dict[str, str]] = [
        {},
        {"X-API-Key": "tl_unknown"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer tl_unknown"},
        {"Authorization": f"Basic {ADMIN_KEY}"},
        {"X-Tenant-ID": tenant.tenant_id},
    ]
    async with admin.client(None) as client:
        for method, path in routes:
            for headers in bad_keys:
                answer = await client.request(method, path, headers=headers, content=b"{not json")
                assert (answer.status_code, answer.json()) == (401, NO_TENANT), (method, path, headers)
        assert (await client.get("/no/such/route")).status_code == 401


async def test_health_and_docs_need_no_key(admin: AdminApp) -> None:
    async with admin.client(None) as client:
        for path in [*OPEN, "/docs", "/openapi.json"]:
            assert (await client.get(path)).status_code == 200, path


async def test_a_tenants_key_opens_its_own_routes_and_no_others(admin: AdminApp, tenant: TenantRecord) -> None:
    own = {
        ("GET", f"/tenants/{tenant.tenant_id}"),
        ("GET", f"/tenants/{tenant.tenant_id}/status"),
        ("GET", "/auth/token"),
        ("GET", "/dead-letters"),
        ("POST", "/dead-letters/replay"),
    }
    # They are the tenant's too, but what they ask for is not there.
    kinds = ("/state", "/messages", "/dead-letters/0")
    missing = {path for _, path in _routes(admin, "x") if path.startswith(kinds)}
    async with admin.client(await admin.key_of(tenant)) as client:
        for method, path in _routes(admin, tenant.tenant_id):
            answer = await client.request(method, path, json={})
            if path in OPEN or (method, path) in own:
                assert answer.status_code == 200, (method, path, answer.text)
            elif path in missing:
                assert answer.status_code in (400, 404), (method, path)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), (method, path)


async def test_an_operator_reads_everything_and_changes_nothing_but_may_replay_scale_and_clear_caches(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    headers = {"X-Tenant-ID": tenant.tenant_id}
    async with admin.client(await admin.operator_key()) as client:
        for method, path in _routes(admin, tenant.tenant_id):
            answer = await client.request(method, path, json={}, headers=headers)
            may = not path.startswith(SECRET) and (method == "GET" or path.startswith(OPERATED))
            expected = (200, 400, 404) if may else (403,)
            assert answer.status_code in expected, (method, path, answer.text)


@pytest.mark.parametrize("path", ["/auth/token", "/state/conversation?whatsappNumber=447700900111"])
async def test_admins_and_operators_must_name_the_tenant_where_one_is_needed(admin: AdminApp, path: str) -> None:
    for key in (ADMIN_KEY, await admin.operator_key()):
        async with admin.client(key) as client:
            answer = await client.get(path)
            assert answer.status_code == 400
            assert answer.json()["error"] == "Tenant identification required"
            assert answer.json()["code"] == "TENANT_REQUIRED"


@pytest.mark.parametrize("tenant_id", ["nobody", "NOT%20AN%20ID", "x\0y", "a" * 500, "-"])
async def test_a_tenant_that_is_not_there_is_not_found(admin: AdminApp, tenant_id: str) -> None:
    async with admin.client() as client:
        answers = [await client.get(f"/tenants/{tenant_id.replace(chr(0), '%00')}")]
        if "\0" not in tenant_id:
            answers.append(await client.get("/auth/token", headers={"X-Tenant-ID": tenant_id}))
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (404, "Tenant not found")


async def test_a_key_comes_as_a_header_of_its_own_or_as_a_bearer(admin: AdminApp) -> None:
    async with admin.client(None) as client:
        assert (await client.get("/tenants", headers={"Authorization": f"bearer {ADMIN_KEY}"})).status_code == 200
        assert (await client.get("/tenants", headers={"x-api-key": ADMIN_KEY})).status_code == 200


async def test_a_deleted_tenants_key_is_unknown(admin: AdminApp, tenant: TenantRecord) -> None:
    key = await admin.key_of(tenant)
    async with admin.client() as client:
        assert (await client.delete(f"/tenants/{tenant.tenant_id}")).status_code == 204
        assert (await client.get(f"/tenants/{tenant.tenant_id}")).status_code == 404
        assert (await client.delete(f"/tenants/{tenant.tenant_id}")).status_code == 404
        assert tenant.tenant_id not in (await client.get("/tenants?limit=200")).text
    async with admin.client(key) as client:
        assert (await client.get("/dead-letters")).status_code == 401


async def test_over_its_limit_a_tenant_is_told_when_to_come_again(admin: AdminApp) -> None:
    record = tenant_record(rate_limit=3)
    await admin.tenants.create(record, BY)
    path = f"/tenants/{record.tenant_id}"
    async with admin.client(await admin.key_of(record)) as client:
        answers = [await client.get(path) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
        _is_limited(answers[3], limit=3, wait_s=43)
        admin.now = NOW + timedelta(seconds=43)
        assert (await client.get(path)).status_code == 200
    async with admin.client() as client:
        assert all([(await client.get(path)).status_code == 200 for _ in range(5)])


def _is_limited(answer: Response, limit: int, wait_s: int) -> None:
    body: dict[str, Any] = {
        "error": "Rate limit exceeded",
        "code": "RATE_LIMITED",
        "limit": limit,
        "retryAfter": wait_s,
    }
    assert answer.json() == body
    assert answer.headers["Retry-After"] == str(wait_s)
    assert answer.headers["X-RateLimit-Limit"] == str(limit)
    assert answer.headers["X-RateLimit-Reset"] == str(int(NOW.timestamp()) + wait_s)


async def test_health_counts_against_no_limit(admin: AdminApp) -> None:
    record = tenant_record(rate_limit=1)
    await admin.tenants.create(record, BY)
    async with admin.client(await admin.key_of(record)) as client:
        assert [(await client.get("/health/live")).status_code for _ in range(3)] == [200, 200, 200]
        assert (await client.get("/dead-letters")).status_code == 200


async def test_a_raised_limit_is_in_force_within_a_second(admin: AdminApp) -> None:
    record = tenant_record(rate_limit=1)
    await admin.tenants.create(record, BY)
    key = await admin.key_of(record)
    async with admin.client(key) as client, admin.client() as staff:
        assert [(await client.get("/dead-letters")).status_code for _ in range(2)] == [200, 429]
        assert (await staff.patch(f"/tenants/{record.tenant_id}", json={"rateLimit": 200})).status_code == 200
        admin.seconds += 1
        assert (await client.get("/dead-letters")).status_code == 200


async def test_without_redis_nobody_is_limited_or_locked_out(pool: Pool) -> None:
    record = tenant_record(rate_limit=1)
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        admin = AdminApp(pool, away)
        await admin.tenants.create(record, BY)
        async with admin.client(await admin.key_of(record)) as client:
            answers = [await client.get("/dead-letters") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "X-RateLimit-Limit" not in answers[0].headers


async def test_without_postgres_the_api_says_so_and_a_stranger_learns_no_address(redis: Redis) -> None:
    async with open_pool("postgresql://secret-user@127.0.0.1:1/none", min_size=0, max_size=1) as away:
        away.timeout = 0.05
        admin = AdminApp(away, redis)
        async with admin.client("tl_some_key") as client:
            stranger = await client.get("/tenants")
        async with admin.client() as client:
            known = await client.get("/tenants")
    assert (stranger.status_code, stranger.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert "secret-user" not in stranger.text and "127.0.0.1" not in stranger.text
    assert (known.status_code, known.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert known.headers["Retry-After"] == "1"
