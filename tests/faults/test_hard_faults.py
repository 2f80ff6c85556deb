"""Stores taken away and processes killed under load, one after the other, in their short form."""

from __future__ import annotations

import pytest

from scripts.faults.runner import carry_out
from scripts.faults.scenarios import BY_NAME
from scripts.faults.stage import Stage

pytestmark = pytest.mark.ray

# What runs on Ray is killed in tests/platform/test_kills.py, pools are resized and everything is restarted in
# tests/platform/test_pools.py. HAProxy, the raylet, Ray's head and a full disk take too long: scripts/chaos has them.
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
    await stage.mend()
    assert row.wrong == (), row.line()
    assert row.accepted  # else nothing was tested
