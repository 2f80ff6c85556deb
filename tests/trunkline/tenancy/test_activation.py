"""Activation: one of each tenant in a cell, fresh, and gone when idle."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.fakes import Clock, LoginHost, MemoryConversations, MemoryTenants, MemoryTokenCache, until
from tests.trunkline.records import tenant_record
from trunkline.errors import StoreUnavailable
from trunkline.tenancy.activation import IDLE_S, Activations
from trunkline.tenancy.conversations import Conversations
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import MetaApp, TenantRecord
from trunkline.tenancy.tenant import Cloud, Tenant
from trunkline.tenancy.tokens import TokenKeeper

ACME = tenant_record("acme")


class Cell:
    """Activations as a cell has them, with epochs that grow."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.source = MemoryTenants(ACME)
        self.directory = TenantDirectory(self.source, MetaApp("default", (), ()), self.clock)
        self.activations = Activations(self.directory, self.activate, self.clock)
        self.directory.on_change = self.activations.changed
        self.epoch = 0
        self.error: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def activate(self, record: TenantRecord) -> Tenant:
        self.epoch += 1
        epoch = self.epoch
        await self.go.wait()
        if self.error is not None:
            raise self.error
        tokens = TokenKeeper(record.tenant_id, LoginHost(self.clock), MemoryTokenCache(), self.clock)
        conversations = Conversations(record.tenant_id, MemoryConversations(), self.clock)
        return Tenant(record, epoch, tokens, conversations, lambda _: LoginHost(self.clock), self.clock)


@pytest.fixture
def cell() -> Cell:
    return Cell()


async def test_callers_at_once_share_one_activation(cell: Cell) -> None:
    found = await asyncio.gather(*(cell.activations.of("acme") for _ in range(20)))
    assert len({id(tenant) for tenant in found}) == 1
    assert cell.epoch == 1
    assert len(cell.activations) == 1


async def test_a_caller_who_gives_up_does_not_end_the_activation(cell: Cell) -> None:
    cell.go.clear()
    gone = asyncio.create_task(cell.activations.of("acme"))
    await until(lambda: cell.epoch, "the activation")
    gone.cancel()
    stays = asyncio.create_task(cell.activations.of("acme"))
    cell.go.set()
    tenant = await stays
    assert tenant is not None
    assert (tenant.epoch, cell.epoch) == (1, 1)


async def test_an_unknown_tenant_is_looked_up_before_it_is_nobody(cell: Cell) -> None:
    assert await cell.activations.of("nobody") is None
    assert "nobody" in cell.source.asked
    assert cell.epoch == 0


async def test_a_failed_activation_is_tried_again_by_the_next_caller(cell: Cell) -> None:
    cell.error = StoreUnavailable("Postgres cannot be reached")
    with pytest.raises(StoreUnavailable):
        await cell.activations.of("acme")
    cell.error = None
    assert await cell.activations.of("acme") is not None


async def test_an_idle_tenant_is_passivated_and_comes_back_with_a_higher_epoch(cell: Cell) -> None:
    before = await cell.activations.of("acme")
    cell.clock.advance(IDLE_S)
    assert cell.activations.passivate_idle() == 0
    cell.clock.advance(0.1)
    assert cell.activations.passivate_idle() == 1
    assert cell.activations.active("acme") is None
    after = await cell.activations.of("acme")
    assert before is not None
    assert after is not None
    assert after.epoch > before.epoch


async def test_a_tenant_in_use_stays(cell: Cell) -> None:
    tenant = await cell.activations.of("acme")
    assert tenant is not None
    cell.clock.advance(IDLE_S)
    await tenant.admit([])
    cell.clock.advance(IDLE_S / 2)
    await tenant.standing(Cloud.WHATSAPP)
    cell.clock.advance(IDLE_S / 2 + 1)
    assert cell.activations.passivate_idle() == 0


async def test_a_changed_record_is_in_force_at_once(cell: Cell) -> None:
    tenant = await cell.activations.of("acme")
    cell.source.records["acme"] = replace(ACME, name="Acme Ltd")
    await cell.directory.refresh("acme")
    assert tenant is not None
    assert tenant.record.name == "Acme Ltd"


async def test_a_record_that_changed_during_activation_is_not_missed(cell: Cell) -> None:
    await cell.directory.reload()
    cell.go.clear()
    activating = asyncio.create_task(cell.activations.of("acme"))
    await until(lambda: cell.epoch, "the activation")
    cell.source.records["acme"] = replace(ACME, name="Acme Ltd")
    await cell.directory.refresh("acme")
    cell.go.set()
    tenant = await activating
    assert tenant is not None
    assert tenant.record.name == "Acme Ltd"


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_a_deleted_tenant_is_gone_whenever_that_is_heard(cell: Cell, when: str) -> None:
    await cell.directory.reload()
    if when == "before":
        cell.source.records.clear()
        await cell.directory.refresh("acme")
        assert await cell.activations.of("acme") is None
        return
    cell.go.clear()
    activating = asyncio.create_task(cell.activations.of("acme"))
    await until(lambda: cell.epoch, "the activation")
    if when == "after":
        cell.go.set()
        assert await activating is not None
    cell.source.records.clear()
    await cell.directory.refresh("acme")
    cell.go.set()
    await activating
    assert await cell.activations.of("acme") is None
    assert len(cell.activations) == 0


async def test_a_superseded_activation_is_replaced_and_a_newer_one_kept(cell: Cell) -> None:
    tenant = await cell.activations.of("acme")
    assert tenant is not None
    cell.activations.outdated("acme", tenant.epoch - 1)
    assert cell.activations.active("acme") is tenant
    cell.activations.outdated("acme", tenant.epoch)
    assert cell.activations.active("acme") is None
    cell.activations.outdated("acme", tenant.epoch)
    again = await cell.activations.of("acme")
    assert again is not None
    assert again.epoch == tenant.epoch + 1
