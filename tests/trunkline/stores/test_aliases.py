"""Addresses of people on a real Postgres."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from trunkline.people import Alias, Move
from trunkline.stores.aliases import AliasStore, learn_aliases
from trunkline.stores.database import Pool, connection

pytestmark = pytest.mark.services

PHONE, NEW_PHONE, BSUID = "447700900111", "447700900333", "GB.71204433551902288417"


@pytest.fixture
def store(pool: Pool) -> AliasStore:
    return AliasStore(pool)


@pytest.fixture
def tenant_id() -> str:
    return f"t-{secrets.token_hex(6)}"


async def learn(pool: Pool, *aliases: Alias) -> None:
    async with connection(pool) as taken:
        await learn_aliases(taken, aliases)


async def test_an_address_leads_to_its_person_within_the_tenant(store: AliasStore, pool: Pool, tenant_id: str) -> None:
    await learn(pool, Alias(tenant_id, BSUID, PHONE))
    found = await asyncio.gather(
        store.identity(tenant_id, BSUID), store.identity(tenant_id, PHONE), store.identity("somebody-else", BSUID)
    )
    assert list(found) == [PHONE, None, None]


async def test_what_was_learned_first_stays(store: AliasStore, pool: Pool, tenant_id: str) -> None:
    await learn(pool, Alias(tenant_id, BSUID, PHONE), Alias(tenant_id, BSUID, PHONE))
    await learn(pool, Alias(tenant_id, BSUID, BSUID))
    assert await store.identity(tenant_id, BSUID) == PHONE


async def test_a_person_who_moves_keeps_their_identity_and_is_written_to_at_the_latest_address(
    store: AliasStore, tenant_id: str
) -> None:
    assert await store.address(tenant_id, PHONE) is None
    moves = [Move(tenant_id, PHONE, NEW_PHONE, 1000.0), Move(tenant_id, NEW_PHONE, "447700900444", 2000.0)]
    for move in [*moves, *moves]:  # repeated, and the first one late
        await store.move(move)
    assert await store.identity(tenant_id, NEW_PHONE) == PHONE
    assert await store.identity(tenant_id, "447700900444") == PHONE
    assert await store.address(tenant_id, PHONE) == "447700900444"
    assert await store.address("somebody-else", PHONE) is None


async def test_a_person_who_moves_back_is_written_to_at_the_old_address(store: AliasStore, tenant_id: str) -> None:
    await store.move(Move(tenant_id, PHONE, NEW_PHONE, 1000.0))
    await store.move(Move(tenant_id, NEW_PHONE, PHONE, 2000.0))
    assert await store.address(tenant_id, PHONE) == PHONE
