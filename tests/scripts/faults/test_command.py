"""The command line of scripts/chaos, and what its scenarios are called."""

from __future__ import annotations

import pytest

from scripts.faults.__main__ import main
from scripts.faults.options import parse
from scripts.faults.scenarios import ALL
from scripts.faults.scenarios.limits import busiest

NAMES = [each.name for each in ALL]
SECOND = 1_000_000_000


def test_every_scenario_has_a_name_of_its_own_and_says_what_it_breaks() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(each.what for each in ALL)


def test_scenarios_are_listed_without_starting_anything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "broker"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        name for name in NAMES if name.startswith("broker")
    ]


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(["--only", "moon"], NAMES)
    assert refused.value.code == 2
    assert "no scenario begins with 'moon'" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], NAMES)
    assert "scripts/chaos --only broker-stopped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("moments", "most"),
    [
        pytest.param([], 0, id="no calls"),
        pytest.param([0, 1, 2], 3, id="all in one span"),
        pytest.param([0, 10], 1, id="a span is open at its end"),
        pytest.param([0, 5, 9, 12, 14, 30], 4, id="the busiest one counts, wherever it begins"),
    ],
)
def test_the_busiest_span_is_found(moments: list[int], most: int) -> None:
    assert busiest([moment * SECOND for moment in moments], 10.0) == most
