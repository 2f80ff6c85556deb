"""What `scripts/bench` measures: its options, the rows they choose, and what is counted beside them."""

from __future__ import annotations

import pytest

from scripts.benchmark import counters, rows
from scripts.benchmark.guarantees import complaints
from scripts.benchmark.options import parse
from scripts.benchmark.plan import Plan
from scripts.benchmark.rows import USUAL, Row, Sizes, every_row, select, warm_up

SIZES = Sizes(messages=4_000, pace_s=10.0, backlog=50_000)
METRICS = """\
# TYPE ray_tasks gauge
ray_tasks{JobId="",Name="TenantCell.admit",SessionName="s",Source="owner",State="FINISHED",V="2"} 120.0
ray_tasks{JobId="",Name="TenantCell.admit",Source="owner",State="RUNNING",Version="2"} 3.0
ray_tasks{JobId="",Name="TenantCell.admit",Source="executor",State="FINISHED",Version="2"} 120.0
ray_tasks{JobId="",Name="SupervisorActor.pools",Source="owner",State="FINISHED",Version="2"} 7.0
ray_tasks{JobId="01",Name="SupervisorActor.pools",Source="owner",State="FINISHED",Version="2"} 1.0
ray_actors{State="ALIVE"} 9.0
"""


# --- options ---


def test_a_few_rows_are_measured_in_three_rounds_unless_told_otherwise() -> None:
    options = parse([])
    assert {row.name for row in options.rows} == set(USUAL)
    assert (options.rounds, options.messages, options.pace_s, options.backlog) == (3, 4_000, 10.0, 50_000)


def test_all_rows_are_every_row_there_is() -> None:
    assert parse(["--all"]).rows == tuple(row for group in every_row(SIZES).values() for row in group)


def test_rows_are_chosen_by_name_and_by_group_and_measured_in_their_own_order() -> None:
    chosen = parse(["--rows", "accept-64, paced,flat"]).rows
    assert [row.name for row in chosen] == ["flat", "paced-50", "paced-100", "paced-300", "paced-600", "accept-64"]


def test_a_quick_run_is_one_short_round_whatever_else_is_asked_for() -> None:
    options = parse(["--quick", "--all", "--rounds", "5", "--messages", "9000"])
    assert (options.rounds, options.messages, options.pace_s, options.backlog) == (1, 1_500, 4.0, 5_000)
    assert not options.counts


def test_a_quick_run_does_not_send_more_than_was_asked_for() -> None:
    assert parse(["--quick", "--messages", "200"]).messages == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"], ["--rounds", "many"], ["--messages", "1000000"], ["--backlog", "10"],
        ["--rows", "flat,fast"], ["--rows", ","], ["--rows", "flat", "--all"],
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        parse(arguments)
    assert refusal.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--rows", "paced"], ["--rows", "accept-64"]])
def test_one_row_is_sampled_in_which_everything_works(arguments: list[str]) -> None:
    assert [row.name for row in parse(["--profile"]).rows] == ["flat"]
    assert [row.name for row in parse(["--profile", "--rows", "outbound"]).rows] == ["outbound"]
    with pytest.raises(SystemExit):
        parse(["--profile", *arguments])


# --- rows ---


def test_every_row_has_a_name_of_its_own() -> None:
    names = list(rows.names(SIZES))
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", [row for group in every_row(SIZES).values() for row in group], ids=lambda row: row.name)
def test_every_row_can_be_sent(row: Row) -> None:
    for load in (row, warm_up(row, 2)):
        Plan(
            run=load.name, host="127.0.0.1", port=1, direction=load.directions[0], accounts=(), app_secret="",
            count=load.count // len(load.directions), customers=load.customers, in_a_webhook=load.in_a_webhook,
            connections=load.connections, rate=load.rate,
        )  # fmt: skip
    assert row.count % len(row.directions) == 0
    # A tenant that nobody writes to would not be an active one.
    assert row.customers // row.in_a_webhook >= row.tenants


def test_what_makes_a_row_hard_does_not_hold_while_it_is_warmed_up_for() -> None:
    (slow,) = select(["latency-500"], SIZES)
    (held,) = select(["backlog"], SIZES)
    assert warm_up(slow, 2).latency_ms == 0
    assert held.held and not warm_up(held, 2).held
    assert warm_up(held, 2).count == 2 * held.customers


def test_rows_say_what_is_asked_for() -> None:
    described = {row.name: row for group in every_row(SIZES).values() for row in group}
    assert [described[f"accept-{number}"].connections for number in (16, 64, 256)] == [16, 64, 256]
    assert [described[f"paced-{rate}"].count for rate in (50, 100, 300, 600)] == [500, 1_000, 3_000, 6_000]
    assert [described[f"tenants-{number}"].tenants for number in (1, 50, 1_000)] == [1, 50, 1_000]
    assert [described[f"latency-{ms}"].latency_ms for ms in (0, 100, 500)] == [0, 100, 500]
    assert (described["backlog"].count, described["batch"].in_a_webhook) == (50_000, 20)
    assert [described[f"pool-{size}"].transformers for size in (1, 4)] == [1, 4]
    assert described["mixed"].statuses and len(described["mixed"].directions) == 2


# --- what others count ---


def test_calls_of_actors_are_those_that_their_callers_saw_the_end_of() -> None:
    assert counters.actor_calls(METRICS) == {"TenantCell.admit": 120, "SupervisorActor.pools": 8}


def test_calls_to_the_clouds_are_told_from_what_they_send() -> None:
    before = {"genesys_message:200": 5, "token:200": 1}
    after = {
        "genesys_message:200": 9,
        "token:200": 2,
        "genesys_receipt:200": 3,
        "graph_send:429": 1,
        "meta_status:200": 8,
    }
    assert counters.cloud_calls(before, after) == 4 + 1 + 3 + 1


# --- guarantees ---

WELL = {
    "postgres": {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}, "queues": "classic",
    "accepted": 10, "written": 10, "claimed_and_delivered": 10, "marked_as_seen": 10, "unknown_outcomes": 0,
    "spooled_or_dead": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"postgres": {"fsync": "off", "full_page_writes": "on", "synchronous_commit": "on"}}, "fsync = off"),
        ({"written": 9}, "9 of 10 accepted messages are written down"),
        ({"claimed_and_delivered": 8}, "claimed before they were sent"),
        ({"marked_as_seen": 0}, "marked against repetition"),
        ({"spooled_or_dead": 1}, "spooled or dead letters"),
    ],
)
def test_a_guarantee_that_is_off_is_told(change: dict[str, object], word: str) -> None:
    assert complaints(WELL) == []
    (complaint,) = complaints({**WELL, **change})
    assert word in complaint
