"""Requests per UTC minute, counted in Redis."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta, timezone

import pytest
from redis.asyncio import Redis

from trunkline.stores.request_counts import RequestCounts

pytestmark = pytest.mark.services

NOON = datetime(2026, 11, 23, 12, 0, 59, tzinfo=UTC)


async def test_each_tenant_and_each_utc_minute_is_counted_by_itself(redis: Redis) -> None:
    counts, tenant, other = RequestCounts(redis), secrets.token_hex(6), secrets.token_hex(6)
    assert [await counts.add(tenant, NOON) for _ in range(3)] == [1, 2, 3]
    assert await counts.add(other, NOON) == 1
    assert [await counts.used(each, NOON) for each in (tenant, other, "nobody")] == [3, 1, 0]
    assert await counts.add(tenant, NOON + timedelta(seconds=1)) == 1
    assert await counts.add(tenant, NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))) == 4
    assert await redis.get(f"ratelimit:{tenant}:202611231200") == b"4"
    assert 0 < await redis.ttl(f"ratelimit:{tenant}:202611231200") <= 120


async def test_what_somebody_else_wrote_there_locks_nobody_out(redis: Redis) -> None:
    tenant = secrets.token_hex(6)
    await redis.set(f"ratelimit:{tenant}:202611231200", "not a number", ex=5)
    assert await RequestCounts(redis).add(tenant, NOON) is None


async def test_without_redis_nobody_can_tell() -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        assert await RequestCounts(away).add("t", NOON) is None
        assert await RequestCounts(away).used("t", NOON) is None
