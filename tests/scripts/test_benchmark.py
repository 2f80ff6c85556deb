"""The benchmark's arithmetic: percentiles, the ledger of what arrived, the webhooks of a load, parts of processes."""

import json
import os
import re
from typing import Any

import httptools
import pytest

from sandbox.payloads import sign_meta
from scripts.benchmark import machine, tenants
from scripts.benchmark.figures import over_rounds, percentile
from scripts.benchmark.ledger import Arrival, Sent, balance, drained, read_arrivals
from scripts.benchmark.plan import Direction, Plan
from scripts.benchmark.processes import Usage, cpu_s_by_part, part_of
from scripts.benchmark.report import FAULTS
from scripts.benchmark.webhooks import prepare, text_of

MS = 1_000_000


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
    assert {name: figures[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
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


def test_what_has_waited_is_timed_from_the_moment_that_it_was_let_go() -> None:
    arrivals = [Arrival((0, 0), 1_100 * MS), Arrival((0, 1), 1_500 * MS), Arrival((0, 1), 2_000 * MS)]
    assert drained(1_000 * MS, arrivals) == {"rate": 2.0}
    assert drained(1_000 * MS, []) == {"rate": 0.0}


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


def _plan(**changes: Any) -> Plan:
    given = {
        "run": "r", "host": "127.0.0.1", "port": 1, "direction": Direction.INBOUND,
        "accounts": tenants.new_accounts(2), "app_secret": "secret", "count": 8, "customers": 4, "connections": 4,
    }  # fmt: skip
    return Plan.model_validate({**given, **changes})


def test_messages_that_share_a_webhook_are_of_one_tenant_and_keep_their_customers_together() -> None:
    plan = _plan(in_a_webhook=2)
    shots = prepare(plan)
    assert [(shot.customer, shot.number) for shot in shots] == [(0, 0), (2, 0), (0, 1), (2, 1)]
    for shot in shots:
        body = json.loads(_Read(shot.request).body)
        value = body["entry"][0]["changes"][0]["value"]
        texts = [message["text"]["body"].split(" ")[:3] for message in value["messages"]]
        assert texts == [["r", str(shot.customer + more), str(shot.number)] for more in (0, 1)]
        assert value["metadata"]["phone_number_id"] == plan.account_of(shot.customer).phone_number_id


def test_a_second_load_beside_the_first_has_customers_of_its_own() -> None:
    numbers = {shot.customer for shot in prepare(_plan(direction=Direction.OUTBOUND, first_customer=100))}
    assert numbers == {100, 101, 102, 103}


def test_webhooks_that_are_not_full_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples"):
        _plan(in_a_webhook=3)


def test_the_same_plan_makes_the_same_webhooks() -> None:
    plan = _plan(direction=Direction.OUTBOUND)
    ids = [[json.loads(_Read(shot.request).body)["conversationId"] for shot in prepare(plan)] for _ in range(2)]
    assert ids[0] == ids[1] and len(set(ids[0])) == len(ids[0])
    assert tenants.new_accounts(3, seed=5) == tenants.new_accounts(3, seed=5)
    assert tenants.new_accounts(3) != tenants.new_accounts(3)


# --- processes ---


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("ray::ServeReplica:webhooks:intake ", "intake replicas"),
        ("ray::TransformerActor ", "transformers"),
        ("ray::transformer:inbound:0 ", "transformers"),
        ("ray::SupervisorActor.ensure_running ", "supervisor"),
        ("ray::TenantCell ", "cells"),
        ("ray::tenant:acme ", "cells"),
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
