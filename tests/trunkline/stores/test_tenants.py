"""The directory of tenants and Meta apps on a real Postgres."""

from __future__ import annotations

import dataclasses
import secrets
import time

import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.trunkline.records import ACCESS_TOKEN, BY, CLIENT_SECRET, WEBHOOK_SECRET, tenant_record
from trunkline.errors import Conflict, NotFound, Sealed
from trunkline.stores.database import Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord, TenantSettings, TenantStatus

pytestmark = pytest.mark.services

KEY = Fernet.generate_key().decode()


@pytest.fixture
def store(pool: Pool) -> TenantStore:
    return TenantStore(pool, Sealer([KEY]))


async def test_a_tenant_comes_back_as_it_was_stored(store: TenantStore) -> None:
    record = tenant_record(settings=TenantSettings(genesys_requests_per_minute=600), dedicated=True)
    await store.create(record, BY)
    assert await store.get(record.tenant_id) == record
    assert await store.find_by_phone_number(record.whatsapp.phone_number_id) == record
    assert await store.find_by_integration(record.genesys.integration_id) == record


async def test_who_is_not_there_is_none(store: TenantStore) -> None:
    assert await store.get("nobody") is None
    assert await store.find_by_phone_number("1") is None
    assert await store.find_by_integration("1") is None
    assert await store.delete("nobody", BY) is False


async def test_no_secret_can_be_read_in_the_tables(store: TenantStore, pool: Pool) -> None:
    await store.create(tenant_record(), BY)
    await store.create_app(MetaApp(_name(), (Secret(ACCESS_TOKEN),), (Secret(WEBHOOK_SECRET),)), BY)
    async with connection(pool) as taken:
        rows = await (
            await taken.execute(
                "SELECT t::text FROM tenant_credentials t UNION ALL SELECT k::text FROM tenant_api_keys k "
                "UNION ALL SELECT a::text FROM meta_apps a UNION ALL SELECT t::text FROM tenants t"
            )
        ).fetchall()
    stored = "".join(row[0] for row in rows)
    for secret in (ACCESS_TOKEN, CLIENT_SECRET, WEBHOOK_SECRET):
        assert secret not in stored
        assert secret.encode().hex() not in stored


@pytest.mark.parametrize("field", ["tenantId", "whatsapp.phoneNumberId", "genesys.integrationId"])
async def test_what_is_taken_is_named(store: TenantStore, field: str) -> None:
    first, second = tenant_record(), tenant_record()
    await store.create(first, BY)
    same = {
        "tenantId": {"tenant_id": first.tenant_id},
        "whatsapp.phoneNumberId": {"whatsapp": first.whatsapp},
        "genesys.integrationId": {"genesys": first.genesys},
    }[field]
    with pytest.raises(Conflict) as caught:
        await store.create(dataclasses.replace(second, **same), BY)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert await store.get(second.tenant_id) is None


async def test_a_deleted_tenant_frees_its_number_and_integration_but_not_its_id(store: TenantStore) -> None:
    record = tenant_record()
    await store.create(record, BY)
    assert await store.delete(record.tenant_id, BY) is True
    assert await store.get(record.tenant_id) is None
    assert await store.find_by_phone_number(record.whatsapp.phone_number_id) is None
    assert await store.delete(record.tenant_id, BY) is False

    await store.create(tenant_record(whatsapp=record.whatsapp, genesys=record.genesys), BY)
    with pytest.raises(Conflict, match="tenantId"):
        await store.create(tenant_record(record.tenant_id), BY)


async def test_an_update_changes_what_it_says_and_moves_the_time(store: TenantStore) -> None:
    record = tenant_record()
    await store.create(record, BY)
    whatsapp = dataclasses.replace(record.whatsapp, access_token=Secret("another"))
    updated = await store.update(
        record.tenant_id,
        lambda before: dataclasses.replace(before, status=TenantStatus.SUSPENDED, whatsapp=whatsapp),
        BY,
    )
    assert updated == await store.get(record.tenant_id)
    assert updated.updated_at > record.updated_at
    assert dataclasses.replace(updated, updated_at=record.updated_at) == dataclasses.replace(
        record, status=TenantStatus.SUSPENDED, whatsapp=whatsapp
    )


async def test_an_update_that_fails_leaves_all_as_it_was(store: TenantStore) -> None:
    record, other = tenant_record(), tenant_record()
    await store.create(record, BY)
    await store.create(other, BY)

    def refuse(_: TenantRecord) -> TenantRecord:
        raise ValueError

    with pytest.raises(ValueError):
        await store.update(record.tenant_id, refuse, BY)
    with pytest.raises(Conflict, match=r"whatsapp\.phoneNumberId"):
        await store.update(
            record.tenant_id, lambda before: dataclasses.replace(before, name="x", whatsapp=other.whatsapp), BY
        )
    with pytest.raises(NotFound):
        await store.update("nobody", lambda before: before, BY)
    assert await store.get(record.tenant_id) == record


async def test_every_change_is_announced(store: TenantStore, database_url: str) -> None:
    record, app = tenant_record(), _name()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as listener:
        await listener.execute("LISTEN trunkline_directory")
        await store.create(record, BY)
        await store.update(record.tenant_id, lambda before: dataclasses.replace(before, name="new"), BY)
        await store.create_app(MetaApp(app, (Secret("a"),), (Secret("b"),)), BY)
        await store.delete(record.tenant_id, BY)
        heard = {notify.payload async for notify in listener.notifies(timeout=0.2)}
    assert heard == {f"tenant:{record.tenant_id}", f"app:{app}"}


async def test_a_window_that_was_not_set_follows_the_default(pool: Pool) -> None:
    record = tenant_record(settings=TenantSettings(phone_with_plus=True))
    await TenantStore(pool, Sealer([KEY]), 48).create(record, BY)
    today = await TenantStore(pool, Sealer([KEY]), 48).update(record.tenant_id, lambda before: before, BY)
    assert (today.settings.conversation_window_hours, today.settings.phone_with_plus) == (48, True)
    tomorrow = await TenantStore(pool, Sealer([KEY]), 24).get(record.tenant_id)
    assert tomorrow is not None and tomorrow.settings.conversation_window_hours == 24


async def test_pages_follow_each_other_without_gap_or_overlap(store: TenantStore) -> None:
    made = {record.tenant_id for record in [tenant_record() for _ in range(5)] if await store.create(record, BY)}
    everything = [record.tenant_id for record in await store.load_all()]
    assert made <= set(everything) and everything == sorted(everything)
    paged: list[str] = []
    while page := await store.list_tenants(2, paged[-1] if paged else None):
        assert len(page) <= 2
        paged += [record.tenant_id for record in page]
    assert paged == everything


async def test_one_tenant_whose_secrets_are_lost_does_not_hide_the_others(
    store: TenantStore, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    lost, good = tenant_record(), tenant_record()
    await TenantStore(pool, Sealer([Fernet.generate_key().decode()])).create(lost, BY)
    await store.create(good, BY)
    loaded = {record.tenant_id for record in await store.load_all()}
    assert good.tenant_id in loaded and lost.tenant_id not in loaded
    assert "tenant.sealed" in caplog.messages
    with pytest.raises(Sealed):
        await store.get(lost.tenant_id)
    with pytest.raises(Sealed):
        await TenantStore(pool, Sealer([Fernet.generate_key().decode()])).load_all()
    await store.delete(lost.tenant_id, BY)


async def test_meta_apps_keep_several_secrets(store: TenantStore) -> None:
    app = MetaApp(_name(), (Secret("new"), Secret("old")), (Secret("verify"),))
    await store.create_app(app, BY)
    with pytest.raises(Conflict, match="app"):
        await store.create_app(app, BY)
    assert app in await store.list_apps() and app in await store.load_apps()
    assert await store.has_app(app.app) is True
    assert await store.delete_app(app.app, BY) is True
    assert await store.delete_app(app.app, BY) is False
    assert await store.has_app(app.app) is False


async def test_a_meta_app_knows_whose_numbers_belong_to_it(store: TenantStore) -> None:
    app = _name()
    record = tenant_record(whatsapp=dataclasses.replace(tenant_record().whatsapp, app=app))
    await store.create(record, BY)
    assert await store.tenants_of_app(app) == [record.tenant_id]
    await store.delete(record.tenant_id, BY)
    assert await store.tenants_of_app(app) == []


async def test_a_thousand_tenants_load_in_a_moment(store: TenantStore, pool: Pool) -> None:
    first = tenant_record()
    await store.create(first, BY)
    prefix = f"many-{secrets.token_hex(4)}-"
    async with connection(pool) as taken:
        await taken.execute(
            "INSERT INTO tenants SELECT %(prefix)s || n, name, status, rate_limit, dedicated, settings "
            "FROM tenants, generate_series(1, 1000) n WHERE tenant_id = %(first)s",
            {"prefix": prefix, "first": first.tenant_id},
        )
        await taken.execute(
            "INSERT INTO tenant_credentials SELECT %(prefix)s || n, true, meta_app, phone_number_id || '-' || n, "
            "waba_id, display_phone_number, access_token, genesys_region, genesys_client_id, genesys_client_secret, "
            "integration_id || '-' || n, webhook_secret "
            "FROM tenant_credentials, generate_series(1, 1000) n WHERE tenant_id = %(first)s",
            {"prefix": prefix, "first": first.tenant_id},
        )
    started = time.perf_counter()
    loaded = [record for record in await store.load_all() if record.tenant_id.startswith(prefix)]
    assert len(loaded) == 1000
    assert time.perf_counter() - started < 3


def _name() -> str:
    return f"app-{secrets.token_hex(4)}"
