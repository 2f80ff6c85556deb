"""Faults that concern one tenant each, in their short form and all at once: what holds then holds for each alone."""

from __future__ import annotations

import asyncio

import pytest

from scripts.faults.row import Row
from scripts.faults.runner import carry_out
from scripts.faults.scenarios import ALL
from scripts.faults.stage import Stage

pytestmark = pytest.mark.ray

# Which calls leave before a refusal is read cannot be told on a busy machine: that one is alone, with the hard ones.
GENTLE = [each for each in ALL if not each.alone and each.name != "token-revoked"]


@pytest.fixture(scope="module")
def rows(stage: Stage) -> dict[str, Row]:
    """What each has found."""

    async def side_by_side() -> list[Row]:
        return await asyncio.gather(*(carry_out(scenario, stage) for scenario in GENTLE))

    return {row.name: row for row in asyncio.run(side_by_side())}


@pytest.mark.parametrize("name", [each.name for each in GENTLE])
def test_nothing_is_lost_doubled_or_reordered_by(rows: dict[str, Row], name: str) -> None:
    assert rows[name].wrong == (), rows[name].line()
    assert rows[name].accepted  # else nothing was tested
