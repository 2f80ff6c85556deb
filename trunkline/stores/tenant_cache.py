"""All that Redis keeps of one tenant, cleared on request: nothing of it is lost, only slower for a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fnmatch import fnmatchcase

from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.errors import StoreUnavailable
from trunkline.stores.database import Pool, connection
from trunkline.stores.keys import api_key_hint, of_tenant

# SCAN looks at so many keys at a time, and others are served in between.
SCANNED_AT_ONCE = 1000

_KEYS_OF_TENANT = "SELECT key_sha256 FROM tenant_api_keys WHERE tenant_id = %s"


class TenantCache:
    """Every method raises StoreUnavailable."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._redis = redis
        self._pool = pool

    async def clear(self, tenant_id: str, pattern: str | None = None) -> int:
        """Delete the tenant's keys, or those that match `pattern` with their names as a whole; how many there were.

        In a pattern `*` stands for anything, `?` for one character; `oauth:*` means `tenant:<id>:oauth:*`.
        """
        cleared = 0
        try:
            async for group in self._keys(tenant_id):
                wanted = [key for key in group if pattern is None or _matches(key, pattern, tenant_id)]
                cleared += int(await self._redis.delete(*wanted)) if wanted else 0
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error
        return cleared

    async def _keys(self, tenant_id: str) -> AsyncIterator[list[str]]:
        yield await self._hints(tenant_id)
        for names in of_tenant(tenant_id):
            cursor = 0
            while True:
                cursor, found = await self._redis.scan(cursor, match=names, count=SCANNED_AT_ONCE)
                yield [key.decode() if isinstance(key, bytes) else key for key in found]
                if cursor == 0:
                    break

    async def _hints(self, tenant_id: str) -> list[str]:
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_KEYS_OF_TENANT, (tenant_id,))).fetchall()
        return [api_key_hint(bytes(digest)) for (digest,) in rows]


def _matches(key: str, pattern: str, tenant_id: str) -> bool:
    return fnmatchcase(key, pattern) or fnmatchcase(key, f"tenant:{tenant_id}:{pattern}")
