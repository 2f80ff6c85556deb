"""The log of what arrived and left."""

from __future__ import annotations

import asyncio
import json

from sandbox.events import KEPT_BODIES, EventLog
from tests.sandbox.world import ACCOUNT, World, fixture, until

MESSAGE = fixture("gen_inbound_message_ok")["request"]["body"]


def test_sequence_numbers_go_on_when_old_events_are_dropped() -> None:
    log = EventLog(kept=8)
    for number in range(1, 101):
        log.add("meta", "in", "graph_send", id=str(number), status=200)

    kept = list(log.since(0))

    assert log.last_seq == 100
    assert [event.seq for event in kept] == list(range(log.first_seq, 101))
    assert 8 <= len(kept) <= 10
    assert [event.id for event in log.since(98)] == ["99", "100"]
    assert log.counts["graph_send:200"] == 100


def test_only_the_newest_bodies_are_kept() -> None:
    log = EventLog()
    for _ in range(KEPT_BODIES + 1):
        log.add("meta", "in", "graph_send", body=b"{}")

    events = list(log.since(0))

    assert events[0].body is None
    assert events[1].body == b"{}"


async def test_clearing_forgets_events_but_not_the_numbering(world: World) -> None:
    await world.inbound(MESSAGE, await world.bearer())
    before = (await world.ask("GET", "/sandbox/stats")).json["lastSeq"]

    await world.ask("POST", "/sandbox/reset")

    assert (await world.ask("GET", "/sandbox/events")).json["events"] == []
    await world.inbound(MESSAGE, await world.bearer())
    assert (await world.ask("GET", "/sandbox/events")).json["events"][0]["seq"] == before + 1


async def test_an_arrival_is_recorded_with_ids_times_and_body(world: World) -> None:
    answer = await world.inbound(MESSAGE, await world.bearer())

    event = (await world.ask("GET", "/sandbox/events?kind=genesys_message&bodies=1")).json["events"][0]

    assert (event["side"], event["direction"], event["status"]) == ("genesys", "in", 200)
    assert (event["id"], event["ref"]) == (MESSAGE["channel"]["messageId"], answer.json["id"])
    assert event["conversation"] == f"{ACCOUNT['genesys']['integrationId']}|447700900111"
    assert event["text"] == MESSAGE["text"]
    assert event["monoNs"] > 0
    assert event["at"] > 1_700_000_000_000
    assert event["latencyMs"] >= 0
    assert json.loads(event["body"]) == MESSAGE


async def test_no_secret_is_in_the_log(world: World) -> None:
    token = (await world.token()).json["access_token"]

    shown = (await world.ask("GET", "/sandbox/events?bodies=1")).raw.decode()

    assert token not in shown
    assert ACCOUNT["genesys"]["clientSecret"] not in shown


async def test_a_waiting_observer_sees_an_arrival_at_once(world: World) -> None:
    headers = await world.bearer()
    waiting = asyncio.ensure_future(
        world.ask("GET", f"/sandbox/events?wait=5000&kind=genesys_message&id={MESSAGE['channel']['messageId']}")
    )
    await asyncio.sleep(0)
    assert not waiting.done()

    await world.inbound({**MESSAGE, "channel": {**MESSAGE["channel"], "messageId": "another"}}, headers)
    await asyncio.sleep(0)
    await world.inbound(MESSAGE, headers)

    async with asyncio.timeout(2):
        found = (await waiting).json
    assert [event["id"] for event in found["events"]] == [MESSAGE["channel"]["messageId"]]


async def test_waiting_ends_with_its_time(world: World) -> None:
    async with asyncio.timeout(2):
        found = (await world.ask("GET", "/sandbox/events?wait=20")).json

    assert found["events"] == []


async def test_records_are_json_lines_by_kind(world: World) -> None:
    headers = await world.bearer()
    await world.inbound({**MESSAGE, "text": "x" * 100}, headers)
    await world.send(fixture("wa_send_ok")["request"]["body"])

    answer = await world.ask("GET", "/sandbox/records?kind=genesys_message")

    records = [json.loads(line) for line in answer.raw.splitlines()]
    assert len(records) == 1
    assert records[0]["id"] == MESSAGE["channel"]["messageId"]
    assert records[0]["text"] == "x" * 64
    assert records[0]["status"] == 200
    later = await world.ask("GET", f"/sandbox/records?kind=genesys_message&since={records[0]['seq']}")
    assert later.raw == b""


async def test_counters_tell_kinds_and_answers_apart(world: World) -> None:
    await world.inbound(MESSAGE, {})
    await world.inbound(MESSAGE, await world.bearer())
    await world.write(**{"as": "customer", "text": "hi"})
    await until(lambda: world.sandbox.parts.sender.pending == 0)

    stats = (await world.ask("GET", "/sandbox/stats")).json

    assert stats["counts"] == {
        "genesys_message:200": 1,
        "genesys_message:401": 1,
        "meta_message:200": 1,
        "token:200": 1,
    }
    assert (stats["inFlight"], stats["maxInFlight"]) == (0, 1)
