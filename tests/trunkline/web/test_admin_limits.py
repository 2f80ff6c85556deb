"""The limit of a tenant's requests: counted once, told on every answer, and nobody's trouble while Redis is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.trunkline.admin_app import NOW, AdminApp
from tests.trunkline.records import BY, tenant_record
from trunkline.stores.database import Pool
from trunkline.tenancy.record import TenantRecord
from trunkline.web.bodies import LARGEST

pytestmark = pytest.mark.services

MINUTE = f"{NOW:%Y%m%d%H%M}"


async def _limited(admin: AdminApp, rate_limit: int) -> TenantRecord:
    record = tenant_record(rate_limit=rate_limit)
    await admin.tenants.create(record, BY)
    return record


async def test_every_answer_to_a_tenants_key_tells_where_the_limit_stands(admin: AdminApp) -> None:
    record = await _limited(admin, 100)
    asked: list[tuple[int, dict[str, Any]]] = [
        (200, {"method": "GET", "url": f"/tenants/{record.tenant_id}"}),
        (404, {"method": "GET", "url": "/nothing"}),
        (404, {"method": "GET", "url": "/dead-letters", "headers": {"X-Tenant-ID": "another"}}),
        (405, {"method": "PUT", "url": "/dead-letters"}),
        (403, {"method": "GET", "url": "/tenants"}),
        (400, {"method": "POST", "url": "/dead-letters/replay", "json": {"limit": 0}}),
        (
            415,
            {"method": "POST", "url": "/dead-letters/replay", "content": b"1", "headers": {"Content-Type": "text/csv"}},
        ),
        (413, {"method": "POST", "url": "/dead-letters/replay", "content": b" " * (LARGEST + 1)}),
    ]
    async with admin.client(await admin.key_of(record)) as client:
        for number, (status, request) in enumerate(asked, start=1):
            answer = await client.request(**request)
            assert answer.status_code == status, request
            told = [answer.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
            assert told == ["100", str(100 - number), str(int(NOW.timestamp()) // 60 * 60 + 60)], request


async def test_of_requests_at_one_moment_as_many_pass_as_may(admin: AdminApp) -> None:
    record = await _limited(admin, 20)
    async with admin.client(await admin.key_of(record)) as client:
        path = f"/tenants/{record.tenant_id}"
        answers = await asyncio.gather(*(client.get(path) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 30}


async def test_the_count_is_an_integer_under_the_key_that_operators_know(admin: AdminApp, redis: Redis) -> None:
    record = await _limited(admin, 100)
    async with admin.client(await admin.key_of(record)) as client:
        for _ in range(3):
            await client.get("/dead-letters")
    key = f"ratelimit:{record.tenant_id}:{MINUTE}"
    assert await redis.get(key) == b"3"
    assert 0 < await redis.ttl(key) <= 120


async def test_the_keys_of_a_tenant_share_its_limit(admin: AdminApp) -> None:
    record = await _limited(admin, 2)
    statuses = []
    for key in [await admin.key_of(record) for _ in range(3)]:
        async with admin.client(key) as client:
            statuses.append((await client.get("/dead-letters")).status_code)
    assert statuses == [200, 200, 429]


async def test_a_redis_that_hangs_keeps_nobody_waiting(pool: Pool) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Redis.from_url(f"redis://127.0.0.1:{port}") as hanging:
        admin = AdminApp(pool, hanging)
        record = await _limited(admin, 1)
        async with admin.client(await admin.key_of(record)) as client, asyncio.timeout(30):
            answers = [await client.get("/dead-letters") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
