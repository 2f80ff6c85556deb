"""Carrying out scenarios: every one has its row, whatever happens to it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from scripts.faults.row import Row
from scripts.faults.runner import carry_out, carry_out_all
from scripts.faults.stage import Stage
from scripts.faults.trial import Scenario, Skipped, Trial


class FakePlatform:
    """Nothing ever arrives in its clouds."""

    def last_seq(self) -> int:
        return 0


class FakeStage:
    """A stage on which scenarios without loads can be carried out."""

    short = True

    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.mended = 0

    async def mend(self) -> None:
        self.mended += 1


async def _hold(trial: Trial) -> None:
    trial.notes.append("held")


async def _expect_too_much(trial: Trial) -> None:
    trial.expect(False, "the moon is not made of cheese")


async def _break(trial: Trial) -> None:
    trial.expect(False, "noted before")
    raise ValueError("broken")


async def _skip(trial: Trial) -> None:
    raise Skipped("no moon here")


async def _take_too_long(trial: Trial) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("run", "verdict", "wrong"),
    [
        pytest.param(_hold, "ok", (), id="all holds"),
        pytest.param(_expect_too_much, "FAILED", ("the moon is not made of cheese",), id="an expectation fails"),
        pytest.param(_break, "FAILED", ("noted before", "ValueError: broken"), id="it cannot be carried through"),
        pytest.param(_skip, "skipped", (), id="the machine cannot do it"),
        pytest.param(_take_too_long, "FAILED", ("TimeoutError: not done within 0.05 s",), id="it takes too long"),
    ],
)
async def test_a_scenario_has_a_row_whatever_happens(run: Any, verdict: str, wrong: tuple[str, ...]) -> None:
    row = await carry_out(Scenario("moon", "", run, within_s=0.05), cast(Stage, FakeStage()))
    assert (row.name, row.verdict, row.wrong) == ("moon", verdict, wrong)


async def test_those_that_disturb_wait_for_those_beside_them() -> None:
    order: list[str] = []
    entered = asyncio.Event()

    async def slow(trial: Trial) -> None:
        order.append("slow begins")
        await entered.wait()
        order.append("slow ends")

    async def gentle(trial: Trial) -> None:
        order.append("gentle")
        entered.set()

    async def rough(trial: Trial) -> None:
        order.append("rough")

    scenarios = [
        Scenario("rough", "", rough, alone=True),
        Scenario("gentle", "", gentle),
        Scenario("slow", "", slow, beside=True),
    ]
    stage, said = FakeStage(), list[str]()
    rows = await carry_out_all(scenarios, cast(Stage, stage), said.append)
    assert order[-1] == "rough"
    assert sorted(order) == ["gentle", "rough", "slow begins", "slow ends"]
    assert [row.name for row in rows] == ["rough", "gentle", "slow"]
    assert (stage.mended, len(said)) == (1, 3)


def test_a_row_tells_its_figures_and_what_is_wrong_in_one_line() -> None:
    row = Row("broker", sent=9, accepted=8, delivered=7, lost=1, recovery_s=1.25, calls=3, wrong=("1 lost",))
    assert row.line() == (
        "broker: FAILED: sent 9, accepted 8, delivered 7, dead 0, waiting 0, lost 1, doubled 0, unknown 0, "
        "reordered 0, recovery 1.2 s, calls 3, took 0 s; WRONG: 1 lost"
    )
    assert row.as_json()["verdict"] == "FAILED"
