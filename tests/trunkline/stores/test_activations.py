"""Epochs on a real Postgres: each activation of a tenant has a higher one."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from tests.trunkline.records import BY, tenant_record
from trunkline.stores.activations import ActivationStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore

pytestmark = pytest.mark.services

KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


@pytest.fixture
async def tenant_id(pool: Pool) -> str:
    record = tenant_record()
    await TenantStore(pool, Sealer([KEY])).create(record, BY)
    return record.tenant_id


async def test_each_activation_has_the_next_epoch_and_is_known_by_its_cell(pool: Pool, tenant_id: str) -> None:
    store = ActivationStore(pool)
    assert [await store.activate(tenant_id, f"cell:{number}") for number in range(3)] == [1, 2, 3]
    async with connection(pool) as taken:
        query = "SELECT epoch, cell FROM tenant_activations WHERE tenant_id = %s"
        assert await (await taken.execute(query, (tenant_id,))).fetchall() == [(3, "cell:2")]


async def test_no_two_activations_at_the_same_moment_share_an_epoch(pool: Pool, tenant_id: str) -> None:
    store = ActivationStore(pool)
    epochs = await asyncio.gather(*(store.activate(tenant_id, "cell:0") for _ in range(20)))
    assert sorted(epochs) == list(range(1, 21))


async def test_nobody_is_activated_who_is_not_there(pool: Pool) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await ActivationStore(pool).activate("nobody", "cell:0")
