"""Rows of `scripts/bench` carried out: real drivers in front of a small world, which does right or wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from scripts.benchmark import conditions, tenants
from scripts.benchmark.conditions import PlatformConditions
from scripts.benchmark.progress import Bar
from scripts.benchmark.rounds import OF_ANSWERS, Round
from scripts.benchmark.rows import BOTH, Row
from scripts.benchmark.stage import Stage, StageFailed
from tests.scripts.benchmark_world import World

FLAT = Row("flat", "flat out", 40, customers=10, tenants=2, connections=4)
ACCOUNTS = tenants.new_accounts(2)
FAULTS = ("lost", "doubled", "reordered", "refused")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # This world does at once what it is told.
    monkeypatch.setattr(conditions, "HELD_AFTER_S", 0.0)
    with World().running() as world:
        yield world


@pytest.fixture
def turn(world: World, tmp_path: Path) -> Round:
    stage = cast(Stage, world)
    bar = Bar(1.0, lambda text: None, Console(file=io.StringIO()))
    return Round(1, stage, ACCOUNTS, PlatformConditions(stage), tmp_path, bar)


def _wrong(figures: dict[str, Any]) -> dict[str, int]:
    return {name: figures[name] for name in FAULTS if figures[name]}


def test_a_row_is_warmed_up_for_and_measured(turn: Round, world: World) -> None:
    figures = turn.measure(FLAT)
    assert (figures["sent"], _wrong(figures)) == (40, {})
    assert figures["rate"] > 0 and figures["p50_ms"] <= figures["p99_ms"] <= figures["p999_ms"]
    assert figures["cloud_calls"] == 1.0
    assert "load driver" in figures["cpu_us"] and figures["memory_mib"]
    # Twice ten messages before; the same customers are not warmed up for again.
    assert (world.webhooks, turn.accepted) == (60, 60)
    turn.measure(replace(FLAT, name="flat-again"))
    assert world.webhooks == 100


def test_messages_share_webhooks(turn: Round, world: World) -> None:
    figures = turn.measure(replace(FLAT, in_a_webhook=5))
    assert (figures["sent"], world.webhooks, _wrong(figures)) == (40, 4 + 8, {})


def test_a_message_that_comes_twice_is_told(turn: Round, world: World) -> None:
    # Warming up sends numbers 0 and 1, the row goes on to 3.
    world.deliver = lambda text: [text, text] if text.split(" ")[1:3] == ["7", "3"] else [text]
    assert _wrong(turn.measure(FLAT)) == {"doubled": 1}


def test_nothing_is_measured_where_the_warming_up_goes_wrong(turn: Round, world: World) -> None:
    world.deliver = lambda text: [text, text]
    with pytest.raises(StageFailed, match="warming up for flat: doubled 20"):
        turn.measure(FLAT)


def test_both_directions_go_at_the_same_time_with_customers_of_their_own(turn: Round, world: World) -> None:
    figures = turn.measure(replace(FLAT, directions=BOTH, statuses=True))
    assert (figures["sent"], _wrong(figures), figures["receipts"]) == (40, {}, 0)
    assert [body.get("statuses") for _, body in world.asked] == ["on", "off"]


def test_what_is_accepted_alone_is_timed_by_its_answers_and_delivered_afterwards(turn: Round, world: World) -> None:
    figures = turn.measure(replace(FLAT, measures="accept"))
    assert _wrong(figures) == {}
    assert all(figures[name] == figures[other] for name, other in OF_ANSWERS.items())
    suspended = [(path, body) for path, body in world.asked if body == {"status": "suspended"}]
    assert [path for path, _ in suspended] == [f"PATCH /tenants/{account.tenant_id}" for account in ACCOUNTS]
    assert world.suspended == set()


def test_a_backlog_has_a_rate_and_no_latencies(turn: Round) -> None:
    figures = turn.measure(replace(FLAT, measures="drain"))
    assert figures["rate"] > 0 and "p99_ms" not in figures and "load driver" not in figures["cpu_us"]


def test_pools_that_were_not_held_fail_the_row(turn: Round, world: World) -> None:
    world.leaks = True
    with pytest.raises(StageFailed, match="40 messages of flat were delivered while the pools were held"):
        turn.measure(replace(FLAT, measures="accept"))
    assert world.suspended == set()  # and they are let go all the same


def test_clouds_are_slow_and_pools_are_large_for_their_row_only(turn: Round, world: World) -> None:
    turn.measure(replace(FLAT, latency_ms=200, transformers=4, lanes=4, tenants=1))
    tenant = f"PATCH /tenants/{ACCOUNTS[0].tenant_id}"
    assert world.asked == [
        ("PATCH /pools/inbound", {"size": 4}),
        (tenant, {"settings": {"lanes": 4}}),
        ("POST /sandbox/faults", {"latency_ms": 200}),
        ("POST /sandbox/faults", {"latency_ms": None}),
        (tenant, {"settings": {"lanes": None}}),
        ("PATCH /pools/inbound", {"size": 1}),
    ]


# --- progress ---


def test_progress_is_told_in_lines_where_there_is_no_terminal() -> None:
    said: list[str] = []
    with Bar(30.0, said.append, Console(file=io.StringIO())) as bar:
        bar.begin("first", 10.0)
        bar.say("a line")
        bar.begin("second", 20.0)
        assert bar.done_s == 10.0
        bar.tell(1, 4)
        assert bar.done_s == 15.0
    assert said == ["a line"]


def test_progress_is_a_bar_on_a_terminal() -> None:
    screen = io.StringIO()
    with Bar(10.0, lambda text: pytest.fail(text), Console(file=screen, force_terminal=True, width=100)) as bar:
        bar.begin("inbound flat out", 10.0)
        bar.tell(1, 2)
        bar.say("a line")
    assert "inbound flat out" in screen.getvalue() and "50%" in screen.getvalue() and "a line" in screen.getvalue()
