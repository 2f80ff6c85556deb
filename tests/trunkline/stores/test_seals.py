"""Secrets at rest on their way from an old key to a new one, in a real Postgres and Redis."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from tests.trunkline.records import ACCESS_TOKEN, BY, tenant_record
from trunkline.errors import Sealed
from trunkline.stores.audit import AuditStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.seals import SealStore
from trunkline.stores.tenants import TenantStore
from trunkline.stores.tokens import RedisTokenCache
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord
from trunkline.tenancy.seals import Unopened
from trunkline.tenancy.tokens import Token

pytestmark = pytest.mark.services

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
APP = MetaApp("second", (Secret("app-secret-1"), Secret("app-secret-2")), (Secret("verify"),))


@pytest.fixture
async def tenants(pool: Pool) -> AsyncIterator[list[TenantRecord]]:
    """Three tenants, one of them deleted, and a Meta app, all sealed under the old key."""
    store = TenantStore(pool, Sealer([OLD]))
    records = [tenant_record(f"t{number}-{secrets.token_hex(4)}") for number in range(3)]
    for record in records:
        await store.create(record, BY)
    await store.create_app(APP, BY)
    await store.delete(records[2].tenant_id, BY)
    yield records
    async with connection(pool) as taken:
        await taken.execute("TRUNCATE tenants, meta_apps CASCADE")


async def test_all_is_sealed_under_the_first_key_and_the_old_one_can_go(
    pool: Pool, redis: Redis, tenants: list[TenantRecord]
) -> None:
    seals = SealStore(pool, redis, Sealer([NEW, OLD]))
    before = await seals.look(100)
    assert (before.sealed_by, before.checked, before.total, before.unopened) == ((0, 11), 11, 11, ())
    page = await seals.reseal(100, None, BY)
    assert (page.resealed, page.sealed_by, page.reached) == (11, (11, 0), None)
    assert (await seals.look(100)).sealed_by == (11, 0)

    only_new = TenantStore(pool, Sealer([NEW]))
    for record in tenants[:2]:
        opened = await only_new.get(record.tenant_id)
        assert opened is not None
        assert (opened.whatsapp.access_token, opened.genesys) == (Secret(ACCESS_TOKEN), record.genesys)
    assert await only_new.list_apps() == [APP]
    with pytest.raises(Sealed):
        await TenantStore(pool, Sealer([OLD])).get(tenants[0].tenant_id)


async def test_it_goes_on_where_it_was_broken_off_and_skips_what_is_done(
    pool: Pool, redis: Redis, tenants: list[TenantRecord]
) -> None:
    seals = SealStore(pool, redis, Sealer([NEW, OLD]))
    first = await seals.reseal(2, None, BY)
    assert (first.resealed, first.reached) == (5, ("tenant_credentials", tenants[0].tenant_id))
    again = await seals.reseal(2, None, BY)
    assert (again.resealed, again.checked) == (0, 5)
    rest = await seals.reseal(2, first.reached, BY)
    assert (rest.resealed, rest.checked, rest.reached) == (6, 6, None)
    assert (await seals.reseal(100, None, BY)).resealed == 0


async def test_what_was_sealed_anew_is_in_the_audit_log_and_no_secret_with_it(
    pool: Pool, redis: Redis, tenants: list[TenantRecord]
) -> None:
    await SealStore(pool, redis, Sealer([NEW, OLD])).reseal(100, None, BY)
    await SealStore(pool, redis, Sealer([NEW, OLD])).reseal(100, None, BY)  # does nothing, and says nothing
    entries = await AuditStore(pool).entries(10, action="secrets.resealed")
    newest = entries[0].record
    assert (newest.actor, newest.after) == (BY, {"resealed": 11, "checked": 11, "key": Sealer([NEW]).fingerprints[0]})
    assert len([each for each in entries if each.at >= entries[0].at]) == 1


async def test_what_no_key_opens_is_named_and_the_rest_is_done(
    pool: Pool, redis: Redis, tenants: list[TenantRecord]
) -> None:
    async with connection(pool) as taken:
        await taken.execute(
            "UPDATE tenant_credentials SET webhook_secret = %s WHERE tenant_id = %s",
            (Sealer([LOST]).seal(Secret("x")), tenants[1].tenant_id),
        )
    page = await SealStore(pool, redis, Sealer([NEW, OLD])).reseal(100, None, BY)
    assert page.unopened == (Unopened("tenant_credentials", tenants[1].tenant_id, "webhook_secret"),)
    assert (page.resealed, page.checked) == (10, 11)


async def test_a_change_at_the_same_moment_is_kept(pool: Pool, redis: Redis, tenants: list[TenantRecord]) -> None:
    sealer = Sealer([NEW, OLD])
    store, seals = TenantStore(pool, sealer), SealStore(pool, redis, sealer)
    tenant_id = tenants[0].tenant_id
    locked, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        """An update that stands between its lock and its commit."""
        async with connection(pool) as taken:
            await taken.execute("SELECT FROM tenant_credentials WHERE tenant_id = %s FOR UPDATE", (tenant_id,))
            await taken.execute(
                "UPDATE tenant_credentials SET access_token = %s WHERE tenant_id = %s",
                (Sealer([OLD]).seal(Secret("the-new-token")), tenant_id),
            )
            locked.set()
            await go_on.wait()

    holding = asyncio.create_task(hold())
    await locked.wait()
    resealing = asyncio.create_task(seals.reseal(100, None, BY))
    while not await _somebody_waits(pool):
        await asyncio.sleep(0.01)
    go_on.set()
    assert (await resealing).resealed == 11
    await holding
    opened = await TenantStore(pool, Sealer([NEW])).get(tenant_id)
    assert opened is not None and opened.whatsapp.access_token == Secret("the-new-token")

    def change(record: TenantRecord) -> TenantRecord:
        return replace(record, whatsapp=replace(record.whatsapp, access_token=Secret("a-newer-token")))

    await asyncio.gather(store.update(tenant_id, change, BY), *(seals.reseal(100, None, BY) for _ in range(3)))
    opened = await TenantStore(pool, Sealer([NEW])).get(tenant_id)
    assert opened is not None and opened.whatsapp.access_token == Secret("a-newer-token")


async def test_a_token_in_redis_is_sealed_anew_and_lives_no_longer_for_it(
    pool: Pool, redis: Redis, tenants: list[TenantRecord]
) -> None:
    now = time.time()
    token = Token(Secret("genesys-token"), now, now + 3600)
    tenant_id = tenants[0].tenant_id
    await RedisTokenCache(redis, Sealer([OLD]), tenant_id).save(token)
    left_s = await redis.ttl(f"tenant:{tenant_id}:oauth:token")
    await SealStore(pool, redis, Sealer([NEW, OLD])).reseal(100, None, BY)
    assert await RedisTokenCache(redis, Sealer([NEW]), tenant_id).load() == token
    assert 0 < await redis.ttl(f"tenant:{tenant_id}:oauth:token") <= left_s


async def test_redis_is_not_needed(pool: Pool, tenants: list[TenantRecord]) -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        assert (await SealStore(pool, away, Sealer([NEW, OLD])).reseal(100, None, BY)).resealed == 11


async def _somebody_waits(pool: Pool) -> bool:
    async with connection(pool) as taken:
        query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return (await taken.execute(query)).rowcount > 0
