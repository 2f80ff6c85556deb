"""Stores taken away and processes killed under load, one after the other, in their short form."""

from __future__ import annotations

import pytest

from scripts.faults.runner import carry_out
from scripts.faults.scenarios import BY_NAME
from scripts.faults.stage import Stage

pytestmark = pytest.mark.ray

# Transformers, cells, the supervisor, replicas and Ray itself are killed in tests/platform/test_kills.py, pools resized and
# everything restarted in tests/platform/test_pools.py; scripts/chaos has all of it.
HARD = (
    "token-revoked",
    "webhooks-repeated",
    "dead-neighbour",
    "redis-stopped",
    "broker-stopped",
    "broker-cut",
    "postgres-stopped",
    "postgres-cut",
    "stores-restarted",
)


@pytest.mark.parametrize("name", HARD)
async def test_nothing_is_lost_doubled_or_reordered_by(stage: Stage, name: str) -> None:
    row = await carry_out(BY_NAME[name], stage)
    if row.skipped:
        pytest.skip(row.skipped)
    await stage.mend()
    assert row.wrong == (), row.line()
    assert row.accepted  # else nothing was tested
