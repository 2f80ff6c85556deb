"""The directory: fresh from the source, and asking it before a webhook is nobody's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes import Clock, MemoryTenants
from tests.trunkline.records import tenant_record
from trunkline.errors import StoreUnavailable
from trunkline.tenancy.directory import LONGEST_ID, MISSES_REMEMBERED, TenantDirectory
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord

DEFAULT = MetaApp("default", (Secret("s"),), (Secret("v"),))
ACME, BETA = tenant_record("acme"), tenant_record("beta")


def with_number(record: TenantRecord, number: str) -> TenantRecord:
    return replace(record, whatsapp=replace(record.whatsapp, phone_number_id=number))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> MemoryTenants:
    return MemoryTenants(ACME)


@pytest.fixture
async def directory(source: MemoryTenants, clock: Clock) -> TenantDirectory:
    loaded = TenantDirectory(source, DEFAULT, clock)
    await loaded.reload()
    source.asked.clear()
    return loaded


async def test_a_loaded_tenant_is_found_by_all_its_ids_without_asking(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    assert directory.by_id("acme") == ACME
    assert await directory.by_phone_number(ACME.whatsapp.phone_number_id) == ACME
    assert await directory.by_integration(ACME.genesys.integration_id) == ACME
    assert source.asked == []


async def test_a_tenant_made_a_moment_ago_is_looked_up_and_then_known_by_every_id(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    source.records["beta"] = BETA
    assert await directory.by_phone_number(BETA.whatsapp.phone_number_id) == BETA
    assert await directory.by_integration(BETA.genesys.integration_id) == BETA
    assert source.asked == [BETA.whatsapp.phone_number_id]


async def test_a_miss_is_remembered_for_a_second(
    directory: TenantDirectory, source: MemoryTenants, clock: Clock
) -> None:
    for _ in range(3):
        assert await directory.by_integration("nobody") is None
    assert source.asked == ["nobody"]
    clock.advance(1.0)
    assert await directory.by_integration("nobody") is None
    assert source.asked == ["nobody", "nobody"]


async def test_a_tenant_that_comes_in_ends_the_miss_at_once(directory: TenantDirectory, source: MemoryTenants) -> None:
    number = BETA.whatsapp.phone_number_id
    assert await directory.by_phone_number(number) is None
    source.records["beta"] = BETA
    await directory.refresh("beta")
    assert await directory.by_phone_number(number) == BETA


async def test_a_number_and_an_integration_of_the_same_name_are_two_things(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    await directory.by_phone_number("7")
    await directory.by_integration("7")
    assert source.asked == ["7", "7"]


async def test_only_the_source_can_say_nobody_so_its_absence_is_an_error(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    source.away = True
    with pytest.raises(StoreUnavailable):
        await directory.by_integration("nobody")
    assert await directory.by_phone_number(ACME.whatsapp.phone_number_id) == ACME
    source.away = False
    assert await directory.by_integration("nobody") is None


async def test_what_no_id_can_be_is_neither_looked_up_nor_remembered(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    assert await directory.by_integration("x" * (LONGEST_ID + 1)) is None
    assert source.asked == []


async def test_misses_are_bounded(directory: TenantDirectory, source: MemoryTenants) -> None:
    for number in range(MISSES_REMEMBERED + 1):
        await directory.by_phone_number(f"n{number}")
    source.asked.clear()
    await directory.by_phone_number("n0")
    assert source.asked == ["n0"], "the oldest misses are forgotten"


@pytest.mark.parametrize("order", [["acme", "beta"], ["beta", "acme"]])
async def test_a_number_that_moved_is_its_new_owners_whatever_is_heard_first(
    directory: TenantDirectory, source: MemoryTenants, order: list[str]
) -> None:
    moved = ACME.whatsapp.phone_number_id
    source.records = {"acme": with_number(ACME, "9"), "beta": with_number(BETA, moved)}
    for tenant_id in order:
        await directory.refresh(tenant_id)
    owner = await directory.by_phone_number(moved)
    assert owner is not None
    assert owner.tenant_id == "beta"
    assert source.asked == order


async def test_a_tenant_that_is_gone_is_gone_by_every_id(directory: TenantDirectory, source: MemoryTenants) -> None:
    source.records.clear()
    await directory.refresh("acme")
    assert directory.by_id("acme") is None
    assert await directory.by_phone_number(ACME.whatsapp.phone_number_id) is None
    assert await directory.by_integration(ACME.genesys.integration_id) is None
    assert len(directory) == 0


async def test_a_reload_takes_over_changes_additions_and_removals(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    heard: list[tuple[str, TenantRecord | None]] = []
    directory.on_change = lambda tenant_id, record: heard.append((tenant_id, record))
    renamed = replace(ACME, name="Acme Ltd")
    source.records = {"acme": renamed, "beta": BETA}
    await directory.reload()
    source.records = {"beta": BETA}
    await directory.reload()
    assert heard == [("acme", renamed), ("beta", BETA), ("acme", None)]


async def test_a_reload_that_fails_keeps_what_is_known(directory: TenantDirectory, source: MemoryTenants) -> None:
    source.away = True
    with pytest.raises(StoreUnavailable):
        await directory.reload()
    assert directory.by_id("acme") == ACME


async def test_further_apps_come_and_go_and_the_default_one_stays(
    directory: TenantDirectory, source: MemoryTenants
) -> None:
    own = MetaApp("acme-app", (Secret("s2"),), (Secret("v2"),))
    source.apps = [own]
    await directory.refresh_apps()
    assert (directory.app("acme-app"), directory.app("default")) == (own, DEFAULT)
    source.apps = []
    await directory.refresh_apps()
    assert (directory.app("acme-app"), directory.app("default")) == (None, DEFAULT)
