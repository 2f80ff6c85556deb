"""Sizes of pools that an operator has set, on a real Postgres."""

from __future__ import annotations

import pytest

from trunkline.stores.database import Pool
from trunkline.stores.pools import PoolStore

pytestmark = pytest.mark.services


async def test_what_was_set_last_is_kept_and_a_pool_that_was_never_set_has_nothing(pool: Pool) -> None:
    store = PoolStore(pool)
    assert await store.load() == {}
    await store.save("inbound", 2, 2)
    await store.save("inbound", 1, 4)
    assert await PoolStore(pool).load() == {"inbound": (1, 4)}
    await store.save("outbound", 3, 3)
    assert await store.load() == {"inbound": (1, 4), "outbound": (3, 3)}
