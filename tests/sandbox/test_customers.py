"""What customers can send beyond what another library reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.kinds import BUILDERS, FILES
from sandbox.people import business_scoped_id
from tests.sandbox.world import CUSTOMER, DATA, World, fixture, shape

TEXT: dict[str, Any] = fixture("wa_send_ok")["request"]["body"]


def recorded(name: str) -> Any:
    body = json.loads((DATA / "whatsapp" / f"{name}.json").read_text())
    return body["entry"][0]["changes"][0]["value"]


@pytest.mark.parametrize(
    ("kind", "order", "name"),
    [
        ("image", {"content": {"caption": "c"}}, "image_caption"),
        ("image", {"content": {"url": True, "mime": "image/png"}}, "image_with_url"),
        ("video", {"text": "a text beside a file is its caption"}, "video_caption"),
        ("voice", {}, "audio_voice_note"),
        ("audio", {}, "audio_file"),
        ("document", {"content": {"caption": "c", "filename": "f.pdf"}}, "document_caption_filename"),
        ("sticker", {"content": {"animated": True}}, "sticker_animated"),
        ("location", {"content": {"latitude": 51.5, "longitude": -0.1}}, "location_pin"),
        ("button", {}, "button_template_reply"),
        ("button_reply", {}, "interactive_button_reply"),
        ("list_reply", {}, "interactive_list_reply"),
        ("nfm_reply", {}, "interactive_flow_reply"),
        ("call_permission_reply", {}, "interactive_call_permission"),
        ("reaction", {}, "reaction_add"),
        ("reaction_removal", {}, "reaction_remove"),
        ("number_change", {}, "system_number_change"),
        ("unsupported", {}, "unsupported_poll"),
        ("request_welcome", {}, "request_welcome"),
        ("edit", {}, "edit_text"),
        ("revoke", {}, "revoke"),
        ("text", {"text": "x", "groupId": "1"}, "text_group"),
        ("text", {"text": "x", "referral": {}}, "text_ad_referral"),
        ("text", {"text": "x", "context": {"id": "wamid.x"}}, "text_reply_context"),
        ("text", {"text": "x", "context": {"forwarded": True}}, "text_forwarded"),
        ("text", {"text": "x", "identity": "number"}, "text_before_bsuid"),
        ("text", {"text": "x", "identity": "hidden", "username": "u", "parentUserId": "GB.ENT.1"}, "text_bsuid_only"),
    ],
)
async def test_each_kind_has_the_shape_of_a_recorded_one(
    world: World, kind: str, order: dict[str, Any], name: str
) -> None:
    await world.customer(kind, **order)

    value = world.router.bodies[-1]["entry"][0]["changes"][0]["value"]
    assert shape(value) == shape(recorded(name))


@pytest.mark.parametrize("kind", [*FILES, *BUILDERS])
async def test_a_kind_alone_is_enough(world: World, kind: str) -> None:
    sent = await world.customer(kind)

    assert sent["status"] == 200
    assert world.router.meta_values("messages")[0]["id"] == sent["id"]
    assert (await world.conversation())["phone"][0]["kind"] == kind


@pytest.mark.parametrize(
    ("order", "why"),
    [
        pytest.param({"kind": "hologram"}, "cannot send 'hologram'", id="unknown kind"),
        pytest.param({"kind": "card"}, "cannot send 'card'", id="an agent's kind"),
        pytest.param({"kind": "location", "content": []}, "content of location is an object", id="list for an object"),
        pytest.param({"kind": "contacts", "content": {}}, "content of contacts is a list", id="object for a list"),
        pytest.param({"kind": "image", "content": {"base64": "?"}}, "not Base64", id="not Base64"),
        pytest.param({"kind": "image", "content": {"colour": 1}}, "Invalid body", id="unknown member of a file"),
        pytest.param({"kind": "text"}, "Invalid body", id="text without text"),
    ],
)
async def test_what_no_customer_can_send_is_refused_in_words(world: World, order: dict[str, Any], why: str) -> None:
    answer = await world.ask("POST", "/sandbox/send", {"as": "customer", "tenantId": "alder", **order})

    assert answer.status == 400
    assert why in answer.json["error"]
    assert not world.router.posts


async def test_any_object_may_be_sent_as_a_message(world: World) -> None:
    message = {"type": "image", "id": "wamid.mine", "timestamp": 5, "surprise": [None]}

    sent = await world.customer("raw", content=message)

    (posted,) = world.router.meta_values("messages")
    assert sent["id"] == "wamid.mine"
    assert {name: posted[name] for name in message} == message


async def test_any_value_and_field_may_be_posted(world: World) -> None:
    value = {"message_echoes": [{"from": "442079460101", "to": CUSTOMER, "id": "wamid.echo", "type": "text"}]}

    await world.customer("value", content=value, field="smb_message_echoes")

    change = world.router.bodies[0]["entry"][0]["changes"][0]
    assert change["field"] == "smb_message_echoes"
    assert change["value"]["message_echoes"] == value["message_echoes"]
    assert not (await world.conversation())["phone"]


async def test_answers_to_a_hidden_number_appear_on_the_same_phone(world: World) -> None:
    await world.customer(text="my number is known")
    await world.customer(text="now it is hidden", identity="hidden")
    body = {name: value for name, value in TEXT.items() if name != "to"}

    await world.send({**body, "recipient": business_scoped_id(CUSTOMER)})

    assert [each["author"] for each in (await world.conversation())["phone"]] == ["customer", "customer", "agent"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [pytest.param("image", 200, id="a photo opens it"), pytest.param("number_change", 400, id="a notice does not")],
)
async def test_the_window_opens_when_the_customer_says_something(world: World, kind: str, status: int) -> None:
    await world.customer(text="long ago", timestamp=1_700_000_000)
    assert (await world.send(TEXT)).json["error"]["code"] == 131047

    await world.customer(kind)

    assert (await world.send(TEXT)).status == status


async def test_read_marks_and_typing_marks_are_counted_on_the_message(world: World) -> None:
    sent = await world.customer("image")
    mark = {"messaging_product": "whatsapp", "status": "read", "message_id": sent["id"]}

    await world.send(mark)
    await world.send({**mark, "typing_indicator": {"type": "text"}})

    shown = (await world.conversation())["phone"][0]
    assert (shown["state"], shown["readMarks"], shown["typingMarks"]) == ("read", 2, 1)
