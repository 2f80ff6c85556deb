"""Taps on what an agent's side sent, as answers to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.protocol.payloads import messages, names
from trunkline.protocol.inbound import Prompt, convert_inbound, prompt_reference

ALDER, INES = "210099887766551", "447700900111"
QUOTED = {
    "interactive_button_reply": "wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQ0JFMjk4OTdGODg3QUFBMDRFAA==",
    "interactive_list_reply": "wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSM0U2NkYxNzM4NkRGOTNERTk1AA==",
    "button_template_reply": "wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQUJFNEE0NjlBQjY2QThFQ0U1AA==",
}
BUTTON = {"type": "button", "button": {"text": "Yes", "payload": "opt_yes"}}


@pytest.mark.parametrize("name", [name for name in names("whatsapp") if messages(name)])
def test_a_recorded_tap_names_what_it_answers(name: str) -> None:
    assert {prompt_reference(message) for message, _ in messages(name)} == {QUOTED.get(name)}


@pytest.mark.parametrize(
    ("message", "reference"),
    [
        pytest.param({**BUTTON, "context": {"id": "wamid.0"}}, "wamid.0", id="a button"),
        pytest.param(BUTTON, None, id="no context"),
        pytest.param({**BUTTON, "context": {"forwarded": True}}, None, id="forwarded"),
        pytest.param({**BUTTON, "context": {"id": ""}}, None, id="an empty id"),
        pytest.param({"type": "button", "context": {"id": "wamid.0"}}, None, id="no button"),
        pytest.param({"type": "text", "button": {"text": "x"}, "context": {"id": "wamid.0"}}, None, id="a text"),
        pytest.param({"type": ["button"], "context": {"id": "wamid.0"}}, None, id="a type of a wrong type"),
    ],
)
def test_only_a_tap_refers_to_a_prompt(message: dict[str, Any], reference: str | None) -> None:
    assert prompt_reference(message) == reference


def test_a_tap_on_a_bridged_message_is_its_answer() -> None:
    [(message, contact)] = messages("interactive_button_reply")
    prompt = Prompt("c1f0a4f2d5b94c6e", "quick_reply")
    [post] = convert_inbound(message, contact, ALDER, 0, False, identity=INES, prompt=prompt)
    assert post.resource == "structured/response"
    assert post.body == {
        "channel": {
            "messageId": message["id"],
            "from": {
                "id": INES,
                "idType": "Phone",
                "nickname": "Ines Calder",
                "firstName": "Ines",
                "lastName": "Calder",
            },
            "time": "2026-11-23T12:00:00.000Z",
            "metadata": {
                "customAttributes": {
                    "wa_phone_number_id": ALDER,
                    "wa_message_type": "interactive",
                    "wa_context_id": QUOTED["interactive_button_reply"],
                    "wa_button_id": "opt_yes",
                }
            },
        },
        "buttonResponse": {"type": "QuickReply", "text": "Yes", "payload": "opt_yes"},
        "originatingMessageId": "c1f0a4f2d5b94c6e",
    }


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("quick_reply", "QuickReply"),
        ("template", "QuickReply"),
        ("card", "Button"),
        ("carousel", "Button"),
        ("list_picker", "Button"),
        ("date_picker", "DatePicker"),
    ],
)
@pytest.mark.parametrize(
    ("message", "button"),
    [
        pytest.param(BUTTON, {"text": "Yes", "payload": "opt_yes"}, id="a button"),
        pytest.param({"type": "button", "button": {"text": "Yes"}}, {"text": "Yes", "payload": "Yes"}, id="no payload"),
        pytest.param(
            {"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "r1"}}},
            {"text": "r1", "payload": "r1"},
            id="no title",
        ),
    ],
)
def test_an_answer_has_the_type_of_its_prompt(
    kind: str, type_: str, message: dict[str, Any], button: dict[str, str]
) -> None:
    [post] = convert_inbound({"id": "w", **message}, None, ALDER, 0, False, identity=INES, prompt=Prompt("g1", kind))
    assert post.body["buttonResponse"] == {"type": type_, **button}


@pytest.mark.parametrize(
    ("message", "prompt"),
    [
        pytest.param(BUTTON, None, id="nothing of ours"),
        pytest.param(BUTTON, Prompt("g1", "text"), id="not a structured message"),
        pytest.param({"type": "text", "text": {"body": "Yes"}}, Prompt("g1", "card"), id="not a tap"),
        pytest.param({"type": "button"}, Prompt("g1", "card"), id="no button"),
        pytest.param({"type": "button", "button": {"text": "x" * 5000}}, Prompt("g1", "card"), id="a title too long"),
    ],
)
def test_what_answers_no_prompt_is_text(message: dict[str, Any], prompt: Prompt | None) -> None:
    posts = convert_inbound({"id": "w", **message}, None, ALDER, 0, False, identity=INES, prompt=prompt)
    assert {post.resource for post in posts} == {"message"}
    assert all(post.body["text"] for post in posts)
