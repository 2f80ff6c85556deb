"""Sizes of pools that an operator has set, on a real Postgres."""

from __future__ import annotations

import pytest

from tests.trunkline.records import BY
from trunkline.stores.audit import AuditStore
from trunkline.stores.database import Pool
from trunkline.stores.pools import PoolStore
from trunkline.tenancy.audit import AuditRecord

pytestmark = pytest.mark.services


async def test_what_was_set_last_is_kept_and_a_pool_that_was_never_set_has_nothing(pool: Pool) -> None:
    store = PoolStore(pool)
    assert await store.load() == {}
    await store.save("inbound", 2, 2, BY)
    await store.save("inbound", 1, 4, BY)
    assert await PoolStore(pool).load() == {"inbound": (1, 4)}
    await store.save("outbound", 3, 3, BY)
    assert await store.load() == {"inbound": (1, 4), "outbound": (3, 3)}


async def test_who_changed_a_pool_is_in_the_audit_log_with_what_it_was_before(pool: Pool) -> None:
    store = PoolStore(pool)
    await store.save("inbound", 2, 2, BY)
    await store.save("inbound", 1, 4, BY)
    entry = (await AuditStore(pool).entries(1))[0].record
    bounds = {"min": 2, "max": 2}, {"min": 1, "max": 4}
    assert entry == AuditRecord(BY, "pool.scaled", None, "inbound", *bounds)
