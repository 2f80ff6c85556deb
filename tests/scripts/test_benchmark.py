"""The benchmark's arithmetic: options, percentiles, the ledger of what arrived, parts of processes, tables."""

import os
import re
from pathlib import Path
from typing import Any

import httptools
import pytest

from sandbox.payloads import sign_meta
from scripts.benchmark import machine, report, tenants
from scripts.benchmark.figures import over_rounds, percentile
from scripts.benchmark.ledger import Arrival, Sent, balance, read_arrivals
from scripts.benchmark.options import Options, parse
from scripts.benchmark.plan import Direction, Plan
from scripts.benchmark.processes import Usage, cpu_s_by_part, part_of
from scripts.benchmark.webhooks import prepare, text_of

MS = 1_000_000


# --- options ---


def test_three_rounds_are_measured_unless_told_otherwise() -> None:
    assert parse([]) == Options(rounds=3, messages=4000, pace_s=10.0)


def test_a_quick_run_is_one_short_round_whatever_else_is_asked_for() -> None:
    options = parse(["--quick", "--rounds", "5", "--messages", "9000"])
    assert (options.rounds, options.messages, options.pace_s) == (1, 1500, 4.0)


def test_a_quick_run_does_not_send_more_than_was_asked_for() -> None:
    assert parse(["--quick", "--messages", "200"]).messages == 200


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--rounds", "many"], ["--connections", "5000"], ["--messages", "1000000"]]
)
def test_sizes_out_of_bounds_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        parse(arguments)
    assert refusal.value.code == 2
    assert arguments[0] in capsys.readouterr().err


# --- figures ---


@pytest.mark.parametrize(
    ("share", "value"),
    [
        pytest.param(50, 50, id="half of them"),
        pytest.param(99, 99, id="all but one in a hundred"),
        pytest.param(99.9, 100, id="rarer than one in all: the worst"),
        pytest.param(0, 1, id="the best"),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_nothing_measured_has_no_percentile() -> None:
    assert percentile([], 99) == 0


def test_rounds_become_medians_and_what_went_wrong_is_added_up() -> None:
    rounds = [{"load": {"rate": rate, "lost": lost}} for rate, lost in ((900, 0), (100, 1), (500, 0))]
    assert over_rounds(rounds) == {"load": {"rate": 500, "lost": 1}}


# --- the ledger ---


def test_a_load_without_faults_is_counted_as_such() -> None:
    sent = {(0, 0): Sent(0, 4 * MS, 200), (0, 1): Sent(5 * MS, 9 * MS, 200)}
    figures = balance(0, sent, [Arrival((0, 0), 10 * MS), Arrival((0, 1), 20 * MS)])
    assert {name: figures[name] for name in report.FAULTS} == dict.fromkeys(report.FAULTS, 0)
    assert (figures["rate"], figures["p50_ms"], figures["p99_ms"]) == (100.0, 10.0, 15.0)
    assert (figures["accept_p50_ms"], figures["accept_p99_ms"]) == (4.0, 4.0)


@pytest.mark.parametrize(
    ("arrived", "fault", "count"),
    [
        pytest.param([(0, 0), (0, 1), (0, 2)], "lost", 1, id="an accepted message that never came"),
        pytest.param([(0, 0), (0, 1), (0, 2), (1, 0), (0, 1)], "doubled", 1, id="one that came twice"),
        pytest.param([(0, 2), (0, 0), (0, 1), (1, 0)], "reordered", 2, id="two behind a later one"),
        pytest.param([(1, 0), (0, 0), (0, 1), (0, 2)], "reordered", 0, id="customers have no order between them"),
        pytest.param([(0, 0), (0, 1), (0, 2), (1, 0), (0, 0)], "reordered", 0, id="a double is not a disorder"),
    ],
)
def test_the_ledger_finds_each_fault(arrived: list[tuple[int, int]], fault: str, count: int) -> None:
    sent = {key: Sent(0, MS, 200) for key in ((0, 0), (0, 1), (0, 2), (1, 0))}
    assert balance(0, sent, [Arrival(key, n * MS) for n, key in enumerate(arrived)])[fault] == count


def test_a_refused_webhook_is_refused_and_not_lost() -> None:
    figures = balance(0, {(0, 0): Sent(0, MS, 503), (0, 1): Sent(0, 0, 0)}, [])
    assert (figures["refused"], figures["lost"]) == (2, 0)


def test_only_accepted_arrivals_of_this_run_are_counted() -> None:
    record = {"text": text_of("run1", 7, 3), "status": 200, "lost": False, "mono_ns": 5}
    others = [{**record, "status": 503}, {**record, "lost": True}, {**record, "text": text_of("run2", 7, 3)}]
    assert read_arrivals("run1", [*others, record]) == [Arrival((7, 3), 5)]


# --- the load ---


class _Read:
    """What a server makes of a request."""

    def __init__(self, request: bytes) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.complete = False
        httptools.HttpRequestParser(self).feed_data(request)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def test_webhooks_are_signed_and_spread_over_customers_and_tenants() -> None:
    accounts = tenants.new_accounts(2)
    plan = Plan(
        run="r", host="127.0.0.1", port=1, direction=Direction.INBOUND, accounts=accounts, app_secret="secret",
        count=7, customers=3, connections=4,
    )  # fmt: skip
    shots = prepare(plan)
    assert [(shot.customer, shot.number) for shot in shots] == [
        (0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2),
    ]  # fmt: skip
    read = [_Read(shot.request) for shot in shots]
    assert all(each.complete for each in read)
    assert all(each.headers[b"x-hub-signature-256"].decode() == sign_meta("secret", each.body) for each in read)
    numbers = [accounts[shot.customer % 2].phone_number_id.encode() for shot in shots]
    assert all(number in each.body for number, each in zip(numbers, read, strict=True))


# --- processes ---


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("ray::ServeReplica:webhooks:intake ", "intake replicas"),
        ("ray::TransformerActor ", "transformers"),
        ("ray::HAProxyManager ", "Ray system"),
        ("/venv/bin/python -m ray.scripts.scripts start --head ", "Ray system"),
        ("/venv/haproxy/bin/haproxy -f /home/haproxy.cfg ", "HAProxy"),
        ("postgres: trunkline whatsapp_genesys 127.0.0.1(5) idle ", "Postgres"),
        ("/usr/lib/postgresql/15/bin/postgres -D /data ", "Postgres"),
        ("/usr/lib/erlang/erts/bin/beam.smp -W w ", "RabbitMQ"),
        ("/venv/bin/python -m sandbox --port 3001 ", "sandbox"),
        ("/venv/bin/python -m scripts.benchmark.yardstick --accounts a ", "yardstick"),
        ("/venv/bin/python -m scripts.benchmark.yardstick_stage a ", "launcher"),
    ],
)
def test_a_process_is_told_by_its_command(command: str, part: str) -> None:
    assert part_of(command) == part


def test_processor_time_is_what_was_used_in_between() -> None:
    before = {1: Usage("cells", 5.0), 2: Usage("Ray system", 1.0)}
    after = {1: Usage("cells", 5.5), 3: Usage("cells", 0.25)}
    assert cpu_s_by_part(before, after) == {"cells": 0.75}


# --- what it was measured on ---


@pytest.mark.services
def test_the_stores_tell_their_versions() -> None:
    told = machine.versions(os.environ)
    for store in ("PostgreSQL", "RabbitMQ", "Redis"):
        assert re.match(r"\d+\.\d+", told[store]), f"{store} {told[store]}"


# --- the report ---


def _load(**changes: Any) -> dict[str, Any]:
    figures = {name: 1.0 for name in ("p50_ms", "p99_ms", "p999_ms", "accept_p50_ms", "accept_p99_ms")}
    counts = {"sent": 1000, **dict.fromkeys(report.FAULTS, 0)}
    costs = {"cpu_us": {"transformers": 400.0, "sandbox": 70.0, "load driver": 50.0}, "sandbox_core_share": 0.1}
    return {**figures, **counts, **costs, "rate": 1000.0, "accept_rate": 1500.0, **changes}


def _round(**changes: Any) -> dict[str, Any]:
    theirs = {
        "idle_core_share": 0.01, "memory_mib": {"yardstick": 80.0, "sandbox": 30.0}, "inbound": _load(rate=2000.0),
        "inbound_at_50": _load(), "inbound_at_100": _load(),
    }  # fmt: skip
    return {"platform": {**theirs, "outbound": _load(), "inbound": _load(**changes)}, "yardstick": theirs}


def test_the_table_sets_the_platform_beside_the_yardstick() -> None:
    table = {row.what: row for row in report.rows(report.summarise([_round()]))}
    assert table["inbound flat out, end to end"] == report.Row(
        "inbound flat out, end to end", "1,000/s", "2,000/s", "0.50"
    )


def test_what_measures_is_not_part_of_what_is_measured() -> None:
    medians = report.summarise([_round()])
    assert medians["platform"]["cpu_us_per_message"] == 400
    assert medians["platform"]["memory_mib_sum"] == 80


def test_a_fault_of_a_single_round_is_told() -> None:
    medians = report.summarise([_round(), _round(lost=2), _round()])
    assert report.faults(medians) == 2
    assert any(row.platform == "2 / 0 / 0 / 0" for row in report.rows(medians))


def _result() -> dict[str, Any]:
    measured_on = {"cpu": "a cpu", "cores": 2, "memory_gib": 4, "system": "Linux", "load_before": 0.1, "commit": "abc"}
    options = {"rounds": 3, "messages": 4000, "customers": 200, "tenants": 5, "connections": 64, "pace_s": 10.0}
    return {
        "at": "2026-11-23T20:00:00+00:00", "machine": measured_on, "versions": {"Python": "3.11"}, "options": options,
        "medians": report.summarise([_round()]),
    }  # fmt: skip


def test_the_documentation_is_rewritten_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n{}\nold\n{}\nafter\n".format(*report.MEASURED))
    report.write_docs(report.markdown(_result()), page)
    report.write_docs(report.markdown(_result()), page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("| inbound flat out, end to end | 1,000/s | 2,000/s | 0.50 |") == 1


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="no place"):
        report.write_docs(report.markdown(_result()), page)
    assert page.read_text() == "nothing\n"
