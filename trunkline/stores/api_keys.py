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

from trunkline.errors import NotFound, StoreUnavailable
from trunkline.stores.audit import append
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.keys import API_KEY_TTL_S, api_key
from trunkline.tenancy.access import ApiKey, Principal, Role, hash_key, new_key
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.tenancy.audited import key_facts

# A revoked or expired key, or a changed limit, is noticed after this long at the latest, counted from the beginning of
# a look-up. So short that it needs no notification, which can be lost: two look-ups a second for each key in use.
CACHE_S = 0.5
CACHE_SIZE = 10_000
# A Redis that hangs costs a request no more than this.
HINT_TIMEOUT_S = 0.25
# The last use of a key is written no more often.
USE_NOTED_EVERY_S = 60.0

_FIND = """
SELECT k.key_id, k.role, k.tenant_id, t.rate_limit
FROM tenant_api_keys k LEFT JOIN tenants t USING (tenant_id)
WHERE k.key_sha256 = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
  AND (k.tenant_id IS NULL OR t.status <> 'deleted')
"""

_LIST = """
SELECT key_id, role, name, tenant_id, created_at, expires_at, last_used_at FROM tenant_api_keys
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
RETURNING key_sha256, role, name, expires_at
"""

# Each replica notes uses of its own.
_NOTE_USE = """
UPDATE tenant_api_keys SET last_used_at = now()
WHERE key_id = %(key_id)s AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => %(every_s)s))
"""


async def insert_key(
    taken: Connection, role: Role, tenant_id: str | None, name: str, expires_at: datetime | None
) -> tuple[str, str]:
    """Make a key within the caller's transaction: `(key_id, key)`."""
    key_id, key = new_key()
    await taken.execute(_INSERT, (key_id, tenant_id, role.value, name, hash_key(key), expires_at))
    return key_id, key


class ApiKeyStore:
    """Makes, finds and revokes keys; every change is noted in the audit log with it, as done by `by`."""

    def __init__(self, pool: Pool, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._redis = redis
        self._clock = clock
        self._found: dict[bytes, tuple[float, Principal | None]] = {}
        self._noted_at: dict[str, float] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def create(
        self, role: Role, tenant_id: str | None, name: str, by: Actor, expires_at: datetime | None = None
    ) -> tuple[str, str]:
        """A new key: `(key_id, key)`; raises NotFound when there is no such tenant."""
        try:
            async with connection(self._pool) as taken:
                key_id, key = await insert_key(taken, role, tenant_id, name, expires_at)
                facts = key_facts(role, name, expires_at)
                await append(taken, AuditRecord(by, "key.created", tenant_id, key_id, after=facts))
                return key_id, key
        except ForeignKeyViolation:
            raise NotFound("Tenant") from None

    async def find(self, key: str) -> Principal | None:
        """Who holds this key; None when it is unknown, revoked, expired, or its tenant deleted."""
        digest = hash_key(key)
        cached = self._found.get(digest)
        began = self._clock()
        if cached is not None and cached[0] > began:
            return cached[1]
        principal = await self._load(digest)
        if len(self._found) >= CACHE_SIZE:
            self._found.clear()
        self._found[digest] = (began + CACHE_S, principal)
        if principal is not None:
            self._note_use(principal.key_id, began)
            await self._hint(key, principal)
        return principal

    async def list_keys(self, tenant_id: str | None) -> list[ApiKey]:
        """The keys of a tenant, or with None those of admins and operators; revoked ones are left out."""
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(ApiKey)) as cursor:
            await cursor.execute(_LIST, (tenant_id,))
            return await cursor.fetchall()

    async def revoke(self, tenant_id: str | None, key_id: str, by: Actor) -> bool:
        """Whether there was such a key to revoke; other processes notice within CACHE_S."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_REVOKE, (key_id, tenant_id))).fetchone()
            if row is None:
                return False
            digest, role, name, expires_at = row
            facts = key_facts(Role(role), name, expires_at)
            await append(taken, AuditRecord(by, "key.revoked", tenant_id, key_id, before=facts))
        self._found.pop(bytes(digest), None)
        return True

    async def _load(self, digest: bytes) -> Principal | None:
        async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            row = await (await cursor.execute(_FIND, (digest,))).fetchone()
        if row is None:
            return None
        return Principal(row["key_id"], Role(row["role"]), row["tenant_id"], row["rate_limit"])

    def _note_use(self, key_id: str, now: float) -> None:
        """Have the key's last use written, unless that was done a moment ago; nobody waits for it."""
        if now - self._noted_at.get(key_id, -USE_NOTED_EVERY_S) < USE_NOTED_EVERY_S:
            return
        if len(self._noted_at) >= CACHE_SIZE:
            self._noted_at.clear()
        self._noted_at[key_id] = now
        noting = asyncio.create_task(self._write_use(key_id), name="key-use")
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _write_use(self, key_id: str) -> None:
        try:
            async with connection(self._pool) as taken:
                await taken.execute(_NOTE_USE, {"key_id": key_id, "every_s": USE_NOTED_EVERY_S})
        except StoreUnavailable:
            self._noted_at.pop(key_id, None)  # its next use is as good

    async def _hint(self, key: str, principal: Principal) -> None:
        value = orjson.dumps({"tenantId": principal.tenant_id, "role": principal.role.value})
        try:
            async with asyncio.timeout(HINT_TIMEOUT_S):
                await self._redis.set(api_key(key), value, ex=API_KEY_TTL_S)
        except (RedisError, OSError, TimeoutError):
            return  # a hint that nobody has to have
