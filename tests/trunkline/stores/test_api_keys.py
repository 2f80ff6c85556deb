"""The directory of keys on a real Postgres and Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from tests.trunkline.records import tenant_record
from trunkline.errors import NotFound
from trunkline.stores.api_keys import CACHE_S, ApiKeyStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.keys import api_key
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.access import Role
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tenants(pool: Pool) -> TenantStore:
    return TenantStore(pool, Sealer([Fernet.generate_key().decode()]))


@pytest.fixture
async def tenant(tenants: TenantStore) -> TenantRecord:
    record = tenant_record(rate_limit=7)
    await tenants.create(record)
    return record


@pytest.fixture
def keys(pool: Pool, redis: Redis, clock: Clock) -> ApiKeyStore:
    return ApiKeyStore(pool, redis, clock)


async def test_a_key_opens_what_its_role_says(keys: ApiKeyStore, tenant: TenantRecord) -> None:
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
    principal = await keys.find(key)
    assert principal is not None
    assert (principal.key_id, principal.role, principal.tenant_id) == (key_id, Role.TENANT, tenant.tenant_id)
    assert principal.rate_limit == 7
    _, admin = await keys.create(Role.ADMIN, None, "ops")
    found = await keys.find(admin)
    assert found is not None and (found.role, found.tenant_id, found.rate_limit) == (Role.ADMIN, None, None)


async def test_keys_look_like_keys_and_only_their_hash_is_kept(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool
) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
    assert key.startswith("tl_") and len(key) > 40
    async with connection(pool) as taken:
        rows = await (await taken.execute("SELECT k::text FROM tenant_api_keys k")).fetchall()
    assert key not in str(rows)


@pytest.mark.parametrize("key", ["", "tl_unknown", "ümläut", "x" * 10_000])
async def test_an_unknown_key_opens_nothing(keys: ApiKeyStore, key: str) -> None:
    assert await keys.find(key) is None


async def test_a_revoked_key_opens_nothing_at_once_here_and_a_second_later_elsewhere(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool, redis: Redis, clock: Clock
) -> None:
    elsewhere = ApiKeyStore(pool, redis, clock)
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
    assert await keys.find(key) and await elsewhere.find(key)
    assert await keys.revoke(tenant.tenant_id, key_id) is True
    assert await keys.find(key) is None
    clock.now += CACHE_S
    assert await elsewhere.find(key) is None
    assert await keys.revoke(tenant.tenant_id, key_id) is False


async def test_an_expired_key_opens_nothing(keys: ApiKeyStore, tenant: TenantRecord) -> None:
    now = datetime.now(UTC)
    _, expired = await keys.create(Role.TENANT, tenant.tenant_id, "old", now - timedelta(seconds=1))
    _, good = await keys.create(Role.TENANT, tenant.tenant_id, "new", now + timedelta(hours=1))
    assert await keys.find(expired) is None
    assert await keys.find(good) is not None


async def test_the_keys_of_a_deleted_tenant_open_nothing(
    keys: ApiKeyStore, tenants: TenantStore, tenant: TenantRecord, clock: Clock
) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
    assert await keys.find(key) is not None
    await tenants.delete(tenant.tenant_id)
    clock.now += CACHE_S
    assert await keys.find(key) is None


async def test_a_key_belongs_to_its_tenant_alone(keys: ApiKeyStore, tenants: TenantStore, tenant: TenantRecord) -> None:
    other = tenant_record()
    await tenants.create(other)
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
    assert await keys.revoke(other.tenant_id, key_id) is False
    assert await keys.revoke(None, key_id) is False
    assert [listed.key_id for listed in await keys.list_keys(tenant.tenant_id)][-1] == key_id
    assert key_id not in [listed.key_id for listed in await keys.list_keys(other.tenant_id)]
    assert await keys.find(key) is not None
    with pytest.raises(NotFound):
        await keys.create(Role.TENANT, "nobody", "shop")


async def test_redis_gets_a_hint_that_is_never_a_right(keys: ApiKeyStore, tenant: TenantRecord, redis: Redis) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
    await keys.find(key)
    hint = await redis.get(api_key(key))
    assert hint is not None and orjson.loads(hint) == {"tenantId": tenant.tenant_id, "role": "tenant"}
    assert 0 < await redis.ttl(api_key(key)) <= 3600
    await redis.set(api_key("tl_forged"), orjson.dumps({"tenantId": None, "role": "admin"}), ex=5)
    assert await keys.find("tl_forged") is None


async def test_without_redis_keys_open_all_the_same(pool: Pool, tenant: TenantRecord) -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        keys = ApiKeyStore(pool, away)
        _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop")
        assert await keys.find(key) is not None
