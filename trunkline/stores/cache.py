"""The connection to Redis, where nothing is kept that may not be lost."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_S = 1.0


def open_redis(redis_url: str) -> Redis:
    """A client that gives up quickly: nothing may wait long for a cache."""
    return Redis.from_url(
        redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 1)
    )
