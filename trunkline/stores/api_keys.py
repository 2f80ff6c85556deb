"""Keys of the admin API in Postgres, hashed. Redis gets a hint of each key in use, and is never asked for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import orjson
from psycopg.errors import ForeignKeyViolation
from psycopg.rows import class_row, dict_row
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.errors import NotFound
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.keys import API_KEY_TTL_S, api_key
from trunkline.tenancy.access import ApiKey, Principal, Role, hash_key, new_key

# A revoked or expired key, or a changed limit, is noticed after this long at the latest.
CACHE_S = 1.0
CACHE_SIZE = 10_000
# A Redis that hangs costs a request no more than this.
HINT_TIMEOUT_S = 0.25

_FIND = """
SELECT k.key_id, k.role, k.tenant_id, t.rate_limit
FROM tenant_api_keys k LEFT JOIN tenants t USING (tenant_id)
WHERE k.key_sha256 = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
  AND (k.tenant_id IS NULL OR t.status <> 'deleted')
"""

_LIST = """
SELECT key_id, role, name, tenant_id, created_at, expires_at FROM tenant_api_keys
WHERE tenant_id IS NOT DISTINCT FROM %s AND revoked_at IS NULL
ORDER BY created_at, key_id
"""

_INSERT = """
INSERT INTO tenant_api_keys (key_id, tenant_id, role, name, key_sha256, expires_at)
VALUES (%s, %s, %s, %s, %s, %s)
"""

_REVOKE = """
UPDATE tenant_api_keys SET revoked_at = now()
WHERE key_id = %s AND tenant_id IS NOT DISTINCT FROM %s AND revoked_at IS NULL
RETURNING key_sha256
"""


async def insert_key(
    taken: Connection, role: Role, tenant_id: str | None, name: str, expires_at: datetime | None
) -> tuple[str, str]:
    """Make a key within the caller's transaction: `(key_id, key)`."""
    key_id, key = new_key()
    await taken.execute(_INSERT, (key_id, tenant_id, role.value, name, hash_key(key), expires_at))
    return key_id, key


class ApiKeyStore:
    """Makes, finds and revokes keys."""

    def __init__(self, pool: Pool, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._redis = redis
        self._clock = clock
        self._found: dict[bytes, tuple[float, Principal | None]] = {}

    async def create(
        self, role: Role, tenant_id: str | None, name: str, expires_at: datetime | None = None
    ) -> tuple[str, str]:
        """A new key: `(key_id, key)`; raises NotFound when there is no such tenant."""
        try:
            async with connection(self._pool) as taken:
                return await insert_key(taken, role, tenant_id, name, expires_at)
        except ForeignKeyViolation:
            raise NotFound("Tenant") from None

    async def find(self, key: str) -> Principal | None:
        """Who holds this key; None when it is unknown, revoked, expired, or its tenant deleted."""
        digest = hash_key(key)
        cached = self._found.get(digest)
        if cached is not None and cached[0] > self._clock():
            return cached[1]
        principal = await self._load(digest)
        if len(self._found) >= CACHE_SIZE:
            self._found.clear()
        self._found[digest] = (self._clock() + CACHE_S, principal)
        if principal is not None:
            await self._hint(key, principal)
        return principal

    async def list_keys(self, tenant_id: str | None) -> list[ApiKey]:
        """The keys of a tenant, or with None those of admins and operators; revoked ones are left out."""
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(ApiKey)) as cursor:
            await cursor.execute(_LIST, (tenant_id,))
            return await cursor.fetchall()

    async def revoke(self, tenant_id: str | None, key_id: str) -> bool:
        """Whether there was such a key to revoke; other processes notice within CACHE_S."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_REVOKE, (key_id, tenant_id))).fetchone()
        if row is None:
            return False
        self._found.pop(bytes(row[0]), None)
        return True

    async def _load(self, digest: bytes) -> Principal | None:
        async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            row = await (await cursor.execute(_FIND, (digest,))).fetchone()
        if row is None:
            return None
        return Principal(row["key_id"], Role(row["role"]), row["tenant_id"], row["rate_limit"])

    async def _hint(self, key: str, principal: Principal) -> None:
        value = orjson.dumps({"tenantId": principal.tenant_id, "role": principal.role.value})
        try:
            async with asyncio.timeout(HINT_TIMEOUT_S):
                await self._redis.set(api_key(key), value, ex=API_KEY_TTL_S)
        except (RedisError, OSError, TimeoutError):
            return  # a hint that nobody has to have
