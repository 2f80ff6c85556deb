"""How often each tenant called the admin API this minute, counted in Redis."""

from __future__ import annotations

import asyncio
from datetime import datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.stores.keys import RATE_LIMIT_TTL_S, rate_limit

# A Redis that hangs costs a request no more than this.
TIMEOUT_S = 0.25


class RequestCounts:
    """Counts requests in fixed UTC minutes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, tenant_id: str, now: datetime) -> int | None:
        """Count one request and answer this minute's number; None while Redis is away, so that nobody is locked out."""
        key = rate_limit(tenant_id, now)
        try:
            async with asyncio.timeout(TIMEOUT_S), self._redis.pipeline(transaction=True) as pipeline:
                pipeline.incr(key)
                pipeline.expire(key, RATE_LIMIT_TTL_S)
                count, _ = await pipeline.execute()
                return int(count)
        except (RedisError, OSError, TimeoutError, ValueError):
            return None

    async def used(self, tenant_id: str, now: datetime) -> int | None:
        """How many were counted in this minute; None while Redis is away."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return int(await self._redis.get(rate_limit(tenant_id, now)) or 0)
        except (RedisError, OSError, TimeoutError, ValueError):
            return None
