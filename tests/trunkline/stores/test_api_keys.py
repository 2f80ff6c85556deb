"""The directory of keys on a real Postgres and Redis."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from tests.trunkline.records import BY, tenant_record
from trunkline.errors import NotFound
from trunkline.stores.api_keys import CACHE_S, ApiKeyStore
from trunkline.stores.audit import AuditStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.keys import api_key
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.access import Principal, Role, hash_key
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
    await tenants.create(record, BY)
    return record


@pytest.fixture
def keys(pool: Pool, redis: Redis, clock: Clock) -> ApiKeyStore:
    return ApiKeyStore(pool, redis, clock)


async def test_a_key_opens_what_its_role_says(keys: ApiKeyStore, tenant: TenantRecord) -> None:
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    principal = await keys.find(key)
    assert principal is not None
    assert (principal.key_id, principal.role, principal.tenant_id) == (key_id, Role.TENANT, tenant.tenant_id)
    assert principal.rate_limit == 7
    _, admin = await keys.create(Role.ADMIN, None, "ops", BY)
    found = await keys.find(admin)
    assert found is not None and (found.role, found.tenant_id, found.rate_limit) == (Role.ADMIN, None, None)


async def test_keys_look_like_keys_and_only_their_hash_is_kept(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool
) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
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
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    assert await keys.find(key) and await elsewhere.find(key)
    assert await keys.revoke(tenant.tenant_id, key_id, BY) is True
    assert await keys.find(key) is None
    clock.now += CACHE_S
    assert await elsewhere.find(key) is None
    assert await keys.revoke(tenant.tenant_id, key_id, BY) is False


async def test_an_expired_key_opens_nothing(keys: ApiKeyStore, tenant: TenantRecord) -> None:
    now = datetime.now(UTC)
    _, expired = await keys.create(Role.TENANT, tenant.tenant_id, "old", BY, now - timedelta(seconds=1))
    _, good = await keys.create(Role.TENANT, tenant.tenant_id, "new", BY, now + timedelta(hours=1))
    assert await keys.find(expired) is None
    assert await keys.find(good) is not None


async def test_the_keys_of_a_deleted_tenant_open_nothing(
    keys: ApiKeyStore, tenants: TenantStore, tenant: TenantRecord, clock: Clock
) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    assert await keys.find(key) is not None
    await tenants.delete(tenant.tenant_id, BY)
    clock.now += CACHE_S
    assert await keys.find(key) is None


async def test_a_key_belongs_to_its_tenant_alone(keys: ApiKeyStore, tenants: TenantStore, tenant: TenantRecord) -> None:
    other = tenant_record()
    await tenants.create(other, BY)
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    assert await keys.revoke(other.tenant_id, key_id, BY) is False
    assert await keys.revoke(None, key_id, BY) is False
    assert [listed.key_id for listed in await keys.list_keys(tenant.tenant_id)][-1] == key_id
    assert key_id not in [listed.key_id for listed in await keys.list_keys(other.tenant_id)]
    assert await keys.find(key) is not None
    with pytest.raises(NotFound):
        await keys.create(Role.TENANT, "nobody", "shop", BY)


async def test_redis_gets_a_hint_that_is_never_a_right(keys: ApiKeyStore, tenant: TenantRecord, redis: Redis) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    await keys.find(key)
    hint = await redis.get(api_key(key))
    assert hint is not None and orjson.loads(hint) == {"tenantId": tenant.tenant_id, "role": "tenant"}
    assert 0 < await redis.ttl(api_key(key)) <= 3600
    await redis.set(api_key("tl_forged"), orjson.dumps({"tenantId": None, "role": "admin"}), ex=5)
    assert await keys.find("tl_forged") is None


async def test_without_redis_keys_open_all_the_same(pool: Pool, tenant: TenantRecord) -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        keys = ApiKeyStore(pool, away)
        _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
        assert await keys.find(key) is not None


async def test_a_look_up_that_began_before_a_revocation_is_not_trusted_for_longer(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool, redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ApiKeyStore(pool, redis, clock)
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    load = elsewhere._load

    async def slowly(digest: bytes) -> Principal | None:
        found = await load(digest)
        clock.now += CACHE_S
        return found

    monkeypatch.setattr(elsewhere, "_load", slowly)
    assert await elsewhere.find(key) is not None
    assert await keys.revoke(tenant.tenant_id, key_id, BY) is True
    assert await elsewhere.find(key) is None


async def _last_use(keys: ApiKeyStore, tenant: TenantRecord, key_id: str) -> datetime | None:
    """When the key was last used, once all that this replica writes of it is written."""
    await asyncio.gather(*keys._noting)
    return {each.key_id: each.last_used_at for each in await keys.list_keys(tenant.tenant_id)}[key_id]


async def test_the_last_use_of_a_key_is_seen(keys: ApiKeyStore, tenant: TenantRecord) -> None:
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    assert await _last_use(keys, tenant, key_id) is None
    assert await keys.find(key) is not None
    used = await _last_use(keys, tenant, key_id)
    assert used is not None and abs(datetime.now(UTC) - used) < timedelta(minutes=1)


@pytest.mark.parametrize(("seconds", "is_written"), [(30, False), (90, True)])
async def test_the_last_use_of_a_key_is_written_once_a_minute_whichever_replica_is_asked(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool, redis: Redis, clock: Clock, seconds: int, is_written: bool
) -> None:
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    assert await keys.find(key) is not None
    await _last_use(keys, tenant, key_id)
    async with connection(pool) as taken:
        await taken.execute(
            "UPDATE tenant_api_keys SET last_used_at = now() - make_interval(secs => %s) WHERE key_id = %s",
            (seconds, key_id),
        )
    before = await _last_use(keys, tenant, key_id)
    clock.now += seconds
    for replica in (keys, ApiKeyStore(pool, redis, clock)):
        assert await replica.find(key) is not None
        assert (await _last_use(replica, tenant, key_id) != before) is is_written


async def test_a_key_is_looked_up_though_its_use_cannot_be_written(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool
) -> None:
    _, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY)
    async with pool.connection() as holding:
        await holding.execute("SELECT FROM tenant_api_keys WHERE key_sha256 = %s FOR UPDATE", (hash_key(key),))
        async with asyncio.timeout(5):
            assert await keys.find(key) is not None


async def test_who_made_and_revoked_a_key_is_in_the_audit_log(
    keys: ApiKeyStore, tenant: TenantRecord, pool: Pool
) -> None:
    expires_at = datetime(2030, 1, 1, tzinfo=UTC)
    key_id, key = await keys.create(Role.TENANT, tenant.tenant_id, "shop", BY, expires_at)
    await keys.revoke(tenant.tenant_id, key_id, BY)
    entries = await AuditStore(pool).entries(2, tenant_id=tenant.tenant_id)
    facts = {"role": "tenant", "name": "shop", "expiresAt": expires_at.isoformat()}
    assert [(each.record.action, each.record.subject, each.record.before, each.record.after) for each in entries] == [
        ("key.revoked", key_id, facts, None),
        ("key.created", key_id, None, facts),
    ]
    assert key not in str(entries)
