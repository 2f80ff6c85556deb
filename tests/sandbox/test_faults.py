"""What the clouds do wrong on purpose."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.faults import Faults, Switches
from tests.sandbox.world import ACCOUNT, BIRCH, World, fixture, shape, until

MESSAGE: dict[str, Any] = fixture("gen_inbound_message_ok")["request"]["body"]
TEXT: dict[str, Any] = fixture("wa_send_ok")["request"]["body"]


@pytest.mark.parametrize(
    ("status", "name"),
    [(401, "gen_error_401"), (403, "gen_error_403"), (429, "gen_error_429"), (503, "gen_error_503")],
)
async def test_genesys_fails_in_its_own_words(world: World, status: int, name: str) -> None:
    headers = await world.bearer()
    await world.faults(cloud="genesys", kind="genesys_message", fail_status=status, retry_after_s=17)

    answer = await world.inbound(MESSAGE, headers)

    expected = fixture(name)["response"]
    assert answer.status == status
    assert answer.json | {"contextId": ""} == expected["body"] | {"contextId": ""} or status == 429
    assert shape(answer.json) == shape(expected["body"])
    assert answer.headers["retry-after"] == "17"


@pytest.mark.parametrize(
    ("switches", "status", "code"),
    [
        pytest.param({"fail_status": 401}, 401, 190, id="expired token"),
        pytest.param({"fail_status": 429}, 429, 130429, id="throughput"),
        pytest.param({"fail_status": 500}, 500, 131000, id="something went wrong"),
        pytest.param({"fail_status": 503}, 503, 131016, id="unavailable"),
        pytest.param({"fail_status": 400, "fail_code": 131026}, 400, 131026, id="a code of one's own"),
    ],
)
async def test_the_graph_api_fails_in_its_own_words(
    world: World, switches: dict[str, int], status: int, code: int
) -> None:
    await world.faults(cloud="meta", **switches)

    answer = await world.send(TEXT)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)


async def test_a_failed_call_leaves_nothing_done(world: World) -> None:
    await world.faults(cloud="genesys", kind="genesys_message", fail_status=500, fail_count=1)
    headers = await world.bearer()

    statuses = [(await world.inbound(MESSAGE, headers)).status for _ in range(2)]

    assert statuses == [500, 200]
    shown = (await world.ask("GET", "/sandbox/conversations?tenantId=alder")).json["conversations"]
    assert len(shown[0]["desktop"]) == 1
    attempts = (await world.ask("GET", "/sandbox/events?kind=genesys_message")).json["events"]
    assert [(each["status"], each["id"]) for each in attempts] == [
        (status, MESSAGE["channel"]["messageId"]) for status in (500, 200)
    ]


async def test_a_failure_for_a_time_ends_with_it(world: World) -> None:
    await world.faults(fail_status=503, fail_for_s=10)

    assert (await world.send(TEXT)).status == 503
    world.now += 10
    assert (await world.send(TEXT)).status == 200


async def test_a_fault_keeps_to_its_tenant_and_cloud(world: World) -> None:
    await world.faults(cloud="meta", tenantId="alder", fail_status=500)

    assert (await world.send(TEXT)).status == 500
    assert (await world.send(TEXT, BIRCH["accessToken"], BIRCH["phoneNumberId"])).status == 200
    assert (await world.inbound(MESSAGE, await world.bearer())).status == 200


async def test_a_lost_answer_was_accepted_all_the_same(world: World) -> None:
    await world.faults(cloud="meta", lost_answer_rate=1)

    answer = await world.send(TEXT)

    assert answer.dropped
    assert answer.status == 0
    await until(lambda: len(world.router.meta_values("statuses")) == 2)
    opaque = {status["biz_opaque_callback_data"] for status in world.router.meta_values("statuses")}
    assert opaque == {TEXT["biz_opaque_callback_data"]}
    event = (await world.ask("GET", "/sandbox/events?kind=graph_send")).json["events"][0]
    assert (event["lost"], event["status"]) == (True, 200)


async def test_a_hanging_call_is_never_answered_and_not_accepted(world: World) -> None:
    await world.faults(cloud="meta", hang=True)
    exchange = world.exchange(
        "POST",
        f"/graph/v25.0/{ACCOUNT['phoneNumberId']}/messages",
        TEXT,
        {"Authorization": f"Bearer {ACCOUNT['accessToken']}"},
    )

    rest = world.sandbox.serve(exchange)
    assert rest is not None
    task = asyncio.ensure_future(rest)
    await until(lambda: world.sandbox.parts.log.last_seq == 1)
    assert not task.done()
    exchange.has_gone.set()
    await task

    assert exchange.response is None
    assert not world.router.posts


@pytest.mark.parametrize(("status", "statuses"), [(200, 2), (500, 0)])
async def test_garbage_is_not_json_and_only_a_success_was_accepted(world: World, status: int, statuses: int) -> None:
    await world.faults(cloud="meta", garbage=status)

    answer = await world.send(TEXT)

    assert answer.status == status
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json  # noqa: B018
    conversations = (await world.ask("GET", "/sandbox/conversations?tenantId=alder")).json["conversations"]
    assert len(conversations) == (1 if statuses else 0)


async def test_an_answer_is_delayed_but_its_arrival_is_seen_at_once(world: World) -> None:
    await world.faults(latency_ms=60)
    task = asyncio.ensure_future(world.send(TEXT))

    await until(lambda: world.sandbox.parts.log.last_seq == 1)
    assert not task.done()
    assert (await task).status == 200

    event = (await world.ask("GET", "/sandbox/events")).json["events"][0]
    assert event["latencyMs"] >= 60


async def test_unknown_switches_and_values_are_refused(world: World) -> None:
    for switches in ({"latency": 1}, {"fail_status": 200}, {"cloud": "aws"}, {"lost_answer_rate": 2}):
        answer = await world.faults(**switches)
        assert (answer.status, answer.json["error"]) == (400, "Invalid body")


async def test_the_switches_can_be_seen_and_taken_back(world: World) -> None:
    await world.faults(cloud="meta", latency_ms=5)
    await world.faults(cloud="meta", jitter_ms=3)
    await world.faults(tenantId="birch", hang=True)

    shown = (await world.ask("GET", "/sandbox/faults")).json["faults"]
    assert {"cloud": "meta", "latency_ms": 5, "jitter_ms": 3} in shown
    assert len(shown) == 2
    assert (await world.faults(cloud="meta", latency_ms=None, jitter_ms=None)).json["faults"] == [
        {"tenantId": "birch", "hang": True}
    ]
    assert (await world.faults(clear=True)).json["faults"] == []


def test_the_narrower_scope_has_the_last_word() -> None:
    faults = Faults(now=lambda: 0.0, draw=lambda: 0.0)
    faults.set(Switches(cloud="meta", tenantId="alder", statuses="read"))
    faults.set(Switches(statuses="off"))

    assert faults.switch("statuses", "meta", "alder") == "read"
    assert faults.switch("statuses", "meta", "birch") == "off"


def test_a_rate_fails_that_share_of_the_calls() -> None:
    draws = iter([0.1, 0.4, 0.9] * 2)
    faults = Faults(now=lambda: 0.0, draw=lambda: next(draws))
    faults.set(Switches(fail_status=500, fail_rate=0.4))

    plans = [faults.plan("meta", "alder", "graph_send") for _ in range(3)]

    assert [plan and plan.fail_status for plan in plans] == [500, None, None]


def test_without_rules_nothing_is_planned() -> None:
    assert Faults().plan("meta", "alder", "graph_send") is None
