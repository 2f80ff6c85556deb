"""Following changes of tenants on a real Postgres: told within a second, and loaded anew after every loss."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from cryptography.fernet import Fernet

from scripts.faults.tcp_proxy import TcpProxy, proxied
from tests.trunkline.records import BY, tenant_record
from trunkline.stores.database import Pool, conninfo
from trunkline.stores.directory_feed import DirectoryFeed
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import MetaApp, Secret, TenantStatus

pytestmark = pytest.mark.services

KEY = Fernet.generate_key().decode()
DEFAULT_APP = MetaApp("default", (Secret("secret"),), (Secret("verify"),))


class CountingDirectory(TenantDirectory):
    """The real directory, which tells how often it was loaded in full."""

    reloads = 0

    async def reload(self) -> None:
        """Count, and take over everything."""
        await super().reload()
        self.reloads += 1


@pytest.fixture
def tenants(pool: Pool) -> TenantStore:
    return TenantStore(pool, Sealer([KEY]))


@pytest.fixture
def directory(tenants: TenantStore) -> CountingDirectory:
    return CountingDirectory(tenants, DEFAULT_APP)


@pytest.fixture
async def network(database_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A way to Postgres that can be broken, and the conninfo that takes it."""
    parameters = psycopg.conninfo.conninfo_to_dict(database_url)
    async with proxied(f"postgresql://{parameters['host']}:{parameters.get('port') or 5432}") as (proxy, _):
        yield proxy, conninfo(database_url, host="127.0.0.1", port=proxy.port)


@pytest.fixture
async def feed(network: tuple[TcpProxy, str], directory: CountingDirectory) -> AsyncIterator[DirectoryFeed]:
    """A feed that has loaded the directory once."""
    made = DirectoryFeed(network[1], directory)
    made.start()
    async with asyncio.timeout(10):
        await made.loaded.wait()
    yield made
    await made.close()


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Return when it holds; fails if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_everything_is_known_once_it_is_loaded(
    tenants: TenantStore, directory: CountingDirectory, database_url: str
) -> None:
    record = tenant_record()
    await tenants.create(record, BY)
    feed = DirectoryFeed(database_url, directory)
    feed.start()
    async with asyncio.timeout(10):
        await feed.loaded.wait()
    assert directory.by_id(record.tenant_id) == record
    await feed.close()


async def test_a_change_arrives_within_a_second(
    feed: DirectoryFeed, tenants: TenantStore, directory: CountingDirectory
) -> None:
    record = tenant_record()
    await tenants.create(record, BY)
    await within(1.0, lambda: directory.by_id(record.tenant_id) == record)

    def suspended() -> bool:
        known = directory.by_id(record.tenant_id)
        return known is not None and known.status is TenantStatus.SUSPENDED

    await tenants.update(record.tenant_id, lambda old: dataclasses.replace(old, status=TenantStatus.SUSPENDED), BY)
    await within(1.0, suspended)
    await tenants.delete(record.tenant_id, BY)
    await within(1.0, lambda: directory.by_id(record.tenant_id) is None)
    assert directory.reloads == 1  # each was taken over on its own


async def test_a_new_secret_of_a_tenant_and_a_new_meta_app_arrive_too(
    feed: DirectoryFeed, tenants: TenantStore, directory: CountingDirectory
) -> None:
    record = tenant_record()
    await tenants.create(record, BY)
    changed = dataclasses.replace(record.genesys, client_secret=Secret("another secret"))
    await tenants.update(record.tenant_id, lambda old: dataclasses.replace(old, genesys=changed), BY)

    def has_changed() -> bool:
        known = directory.by_id(record.tenant_id)
        return known is not None and known.genesys == changed

    await within(1.0, has_changed)
    app = MetaApp(f"app-{record.tenant_id}", (Secret("s"),), (Secret("v"),))
    await tenants.create_app(app, BY)
    await within(1.0, lambda: directory.app(app.app) == app)


async def test_after_its_backend_was_ended_everything_is_loaded_anew(
    feed: DirectoryFeed, tenants: TenantStore, directory: CountingDirectory, pool: Pool
) -> None:
    async with pool.connection() as taken:
        ended = await taken.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        )
        assert await ended.fetchall() == [(True,)]
    await within(10, lambda: directory.reloads == 2)
    record = tenant_record()
    await tenants.create(record, BY)
    await within(1.0, lambda: directory.by_id(record.tenant_id) == record)


async def test_what_changed_while_postgres_could_not_be_reached_is_known_afterwards(
    feed: DirectoryFeed, tenants: TenantStore, directory: CountingDirectory, network: tuple[TcpProxy, str]
) -> None:
    gone, made = tenant_record(), tenant_record()
    await tenants.create(gone, BY)
    await within(1.0, lambda: directory.by_id(gone.tenant_id) == gone)
    await network[0].refuse()
    await tenants.create(made, BY)
    await tenants.delete(gone.tenant_id, BY)
    assert directory.by_id(gone.tenant_id) == gone  # what it knows it keeps, however old
    await network[0].open()
    await within(10, lambda: directory.by_id(made.tenant_id) == made and directory.by_id(gone.tenant_id) is None)
