"""Intake: everything in a webhook is stored before it is answered, and nothing harms its neighbours."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from tests.fakes import Clock, MemoryAliases, MemoryArrivals, MemoryLanes, MemoryTenants
from tests.trunkline.protocol.payloads import any_json, load, mutations
from tests.trunkline.records import tenant_record
from trunkline.delivery import recording as recording_module
from trunkline.delivery.intake import (
    LONGEST_ID,
    UNVERIFIED_BYTES_LIMIT,
    UNVERIFIED_COUNT_EVERY_S,
    UNVERIFIED_LIMIT,
    Intake,
)
from trunkline.delivery.people import People
from trunkline.delivery.webhook_json import NotJson, read_json
from trunkline.envelope import Direction, Envelope
from trunkline.errors import StoreUnavailable
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import MetaApp, TenantRecord, WhatsAppAccount


def tenant(tenant_id: str, number: str, app: str = "default") -> TenantRecord:
    record = tenant_record(tenant_id)
    return replace(record, whatsapp=WhatsAppAccount(number, "1044", record.whatsapp.access_token, app=app))


ACME, BETA, OWN = tenant("acme", "2100"), tenant("beta", "2200"), tenant("own", "2300", app="own-app")


class World:
    """Intake with its directory, broker and records."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lanes = MemoryLanes()
        self.arrivals = MemoryArrivals()
        self.source = MemoryTenants(ACME, BETA, OWN)
        directory = TenantDirectory(self.source, MetaApp("default", (), ()), self.clock)
        self.aliases = MemoryAliases()
        self.intake = Intake(directory, self.lanes, self.arrivals, People(self.aliases, self.clock), self.clock)

    async def take(self, *values: dict[str, Any], app: str = "default") -> None:
        changes = [{"field": "messages", "value": value} for value in values]
        await self.intake.take_meta(app, {"object": "whatsapp_business_account", "entry": [{"changes": changes}]})
        await self.intake.idle()
        self.aliases.learn([alias for arrival in self.arrivals.recorded for alias in arrival.aliases])

    async def take_genesys(self, **members: Any) -> None:
        await self.intake.take_genesys(ACME, {**load("genesys/text_agent"), **members})
        await self.intake.idle()

    @property
    def published(self) -> list[tuple[str, str, str]]:
        return [(e.tenant_id, e.conversation, e.external_id) for e in self.lanes.published]

    @property
    def reasons(self) -> list[str]:
        return [stray.reason for stray in self.arrivals.strays]


@pytest.fixture(scope="module", autouse=True)
def recorded_at_once() -> Iterator[None]:
    """Records wait for company; these tests do not."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recording_module, "RECORD_AFTER_S", 0.0)
        yield


@pytest.fixture
def world() -> World:
    return World()


def value(*messages: Any, number: str = "2100", statuses: Any = (), contacts: Any = ()) -> dict[str, Any]:
    return {
        "metadata": {"phone_number_id": number},
        "messages": list(messages),
        "statuses": list(statuses),
        "contacts": list(contacts),
    }


def text(wamid: str, sender: str = "4477", body: str = "hello") -> dict[str, Any]:
    return {"id": wamid, "from": sender, "type": "text", "timestamp": "1795435200", "text": {"body": body}}


def status(wamid: str = "wamid.out", state: Any = "delivered", **members: Any) -> dict[str, Any]:
    return {"id": wamid, "status": state, "recipient_id": "4477", **members}


async def test_a_message_becomes_an_envelope_in_its_tenants_lane_and_is_recorded(world: World) -> None:
    contact = {"wa_id": "4477", "profile": {"name": "Ines"}}
    await world.take(value(text("m1"), contacts=[contact]))
    (envelope,) = world.lanes.published
    assert (envelope.tenant_id, envelope.direction, envelope.kind) == ("acme", Direction.INBOUND, "text")
    assert (envelope.conversation, envelope.external_id, envelope.accepted_at) == ("4477", "m1", world.clock())
    assert envelope.payload == {"phoneNumberId": "2100", "message": text("m1"), "contact": contact}
    (arrival,) = world.arrivals.recorded
    assert (arrival.envelope, arrival.text, arrival.window_hours, arrival.is_message) == (envelope, "hello", 72, True)


async def test_several_tenants_in_one_post_each_get_their_own(world: World) -> None:
    await world.take(value(text("m1"), text("m2", "4478")), value(text("m3"), number="2200", statuses=[status()]))
    assert sorted(world.published) == [
        ("acme", "4477", "m1"),
        ("acme", "4478", "m2"),
        ("beta", "4477", "m3"),
        ("beta", "4477", "wamid.out"),
    ]


@pytest.mark.parametrize(
    ("number", "app"),
    [
        pytest.param("2300", "default", id="the number of a tenant with an app of its own"),
        pytest.param("2100", "own-app", id="another tenant's number, signed by one's own app"),
        pytest.param("9999", "default", id="nobody's number"),
    ],
)
async def test_a_number_that_the_app_does_not_own_is_not_routed(world: World, number: str, app: str) -> None:
    await world.take(value(text("m1"), number=number), app=app)
    assert world.published == []
    (stray,) = world.arrivals.strays
    assert (stray.reason, stray.tenant_id, stray.wamid, stray.direction) == ("unrouted", None, "m1", Direction.INBOUND)
    kept = orjson.loads(stray.body)
    assert (kept["app"], kept["phoneNumberId"], kept["raw"]) == (app, number, text("m1"))


async def test_one_app_may_carry_messages_of_its_own_number(world: World) -> None:
    await world.take(value(text("m1"), number="2300"), app="own-app")
    assert world.published == [("own", "4477", "m1")]


BAD = [
    pytest.param("odd", id="a text"),
    pytest.param(None, id="null"),
    pytest.param([], id="an array"),
    pytest.param({}, id="nothing in it"),
    pytest.param({**text("m"), "id": None}, id="no id"),
    pytest.param({**text("m"), "id": 7}, id="a number as id"),
    pytest.param({**text("m"), "id": ""}, id="an empty id"),
    pytest.param({**text("m"), "id": "x" * (LONGEST_ID + 1)}, id="an endless id"),
    pytest.param({**text("m"), "from": None}, id="no sender"),
    pytest.param({**text("m"), "from": {"x": 1}}, id="an object as sender"),
]


@pytest.mark.parametrize("bad", BAD)
async def test_one_bad_message_is_kept_as_invalid_and_harms_no_other(world: World, bad: Any) -> None:
    await world.take(value(text("m1"), bad, text("m2")), value(bad, number="2200"))
    assert [external for _, _, external in world.published] == ["m1", "m2"]
    assert world.reasons == ["invalid", "invalid"]
    assert [stray.tenant_id for stray in world.arrivals.strays] == ["acme", "beta"]


@pytest.mark.parametrize("odd", [None, 7, ["delivered"], {"is": "delivered"}, "", "deleted", "warning"])
async def test_one_status_of_no_known_kind_is_dropped_and_harms_no_other(world: World, odd: Any) -> None:
    await world.take(value(text("m1"), statuses=[status(state=odd), status("wamid.2")]))
    assert sorted(world.published) == [("acme", "4477", "m1"), ("acme", "4477", "wamid.2")]
    assert world.reasons == []


@pytest.mark.parametrize("state", ["sent", "delivered", "read", "played", "failed"])
async def test_a_status_takes_the_lane_of_statuses_and_is_no_message(world: World, state: str) -> None:
    await world.take(value(statuses=[status(state=state)]))
    (envelope,) = world.lanes.published
    assert (envelope.direction, envelope.kind) == (Direction.STATUS, state)
    assert [arrival.is_message for arrival in world.arrivals.recorded] == [False]


async def test_a_duplicate_in_one_post_is_published_once(world: World) -> None:
    await world.intake.take_meta("default", load("whatsapp/duplicate_in_batch"))
    await world.take(value(text("m1"), text("m1")), value(text("m1", body="a repetition")))
    assert world.published == [("acme", "4477", "m1")]
    assert world.lanes.published[0].payload["message"]["text"]["body"] == "hello"


async def test_a_repeated_webhook_has_the_ids_of_the_first(world: World) -> None:
    for _ in range(2):
        await world.take(value(text("m1"), "odd", statuses=[status()]), value(text("m2"), number="9999"))
        world.clock.advance(60)
    ids = [envelope.message_id for envelope in world.lanes.published]
    assert ids[:2] == ids[2:]
    strays = [stray.message_id for stray in world.arrivals.strays]
    assert strays[:2] == strays[2:]
    assert len(set(ids + [str(stray) for stray in strays])) == 4


async def test_statuses_of_one_message_are_told_apart(world: World) -> None:
    states = [status(state="sent"), status(), status(recipient_participant_id="4479")]
    await world.take(value(statuses=states), value(statuses=[status()], number="2200"))
    assert len({envelope.message_id for envelope in world.lanes.published}) == 4


async def test_a_conversation_keeps_its_order(world: World) -> None:
    await world.take(value(*(text(f"m{number}") for number in range(20))))
    assert [external for _, _, external in world.published] == [f"m{number}" for number in range(20)]


async def test_what_follows_a_message_that_could_not_be_stored_waits_and_other_conversations_do_not(
    world: World,
) -> None:
    world.lanes.refuses = lambda envelope: envelope.external_id == "a2"
    messages = [text("a1"), text("a2"), text("a3"), text("b1", "4478"), text("b2", "4478")]
    with pytest.raises(StoreUnavailable):
        await world.take(value(*messages))
    await world.intake.idle()
    assert sorted(external for _, _, external in world.published) == ["a1", "b1", "b2"]
    assert len(world.arrivals.recorded) == 3, "what was stored is recorded, the repetition will bring the rest"


async def test_the_one_message_of_a_post_that_cannot_be_stored_is_not_accepted(world: World) -> None:
    world.lanes.refuses = lambda envelope: True
    with pytest.raises(StoreUnavailable):
        await world.take(value(text("m1")))
    assert world.arrivals.recorded == []


async def test_strays_are_stored_before_the_answer_or_the_webhook_is_not_accepted(world: World) -> None:
    world.arrivals.away = True
    with pytest.raises(StoreUnavailable):
        await world.take(value(text("m1"), number="9999"))
    with pytest.raises(StoreUnavailable):
        await world.take(value(text("m1"), "odd"))
    assert world.published == [("acme", "4477", "m1")]


async def test_a_number_that_only_postgres_could_tell_is_not_accepted_without_it(world: World) -> None:
    await world.take(value(text("m1")))
    world.source.away = True
    with pytest.raises(StoreUnavailable):
        await world.take(value(text("m2"), number="9999"))
    await world.take(value(text("m3")))
    assert [external for _, _, external in world.published] == ["m1", "m3"]
    assert world.reasons == []


async def test_a_record_that_fails_costs_no_message(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.arrivals.away = True
    await world.take(value(text("m1", body="a secret")))
    assert world.published == [("acme", "4477", "m1")]
    assert "arrivals.unrecorded" in caplog.messages


async def test_nothing_of_a_message_is_logged_when_its_row_is_refused(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(arrivals: Any) -> None:
        raise ValueError(f"Failing row contains ({arrivals[0].text})")

    monkeypatch.setattr(world.arrivals, "record", refuse)
    await world.take(value(text("m1", body="a secret")))
    assert "arrivals.unrecorded" in caplog.messages
    assert not any("a secret" in repr(vars(record)) for record in caplog.records)


async def test_an_agents_message_becomes_an_envelope_for_the_customer_it_names(world: World) -> None:
    await world.take_genesys(id="g1", channel={"to": {"id": "+44 7700 900111"}})
    (envelope,) = world.lanes.published
    assert (envelope.direction, envelope.kind, envelope.external_id) == (Direction.OUTBOUND, "text", "g1")
    assert envelope.conversation == "447700900111"
    assert [arrival.is_message for arrival in world.arrivals.recorded] == [True]
    assert world.arrivals.recorded[0].text == load("genesys/text_agent")["text"]


@pytest.mark.parametrize("genesys_id", [None, 7, "", "x" * (LONGEST_ID + 1), ["g1"]])
async def test_an_agents_message_that_no_receipt_could_name_is_kept_as_invalid(world: World, genesys_id: Any) -> None:
    await world.take_genesys(id=genesys_id)
    (stray,) = world.arrivals.strays
    assert (stray.reason, stray.tenant_id, stray.direction) == ("invalid", "acme", Direction.OUTBOUND)
    assert world.published == []


@pytest.mark.parametrize(
    "to",
    [
        pytest.param(None, id="nobody"),
        pytest.param({"id": "not a number"}, id="no number"),
        pytest.param({"id": "9" * 100_000}, id="endless digits"),
        pytest.param({"id": "x" * 100_000}, id="endless letters"),
        pytest.param({"id": {"x": 1}}, id="an object"),
        pytest.param("447700900111", id="no object"),
    ],
)
async def test_an_agents_message_to_nobody_is_published_so_that_the_agent_is_told(world: World, to: Any) -> None:
    await world.take_genesys(id="g1", channel={"to": to})
    (envelope,) = world.lanes.published
    assert 0 < len(envelope.conversation) <= LONGEST_ID
    assert envelope.payload["channel"] == {"to": to}


async def test_events_and_receipts_of_genesys_are_told_apart_from_messages(world: World) -> None:
    for members in (
        {"type": "Text"},
        {"type": "Receipt", "status": "Published"},
        {"type": "Receipt", "status": "Failed"},
        {"type": "Receipt", "status": "Failed"},
        {"type": "Event"},
    ):
        await world.take_genesys(id="g1", **members)
    assert len({envelope.message_id for envelope in world.lanes.published}) == 4
    assert [arrival.is_message for arrival in world.arrivals.recorded] == [True, False, False, False, False]


async def test_typing_events_without_an_id_are_each_their_own(world: World) -> None:
    for _ in range(2):
        await world.take_genesys(id=None, type="Event")
    assert len({envelope.message_id for envelope in world.lanes.published}) == 2


async def test_a_webhook_nobody_can_verify_is_kept_with_what_a_replay_needs(world: World) -> None:
    await world.intake.keep_unverified("sha256=abc", b'{"id": "g1"}')
    (stray,) = world.arrivals.strays
    assert (stray.reason, stray.tenant_id) == ("unrouted", None)
    kept = orjson.loads(stray.body)
    assert (kept["signature"], base64.b64decode(kept["body"])) == ("sha256=abc", b'{"id": "g1"}')
    await world.intake.keep_unverified("sha256=abc", b'{"id": "g1"}')
    assert len({stray.message_id for stray in world.arrivals.strays}) == 1


@pytest.mark.parametrize(
    "kept_before",
    [
        pytest.param((UNVERIFIED_LIMIT, 0), id="too many"),
        pytest.param((0, UNVERIFIED_BYTES_LIMIT), id="too large"),
    ],
)
async def test_what_nobody_can_verify_is_kept_up_to_a_limit_only(world: World, kept_before: tuple[int, int]) -> None:
    world.arrivals.kept_before = kept_before
    with pytest.raises(StoreUnavailable, match="unknown integrations"):
        await world.intake.keep_unverified("sha256=abc", b"{}")
    assert world.arrivals.strays == []
    world.arrivals.kept_before = (0, 0)
    world.clock.advance(UNVERIFIED_COUNT_EVERY_S + 1)
    await world.intake.keep_unverified("sha256=abc", b"{}")


async def test_the_limit_holds_between_two_counts(world: World) -> None:
    world.arrivals.kept_before = (UNVERIFIED_LIMIT - 3, 0)
    for number in range(3):
        await world.intake.keep_unverified("sha256=abc", b"%d" % number)
    with pytest.raises(StoreUnavailable):
        await world.intake.keep_unverified("sha256=abc", b"one more")


@settings(max_examples=150, deadline=None)
@given(mutations(load("whatsapp/batch_two_tenants")) | mutations(load("whatsapp/status_batch")) | any_json)
async def test_no_signed_webhook_of_any_shape_fails(body: Any) -> None:
    world = World()
    world.source.records = {
        number: tenant(f"t{number}", number) for number in ("210099887766551", "210099887766552", "310055443322110")
    }
    with contextlib.suppress(NotJson):
        await world.intake.take_meta("default", read_json(json.dumps(body).encode()))
    for envelope in world.lanes.published:
        assert Envelope.from_bytes(envelope.to_bytes()) == envelope


# --- who wrote ---

BSUID = "GB.71204433551902288417"


def hidden(id: str = "m1") -> dict[str, Any]:
    return {"id": id, "from_user_id": BSUID, "type": "text", "text": {"body": "hi"}}


def both(id: str = "m1", number: str = "447700900111") -> dict[str, Any]:
    return {"id": id, "from": number, "from_user_id": BSUID, "type": "text", "text": {"body": "hi"}}


def changed(id: str, old: str, new: str) -> dict[str, Any]:
    return {"id": id, "from": old, "type": "system", "system": {"type": "user_changed_number", "wa_id": new}}


@pytest.mark.parametrize(
    ("said", "identity"),
    [
        pytest.param([both("m1"), hidden("m2")], "447700900111", id="a number that is hidden later"),
        pytest.param([hidden("m1"), both("m2"), both("m3")], BSUID, id="a number that is shown later"),
        pytest.param([both("m1"), changed("m2", "447700900111", "447700900333"), both("m3", "447700900333")],
                     "447700900111", id="another number"),
        pytest.param([changed("m1", "4471", "4472"), changed("m2", "4472", "4473"), both("m3", "4473")],
                     "4471", id="another number, twice"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at_once", [pytest.param(True, id="in one webhook"), pytest.param(False, id="one by one")])
@pytest.mark.parametrize("restarted", [pytest.param(True, id="another replica"), pytest.param(False, id="the same")])
async def test_a_person_keeps_one_identity(
    world: World, said: list[dict[str, Any]], identity: str, at_once: bool, restarted: bool
) -> None:
    for messages in [said] if at_once else [[each] for each in said]:
        await world.take(value(*messages))
        if restarted:
            world.intake._people = People(world.aliases, world.clock)
    assert {conversation for _, conversation, _ in world.published} == {identity}


async def test_an_agents_message_to_another_address_of_a_person_joins_their_conversation(world: World) -> None:
    await world.take(value(both("m1"), changed("m2", "447700900111", "447700900333")))
    await world.take_genesys(channel={"to": {"id": "+44 7700 900333"}})
    assert world.lanes.published[-1].conversation == "447700900111"


async def test_people_are_looked_up_once_and_forgotten_after_a_while(world: World) -> None:
    for number in range(3):
        await world.take(value(both(f"m{number}")))
    assert sorted(world.aliases.asked) == ["447700900111", BSUID]
    world.clock.advance(61)
    await world.take(value(both("m4")))
    assert len(world.aliases.asked) == 4


async def test_without_postgres_people_are_taken_at_their_word_and_nothing_is_learned(world: World) -> None:
    world.aliases.away = True
    await world.take(value(both("m1"), changed("m2", "447700900111", "447700900333")))
    assert [conversation for _, conversation, _ in world.published] == ["447700900111"] * 2
    assert [alias for arrival in world.arrivals.recorded for alias in arrival.aliases] == []
    world.aliases.away = False
    await world.take(value(both("m3")))
    assert world.aliases.asked == []  # not at once again
    world.clock.advance(6)
    await world.take(value(both("m4")))
    assert world.aliases.identities == {("acme", BSUID): "447700900111"}


async def test_a_file_is_put_on_the_list_of_what_has_to_be_fetched(world: World) -> None:
    image = {"id": "m1", "from": "4477", "type": "image", "image": {"id": "1203", "mime_type": "image/jpeg"}}
    await world.take(value(image, {"id": "m2", "from": "4477", "type": "text", "text": {"body": "hi"}}))
    files = [arrival.file and arrival.file.media_id for arrival in world.arrivals.recorded]
    assert files == ["1203", None]
