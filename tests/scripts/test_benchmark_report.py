"""What `scripts/bench` makes of its figures: medians, tables, targets, pictures, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark import plots, report, targets
from scripts.benchmark.rows import Row, Sizes, select

SIZES = Sizes(messages=4_000, pace_s=10.0, backlog=50_000)
ROWS = select(["flat", "paced-100", "accept-64", "backlog"], SIZES)


def _row(**changes: Any) -> dict[str, Any]:
    figures = {name: 1.0 for name in ("p50_ms", "p99_ms", "p999_ms", "accept_p50_ms", "accept_p99_ms", "cloud_calls")}
    counts = {"sent": 1000, **dict.fromkeys(report.FAULTS, 0)}
    costs = {
        "cpu_us": {"transformers": 400.0, "sandbox": 70.0, "load driver": 50.0},
        "memory_mib": {"transformers": 80.0, "sandbox": 30.0},
        "sandbox_core_share": 0.1,
    }
    return {**figures, **counts, **costs, "rate": 1000.0, "accept_rate": 1500.0, **changes}


def _round(**changes: Any) -> dict[str, Any]:
    drained = {name: value for name, value in _row().items() if name not in report.LATENCIES}
    others = {"paced-100": _row(p99_ms=30.0), "accept-64": _row(), "backlog": drained}
    ours = {"flat": _row(**{"actor_calls": 0.25, "commits": 0.05, **changes}), **others}
    theirs = {"flat": _row(rate=2000.0), "paced-100": _row(p99_ms=10.0), "accept-64": _row()}
    return {"platform": {"idle_core_share": 0.3, "rows": ours}, "yardstick": {"idle_core_share": 0.01, "rows": theirs}}


def _result(*rounds: dict[str, Any], rows: tuple[Row, ...] = ROWS) -> dict[str, Any]:
    return {
        "at": "2026-11-23T20:00:00+00:00",
        "machine": {"cpu": "a cpu", "cores": 2, "memory_gib": 4, "system": "Linux", "load_before": 0, "commit": "a"},
        "versions": {"Python": "3.11"},
        "options": {"rounds": len(rounds) or 1, "messages": 4000, "pace_s": 10.0, "backlog": 50_000, "counts": True},
        "rows": [row.described() for row in rows],
        "guarantees": [
            {
                "postgres": {"fsync": "on"}, "queues": "classic", "accepted": 1200, "claimed_and_delivered": 1200,
                "marked_as_seen": 1200, "unknown_outcomes": 0,
            },
        ],
        "medians": report.summarise(rounds or [_round()]),
    }  # fmt: skip


def test_the_table_sets_the_platform_beside_the_yardstick() -> None:
    flat, paced, _, backlog = report.lines(_result())
    assert (flat.rate, flat.yardstick_rate, flat.ratio) == ("1,000/s", "2,000/s", "0.50")
    assert (paced.yardstick_latency, paced.ratio) == ("1.0 / 10.0 / 1.0", "3.00")
    assert (flat.calls, flat.commits) == ("0.25 / 1.00", "0.05")
    assert (backlog.latency, backlog.yardstick_rate) == ("", "")


def test_what_measures_is_not_part_of_what_is_measured() -> None:
    flat, *_ = report.lines(_result())
    assert (flat.cpu, flat.memory) == ("400", "80")
    titles, body = report.part_table(_result(), "cpu_us")
    assert titles == ("", "transformers", "sandbox", "load driver")
    assert body[0] == ("inbound flat out", "400", "70", "50")


def test_a_fault_of_a_single_round_is_told() -> None:
    result = _result(_round(), _round(lost=2), _round())
    assert report.faults(result["medians"]) == 2
    assert ("lost / doubled / reordered / refused", "2 / 0 / 0 / 0", "0 / 0 / 0 / 0") in report.facts(result)


def test_calls_that_one_round_has_counted_stand_for_all() -> None:
    without = _round()
    for name in ("actor_calls", "commits"):
        del without["platform"]["rows"]["flat"][name]
    flat, *_ = report.lines(_result(_round(), without))
    assert (flat.calls, flat.commits) == ("0.25 / 1.00", "0.05")


# --- targets ---


def test_a_target_is_held_against_what_was_measured() -> None:
    fast = {"flat": _row(rate=1500.0), "paced-100": _row(p99_ms=25.0), "accept-64": _row(rate=2499.0, p99_ms=59.0)}
    checked = {each.what: each.holds for each in targets.check(fast)}
    assert checked == {
        "inbound flat out, end to end": True,
        "CPU for a message flat out, all but driver and clouds": True,
        "p99 at 100/s": False,
        "p99 at 600/s": None,
        "accepted alone over 64 connections": False,
        "p99 of the answer meanwhile": True,
        "clouds that take 100 ms, 50 tenants": None,
        "4 transformers to 1, clouds that take 200 ms": None,
    }


def test_pools_are_compared_with_each_other() -> None:
    many = targets.check({"pool-1": _row(rate=100.0), "pool-4": _row(rate=350.0)})[-1]
    assert (many.wanted, many.shown, many.holds) == ("at least 3.5 times", "3.50 times", True)


# --- the page ---


def test_the_documentation_is_rewritten_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n{}\nstale\n{}\nafter\n".format(*report.MEASURED))
    text = report.markdown(_result(), [report.PICTURES / "rates.png"])
    report.write_docs(text, page)
    report.write_docs(text, page)
    written = page.read_text()
    assert written.startswith("before\n") and written.endswith("after\n") and "stale" not in written
    assert written.count("| inbound flat out | 1,000/s |") == 1
    assert "| p99 at 100/s | under 25 ms | 30.0 ms | does not hold |" in written
    assert "Of 1,200 messages" in written
    assert "![Rates](performance/rates.png)" in written


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="no place"):
        report.write_docs(report.markdown(_result()), page)
    assert page.read_text() == "nothing\n"


def test_pictures_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    drawn = plots.draw(_result(), tmp_path)
    assert [file.name for file in drawn] == ["rates.png", "latencies.png", "processor-time.png", "memory.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in drawn)
    flat_only = _result(rows=select(["flat"], SIZES))
    assert [file.name for file in plots.draw(flat_only, tmp_path)] == ["rates.png", "processor-time.png", "memory.png"]
