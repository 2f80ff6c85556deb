"""What the simulated Graph API accepts and refuses."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from tests.sandbox.world import ACCOUNT, DATA, World, fixture, shape, until

TEXT: dict[str, Any] = fixture("wa_send_ok")["request"]["body"]
BUTTONS: dict[str, Any] = {
    "type": "button",
    "body": {"text": "Choose"},
    "action": {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "Yes"}}]},
}
LIST: dict[str, Any] = {
    "type": "list",
    "body": {"text": "Choose"},
    "action": {"button": "Open", "sections": [{"rows": [{"id": "a", "title": "One"}]}]},
}
TEMPLATE: dict[str, Any] = {"name": "order_update", "language": {"code": "en_GB"}}


def message(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "to": "447700900111", "type": kind, kind: content, **more}


def changed(body: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    """The body with members replaced; None takes a member out."""
    merged = {**copy.deepcopy(body), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def buttons(*titles: str, ids: list[str] | None = None) -> dict[str, Any]:
    replies = [{"id": (ids or list(titles))[n], "title": title} for n, title in enumerate(titles)]
    return changed(BUTTONS, action={"buttons": [{"type": "reply", "reply": reply} for reply in replies]})


def rows(count: int, **row: Any) -> dict[str, Any]:
    made = [{"id": str(n), "title": f"Row {n}", **row} for n in range(count)]
    return changed(LIST, action={"button": "Open", "sections": [{"rows": made}]})


def template(*texts: dict[str, Any]) -> dict[str, Any]:
    parameters = [{"type": "text", **text} for text in texts]
    return {**TEMPLATE, "components": [{"type": "body", "parameters": parameters}]}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(TEXT, id="text"),
        pytest.param(message("text", {"body": "x" * 4096}), id="the longest text"),
        pytest.param(message("text", {"body": "hi"}, to="+44 7700 900-111"), id="a number with punctuation"),
        pytest.param(message("text", {"body": "hi"}, context={"message_id": "wamid.x"}), id="a reply"),
        pytest.param(message("location", {"latitude": 51.5, "longitude": -0.12}), id="location"),
        pytest.param(message("reaction", {"message_id": "wamid.x", "emoji": ""}), id="a reaction taken back"),
        pytest.param(message("image", {"link": "https://example.org/a.png", "caption": "c"}), id="image by link"),
        pytest.param(message("interactive", buttons("Yes", "No", "Maybe")), id="three buttons"),
        pytest.param(message("interactive", rows(10)), id="ten rows"),
        pytest.param(message("template", template({"text": "4711"})), id="template"),
        pytest.param(message("contacts", [{"name": {"formatted_name": "A B", "first_name": "A"}}]), id="contact"),
    ],
)
async def test_a_right_message_is_accepted(world: World, body: dict[str, Any]) -> None:
    answer = await world.send(body)

    assert answer.status == 200
    assert shape(answer.json) == shape(fixture("wa_send_ok")["response"]["body"])
    assert answer.json["contacts"][0]["wa_id"] == "447700900111"


async def test_a_message_to_a_hidden_number_is_answered_with_the_user_id(world: World) -> None:
    recorded = fixture("wa_send_ok_bsuid")

    answer = await world.send(recorded["request"]["body"])

    assert shape(answer.json) == shape(recorded["response"]["body"])
    assert answer.json["contacts"] == recorded["response"]["body"]["contacts"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(changed(TEXT, messaging_product=None), 100, id="no messaging_product"),
        pytest.param(changed(TEXT, to=None), 131008, id="nobody to send to"),
        pytest.param(changed(TEXT, to="12ab"), 131009, id="not a number"),
        pytest.param(changed(TEXT, to=ACCOUNT["displayPhoneNumber"]), 131021, id="to oneself"),
        pytest.param(changed(TEXT, to=None, recipient="44.x"), 131009, id="not a BSUID"),
        pytest.param(changed(TEXT, type=None), 131008, id="no type"),
        pytest.param(changed(TEXT, type="poll"), 131051, id="unknown type"),
        pytest.param(changed(TEXT, text=None), 131008, id="no text object"),
        pytest.param(changed(TEXT, text={"body": ""}), 131008, id="empty text"),
        pytest.param(changed(TEXT, text={"body": "x" * 4097}), 100, id="text too long"),
        pytest.param(changed(TEXT, text={"body": "😀" * 2049}), 100, id="text too long in UTF-16"),
        pytest.param(changed(TEXT, text={"body": "x", "body2": "y"}), 100, id="unknown member in text"),
        pytest.param(changed(TEXT, surprise=1), 100, id="unknown member"),
        pytest.param(changed(TEXT, image={"link": "https://a.b/c"}), 100, id="content of another type"),
        pytest.param(changed(TEXT, biz_opaque_callback_data="x" * 513), 100, id="opaque data too long"),
        pytest.param(message("audio", {"link": "https://a.b/c", "caption": "c"}), 100, id="audio with caption"),
        pytest.param(message("image", {"id": "1"}), 131009, id="a media id that nobody uploaded"),
        pytest.param(message("image", {}), 131008, id="media without id or link"),
        pytest.param(message("interactive", buttons("A", "B", "C", "D")), 131009, id="four buttons"),
        pytest.param(message("interactive", buttons("A", "A", ids=["1", "2"])), 131009, id="equal titles"),
        pytest.param(message("interactive", buttons("A", "B", ids=["1", "1"])), 131009, id="equal ids"),
        pytest.param(message("interactive", buttons("x" * 21)), 100, id="title too long"),
        pytest.param(message("interactive", changed(BUTTONS, body={"text": "x" * 1025})), 100, id="body too long"),
        pytest.param(message("interactive", changed(BUTTONS, body=None)), 131008, id="no body"),
        pytest.param(message("interactive", rows(11)), 131009, id="eleven rows"),
        pytest.param(message("interactive", rows(1, description="x" * 73)), 100, id="description too long"),
        pytest.param(message("template", template({"text": "a\nb"})), 132012, id="line break in a parameter"),
        pytest.param(message("template", template({"text": "a     b"})), 132012, id="five spaces in a parameter"),
        pytest.param(
            message("template", template({"text": "a"}, {"text": "b", "parameter_name": "n"})),
            132012,
            id="named and positional parameters",
        ),
        pytest.param(message("template", {"name": "order_update"}), 131008, id="template without language"),
        pytest.param(
            message("reaction", {"message_id": "wamid.x", "emoji": "x"}, context={"message_id": "w"}),
            100,
            id="a reaction that quotes",
        ),
        pytest.param([], 100, id="not an object"),
        pytest.param(b"{", 100, id="not JSON"),
    ],
)
async def test_a_wrong_message_is_refused_in_the_graph_apis_words(world: World, body: Any, code: int) -> None:
    answer = await world.send(body)

    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["message"].startswith(f"(#{code}) ")
    assert shape(answer.json) == shape(fixture("wa_error_100")["response"]["body"])
    assert answer.status == 400
    assert not world.router.posts


@pytest.mark.parametrize(
    ("token", "number", "status", "code"),
    [
        pytest.param("", ACCOUNT["phoneNumberId"], 401, 190, id="no token"),
        pytest.param("made-up", ACCOUNT["phoneNumberId"], 401, 190, id="unknown token"),
        pytest.param("whatsapp-token-of-birch", ACCOUNT["phoneNumberId"], 403, 10, id="token of another business"),
        pytest.param("whatsapp-token-of-birch", "999", 400, 100, id="unknown number"),
    ],
)
async def test_a_token_holds_for_its_own_number_only(
    world: World, token: str, number: str, status: int, code: int
) -> None:
    answer = await world.send(TEXT, token, number)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)


async def test_an_expired_token_is_refused_like_the_real_one(world: World) -> None:
    await world.faults(cloud="meta", expire_tokens=True)

    answer = await world.send(TEXT)

    expected = fixture("wa_error_190")["response"]
    assert answer.status == expected["status"]
    assert {**answer.json["error"], "fbtrace_id": ""} == {**expected["body"]["error"], "fbtrace_id": ""}
    await world.faults(clear=True)
    assert (await world.send(TEXT)).status == 200


async def limit(world: World, **limits: float) -> None:
    answer = await world.ask("POST", "/sandbox/accounts", {**ACCOUNT, "limits": limits})
    assert answer.status == 200


async def test_a_number_sends_no_more_than_its_throughput(world: World) -> None:
    await limit(world, whatsappMessagesPerSecond=3, personBurst=100)

    statuses = [(await world.send(TEXT)).status for _ in range(3)]
    refused = await world.send(TEXT)
    world.now += 1.0

    expected = fixture("wa_error_130429")["response"]
    assert statuses == [200, 200, 200]
    assert refused.status == expected["status"]
    assert refused.json["error"] | {"fbtrace_id": ""} == expected["body"]["error"] | {"fbtrace_id": ""}
    assert (await world.send(TEXT)).status == 200


async def test_a_person_is_sent_a_burst_and_then_a_message_every_six_seconds(world: World) -> None:
    statuses = [(await world.send(TEXT)).status for _ in range(45)]
    refused = await world.send(TEXT)
    someone_else = await world.send(changed(TEXT, to="447700900222"))
    world.now += 6.0
    later = await world.send(TEXT)
    too_soon = await world.send(TEXT)

    expected = fixture("wa_error_131056")["response"]
    assert set(statuses) == {200}
    assert refused.status == expected["status"]
    assert refused.json["error"] | {"fbtrace_id": ""} == expected["body"]["error"] | {"fbtrace_id": ""}
    assert someone_else.status == 200
    assert later.status == 200
    assert too_soon.json["error"]["code"] == 131056


async def test_outside_the_known_window_only_a_template_is_taken(world: World) -> None:
    long_ago = int(time.time()) - 25 * 3600
    await world.write(**{"as": "customer", "customer": "447700900111", "text": "hi", "timestamp": long_ago})

    refused = await world.send(TEXT)
    taken = await world.send(message("template", TEMPLATE))
    await world.write(**{"as": "customer", "customer": "447700900111", "text": "again"})

    expected = fixture("wa_error_131047")["response"]
    assert refused.status == expected["status"]
    assert refused.json["error"] | {"fbtrace_id": ""} == expected["body"]["error"] | {"fbtrace_id": ""}
    assert taken.status == 200
    assert (await world.send(TEXT)).status == 200


async def test_a_customer_never_seen_is_sent_to(world: World) -> None:
    assert (await world.send(changed(TEXT, to="447700900999"))).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(fixture("wa_mark_read_ok")["request"]["body"], 200, id="read and typing"),
        pytest.param({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x"}, 200, id="read"),
        pytest.param({"messaging_product": "whatsapp", "status": "read"}, 400, id="no message"),
        pytest.param({"messaging_product": "whatsapp", "status": "seen", "message_id": "wamid.x"}, 400, id="seen"),
    ],
)
async def test_a_read_mark_is_checked(world: World, body: dict[str, Any], status: int) -> None:
    answer = await world.send(body)

    assert answer.status == status
    if status == 200:
        assert answer.json == fixture("wa_mark_read_ok")["response"]["body"]


async def test_media_that_does_not_exist_is_a_graph_error(world: World) -> None:
    headers = {"Authorization": f"Bearer {ACCOUNT['accessToken']}"}

    answer = await world.ask("GET", "/graph/v25.0/1913918400767715", headers=headers)

    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["error_subcode"]) == (400, 100, 33)


async def test_statuses_follow_with_the_opaque_data_and_a_right_signature(world: World) -> None:
    answer = await world.send(TEXT)
    await until(lambda: len(world.router.meta_values("statuses")) == 2)

    statuses = world.router.meta_values("statuses")
    assert [each["status"] for each in statuses] == ["sent", "delivered"]
    assert {each["id"] for each in statuses} == {answer.json["messages"][0]["id"]}
    assert {each["biz_opaque_callback_data"] for each in statuses} == {TEXT["biz_opaque_callback_data"]}
    recorded = json.loads((DATA / "whatsapp" / "status_delivered.json").read_text())["entry"][0]["changes"][0]["value"]
    posted = world.router.bodies[-1]["entry"][0]["changes"][0]["value"]
    assert shape(posted["statuses"][-1]) == shape(recorded["statuses"][0])
    assert shape(posted["contacts"]) == shape(recorded["contacts"])


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        pytest.param({"statuses": "read"}, ["sent", "delivered", "read"], id="read"),
        pytest.param({"status_order": "reverse"}, ["delivered", "sent"], id="reversed"),
        pytest.param({"statuses": "failed", "status_code": 131047}, ["sent", "failed"], id="failed"),
    ],
)
async def test_statuses_follow_their_switches(world: World, switches: dict[str, Any], expected: list[str]) -> None:
    await world.faults(**switches)

    await world.send(TEXT)
    await until(lambda: len(world.router.meta_values("statuses")) == len(expected))

    statuses = world.router.meta_values("statuses")
    assert [each["status"] for each in statuses] == expected
    if "status_code" in switches:
        assert statuses[-1]["errors"][0]["code"] == 131047
