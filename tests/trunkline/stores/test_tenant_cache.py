"""Clearing what a real Redis keeps of a tenant: all of it or what matches, and never another's."""

from __future__ import annotations

import hashlib
import secrets

import pytest
from redis.asyncio import Redis

from tests.trunkline.records import BY
from trunkline.errors import StoreUnavailable
from trunkline.stores.api_keys import ApiKeyStore
from trunkline.stores.database import Pool
from trunkline.stores.tenant_cache import TenantCache
from trunkline.tenancy.access import Role

pytestmark = pytest.mark.services


async def fill(redis: Redis, tenant_id: str) -> list[str]:
    keys = [
        f"tenant:{tenant_id}:oauth:token",
        f"tenant:{tenant_id}:mapping:wa:447700900123",
        f"tenant:{tenant_id}:mapping:conv:{secrets.token_hex(4)}",
        f"ratelimit:{tenant_id}:202611231200",
    ]
    for key in keys:
        await redis.set(key, "x", ex=60)
    return keys


async def left(redis: Redis, keys: list[str]) -> list[bool]:
    return [bool(await redis.exists(key)) for key in keys]


async def test_everything_of_the_tenant_goes_and_nothing_of_others(pool: Pool, redis: Redis, tenant_id: str) -> None:
    keys, others = await fill(redis, tenant_id), await fill(redis, f"{tenant_id}-2")
    store = ApiKeyStore(pool, redis)
    _, key = await store.create(Role.TENANT, tenant_id, "test", BY)
    await store.find(key)
    hint = f"apikey:{hashlib.sha256(key.encode()).hexdigest()}"
    assert await redis.exists(hint)
    assert await TenantCache(redis, pool).clear(tenant_id) == 5
    assert not any(await left(redis, [*keys, hint]))
    assert all(await left(redis, others))
    assert await TenantCache(redis, pool).clear(tenant_id) == 0


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("oauth:*", [True, False, False, False]),
        ("mapping:*", [False, True, True, False]),
        ("mapping:wa:44770090012?", [False, True, False, False]),
        ("tenant:*:oauth:token", [True, False, False, False]),
        ("ratelimit:*", [False, False, False, True]),
        ("*", [True, True, True, True]),
        ("nothing", [False, False, False, False]),
    ],
)
async def test_a_pattern_means_the_tenants_own_keys_by_their_whole_name_or_its_end(
    pool: Pool, redis: Redis, tenant_id: str, pattern: str, gone: list[bool]
) -> None:
    keys, others = await fill(redis, tenant_id), await fill(redis, f"{tenant_id}-2")
    assert await TenantCache(redis, pool).clear(tenant_id, pattern) == sum(gone)
    assert [not each for each in await left(redis, keys)] == gone
    assert all(await left(redis, others))


async def test_without_redis_there_is_nothing_to_clear(pool: Pool, tenant_id: str) -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        with pytest.raises(StoreUnavailable, match="Cannot connect to Redis"):
            await TenantCache(away, pool).clear(tenant_id)
