"""Contact centre to customer: recorded Genesys webhooks, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.protocol.payloads import load, names, uploads
from trunkline.errors import Rejected
from trunkline.protocol.outbound import convert_outbound, outbound_kind, outbound_text
from trunkline.protocol.text import utf16_length

INES = "447700900111"
Row = list[dict[str, Any]]


def text(body: str, preview_url: bool = False) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body, "preview_url": preview_url}}


def interactive(type_: str, body: str, action: dict[str, Any]) -> dict[str, Any]:
    return {"type": "interactive", "interactive": {"type": type_, "action": action, "body": {"text": body}}}


def buttons(body: str, *titles_by_id: tuple[str, str]) -> dict[str, Any]:
    replies = [{"type": "reply", "reply": {"id": id_, "title": title}} for id_, title in titles_by_id]
    return interactive("button", body, {"buttons": replies})


def list_of(body: str, label: str, *sections: dict[str, Any]) -> dict[str, Any]:
    return interactive("list", body, {"button": label, "sections": list(sections)})


def cta(body: str, title: str, url: str) -> dict[str, Any]:
    return interactive("cta_url", body, {"name": "cta_url", "parameters": {"display_text": title, "url": url}})


TEMPLATE = {
    "type": "template",
    "template": {
        "name": "order_update",
        "language": {"code": "en_GB"},
        "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "4711"}, {"type": "text", "text": "Friday"}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "4711"}]},
        ],
    },
}
DEPARTMENTS = ("Sales", "Billing", "Returns", "Repairs", "Complaints and feedback", "Other")

ROWS: dict[str, Row] = {
    "text_agent": [text("Good morning Ines, yes: until 6 pm.")],
    "text_bot": [text("¡Hola! 👋 ¿En qué puedo ayudarte?")],
    "text_agentless": [text("Reminder: your appointment is tomorrow at 10:00.")],
    "text_nickName_spelling": [text("Hello Tom")],
    "malformed_wrong_integration": [text("for nobody")],
    "structured_quick_replies": [buttons("Do you want to proceed?", ("yes", "Yes"), ("no", "No"))],
    "structured_quick_replies_many": [
        list_of("Which department?", "Choose", {"rows": [{"id": name, "title": name} for name in DEPARTMENTS]})
    ],
    "text_with_image": [{"type": "image", "image": {"id": "9001", "caption": "Here is the map"}}],
    "attachment_document_no_text": [{"type": "document", "document": {"id": "9001", "filename": "invoice-4711.pdf"}}],
    "attachment_audio": [{"type": "audio", "audio": {"id": "9001"}}],
    "attachment_video_caption": [{"type": "video", "video": {"id": "9001", "caption": "How to reset it"}}],
    "structured_card": [
        {
            "type": "interactive",
            "interactive": {
                "type": "button",
                "header": {"type": "image", "image": {"id": "9001"}},
                "body": {"text": "Winter set\nFour tyres, fitted"},
                "action": {
                    "buttons": [
                        {"type": "reply", "reply": {"id": "book_winter", "title": "Book"}},
                        {"type": "reply", "reply": {"id": "details_winter", "title": "Details"}},
                    ]
                },
            },
        }
    ],
    "structured_carousel": [
        buttons("Room A\nSea view", ("room_a", "Choose A")),
        cta("Room B", "Photos", "https://hotel.example.com/b"),
    ],
    "structured_list_picker": [
        list_of(
            "Pick a slot\nAll times local",
            "Slots",
            {
                "rows": [
                    {"id": "s09", "title": "09:00", "description": "Desk 1"},
                    {"id": "s10", "title": "10:00"},
                    {"id": "s11", "title": "11:00"},
                ],
                "title": "Tomorrow",
            },
        )
    ],
    "structured_date_picker": [
        list_of(
            "When suits you?\nChoose a time",
            "Choose a time",
            {
                "rows": [
                    {"id": "2026-12-01T09:00:00.000Z", "title": "2026-12-01 09:00 UTC", "description": "30 min"},
                    {"id": "2026-12-02T14:30:00.000Z", "title": "2026-12-02 14:30 UTC", "description": "30 min"},
                ]
            },
        )
    ],
    "structured_notification_template": [TEMPLATE],
    "structured_notification_no_id": [text("Welcome\n\nHow can I help?\n\nTeam Alder")],
    "event_typing_on": [],
    "receipt_published": [],
    "receipt_failed": [],
}
REFUSED = {
    "malformed_no_channel": ("invalid", "InvalidDestination"),
    "malformed_unknown_type": ("unsupported", "UnsupportedMessage"),
    "malformed_content_unknown": ("unsupported", "UnsupportedMessage"),
}
RECORDS = {
    "text_agent": ("text", "Good morning Ines, yes: until 6 pm."),
    "text_bot": ("text", "¡Hola! 👋 ¿En qué puedo ayudarte?"),
    "text_agentless": ("text", "Reminder: your appointment is tomorrow at 10:00."),
    "text_nickName_spelling": ("text", "Hello Tom"),
    "text_with_image": ("image", "Here is the map"),
    "attachment_document_no_text": ("document", None),
    "attachment_audio": ("audio", None),
    "attachment_video_caption": ("video", "How to reset it"),
    "structured_quick_replies": ("quick_reply", "Do you want to proceed?"),
    "structured_quick_replies_many": ("quick_reply", "Which department?"),
    "structured_card": ("card", "Winter set\nFour tyres, fitted"),
    "structured_carousel": ("carousel", "Room A\nSea view\n\nRoom B"),
    "structured_list_picker": ("list_picker", "Pick a slot"),
    "structured_date_picker": ("date_picker", "When suits you?"),
    "structured_notification_template": ("template", "Order 4711 arrives Friday."),
    "structured_notification_no_id": ("template", "How can I help?"),
    "event_typing_on": ("event", None),
    "receipt_published": ("receipt", None),
    "receipt_failed": ("receipt", None),
    "malformed_no_channel": ("text", "no channel"),
    "malformed_unknown_type": ("unknown", "?"),
    "malformed_content_unknown": ("unknown", None),
    "malformed_wrong_integration": ("text", "for nobody"),
}


def sent(body: dict[str, Any]) -> Row:
    """The bodies of all messages, but for the frame that all have."""
    bodies = [dict(post.body) for post in convert_outbound(body, uploads(body))]
    for message in bodies:
        assert message.pop("messaging_product") == "whatsapp"
        assert message.pop("recipient_type") == "individual"
        assert message.pop("to", None) or message.pop("recipient")
    return bodies


def agent(said: str | None = None, *content: dict[str, Any], type_: str = "Structured") -> dict[str, Any]:
    return {"id": "g1", "channel": {"to": {"id": INES}}, "type": type_, "text": said, "content": list(content)}


def quick_reply(said: str | None, payload: str | None = None) -> dict[str, Any]:
    return {"contentType": "QuickReply", "quickReply": {"text": said, "payload": payload}}


def card(**members: Any) -> dict[str, Any]:
    return {"contentType": "Card", "card": members}


def link(url: str | None, said: str | None = None) -> dict[str, Any]:
    return {"contentType": "Attachment", "attachment": {"mediaType": "Link", "url": url, "text": said}}


def list_picker(*sections: dict[str, Any], **asked: str) -> dict[str, Any]:
    return {"contentType": "ListPicker", "listPicker": {"sections": list(sections), "receivedMessage": asked}}


def notification(**template: Any) -> dict[str, Any]:
    return {"contentType": "Notification", "template": template}


def test_every_recorded_webhook_has_a_row() -> None:
    assert {*ROWS, *REFUSED} == set(names("genesys")) == set(RECORDS)


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_webhook_reaches_the_customer_as_it_should(name: str) -> None:
    body = load(f"genesys/{name}")
    to = "12025550143" if name == "text_nickName_spelling" else INES
    frame = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": to}
    posts = convert_outbound(body, uploads(body))
    assert [post.body for post in posts] == [{**frame, **message} for message in ROWS[name]]


@pytest.mark.parametrize("name", REFUSED)
def test_a_recorded_webhook_that_cannot_be_sent_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(Rejected) as caught:
        convert_outbound(load(f"genesys/{name}"))
    assert (caught.value.reason, caught.value.code) == REFUSED[name]


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_says_what_a_webhook_was(name: str) -> None:
    body = load(f"genesys/{name}")
    assert (outbound_kind(body), outbound_text(body)) == RECORDS[name]


@pytest.mark.parametrize(
    ("to", "member", "identity"),
    [
        ("+44 7700-900111", "to", INES),
        ("GB.55021188437766120934", "recipient", "GB.55021188437766120934"),
    ],
)
def test_the_customer_is_addressed_by_number_or_user_id(to: str, member: str, identity: str) -> None:
    [post] = convert_outbound({**agent("Hi"), "channel": {"to": {"id": to}}})
    assert post.body[member] == identity
    assert len({"to", "recipient"} & set(post.body)) == 1


@pytest.mark.parametrize("to", [None, "", "someone@example.com", "\ud800", {}, {"id": None}])
def test_nobody_can_be_addressed_by_anything_else(to: Any) -> None:
    with pytest.raises(Rejected, match="InvalidDestination") as caught:
        convert_outbound({**agent("Hi"), "channel": {"to": to if isinstance(to, dict) else {"id": to}}})
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize("body", [agent(None), agent(""), agent(" \n"), {**agent(), "content": ["junk", None]}])
def test_a_blank_message_is_invalid(body: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        convert_outbound(body)
    assert (caught.value.reason, caught.value.code) == ("invalid", "InvalidMessageStructure")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(agent("a\ud800\0b"), [text("a\ufffd\ufffdb")], id="lone surrogate and NUL"),
        pytest.param(agent("see https://x.example"), [text("see https://x.example", True)], id="a text with a link"),
        pytest.param(agent("Hi", {"contentType": "Hologram"}), [text("Hi")], id="unknown content beside text"),
        pytest.param(
            agent(None, {"contentType": "Text", "text": {"type": "Text", "body": "Inner"}}), [text("Inner")], id="Text"
        ),
        pytest.param(
            agent("Same", {"contentType": "Text", "text": {"body": "Same"}}), [text("Same")], id="the same text twice"
        ),
        # Links
        pytest.param(
            agent("Look", link("https://x.example")), [text("Look"), text("https://x.example", True)], id="link"
        ),
        pytest.param(
            agent("", link("https://x.example", "Here")), [text("Here\nhttps://x.example", True)], id="link with text"
        ),
        pytest.param(
            agent("At https://x.example", link("https://x.example")),
            [text("At https://x.example", True)],
            id="a link that the text has",
        ),
        # Quick replies
        pytest.param(
            agent("Go?", quick_reply("Yes", ""), quick_reply(None, "no"), quick_reply(" ")),
            [buttons("Go?", ("Yes", "Yes"), ("no", "no"))],
            id="text or payload missing",
        ),
        pytest.param(
            agent("Go?", quick_reply("Appointment on Monday"), quick_reply("Appointment on Monday!")),
            [
                buttons(
                    "Go?",
                    ("Appointment on Monday", "1. Appointment on Mo"),
                    ("Appointment on Monday!", "2. Appointment on Mo"),
                )
            ],
            id="titles equal once they are cut",
        ),
        pytest.param(
            agent("Go?", quick_reply("A", "same"), quick_reply("B", "same"), quick_reply("C", "x" * 300)),
            [buttons("Go?", ("same", "A"), ("same#2", "B"), ("x" * 256, "C"))],
            id="equal and endless ids",
        ),
        pytest.param(
            agent("Go?", *(quick_reply(f"Number {n} with a long title") for n in range(4))),
            [
                list_of(
                    "Go?",
                    "Choose",
                    {
                        "rows": [
                            {
                                "id": f"Number {n} with a long title",
                                "title": f"Number {n} with a long tit",
                                "description": f"Number {n} with a long title",
                            }
                            for n in range(4)
                        ]
                    },
                )
            ],
            id="a list tells in full what it had to cut",
        ),
        pytest.param(
            agent("Go?", *(quick_reply(f"Q{n}") for n in range(1, 12))),
            [text("Go?\n\n" + "\n".join(f"{n}. Q{n}" for n in range(1, 12)))],
            id="eleven",
        ),
        pytest.param(agent("", quick_reply("A"), quick_reply("B")), [text("1. A\n2. B")], id="no question"),
        pytest.param(agent("Go?", quick_reply("")), [text("Go?")], id="no answers"),
        pytest.param(
            agent(
                None,
                {
                    "contentType": "QuickReplyV2",
                    "quickReplyV2": {"title": "Go?", "actions": [{"text": "A"}, {"text": "B"}]},
                },
            ),
            [buttons("Go?", ("A", "A"), ("B", "B"))],
            id="quick replies of the second kind",
        ),
        pytest.param(
            agent("Hi", {"contentType": "QuickReplyV2", "quickReplyV2": {"title": "Go?", "actions": [{"text": "A"}]}}),
            [buttons("Hi\nGo?", ("A", "A"))],
            id="a text and a title",
        ),
        pytest.param(
            agent("Go?", quick_reply("A"), list_picker({"items": [{"title": "B"}]}, title="And?")),
            [buttons("Go?", ("A", "A")), list_of("And?", "Choose", {"rows": [{"id": "B", "title": "B"}]})],
            id="a text is the question of one only",
        ),
        pytest.param(
            agent("x" * 1000 + " " + "y" * 100, quick_reply("A")),
            [text("x" * 1000 + " "), buttons("y" * 100, ("A", "A"))],
            id="a question too long for its buttons",
        ),
        # Cards
        pytest.param(
            agent(
                "Our offer:",
                card(
                    title="T",
                    actions=[
                        {"type": "Postback", "text": "Buy", "payload": "buy"},
                        {"type": "Link", "text": "More", "url": "https://x.example"},
                    ],
                ),
            ),
            [text("Our offer:"), buttons("T\nMore: https://x.example", ("buy", "Buy"))],
            id="a card with buttons and a link",
        ),
        pytest.param(
            agent(None, card(title="T", actions=[{"type": "Link", "url": f"https://{n}.example"} for n in (1, 2)])),
            [text("T\nhttps://1.example\nhttps://2.example", True)],
            id="a card with two links",
        ),
        pytest.param(
            agent(None, card(title="T", defaultAction={"type": "Link", "url": "https://x.example"})),
            [cta("T", "Open", "https://x.example")],
            id="a card that is a link",
        ),
        pytest.param(
            agent(None, card(title="T", actions=[{"type": "Link", "text": "Call", "url": "tel:123"}])),
            [text("T\nCall: tel:123")],
            id="a link that no button opens",
        ),
        pytest.param(agent(None, card(title="T", description="D")), [text("T\nD")], id="a card without actions"),
        # Lists
        pytest.param(
            agent(
                None,
                list_picker(
                    {"title": "", "items": [{"id": "a", "title": "A"}]},
                    {"title": "A section's endless title", "items": [{"title": "A"}, {"title": ""}]},
                    {"title": "empty", "items": []},
                    title="Pick",
                ),
            ),
            [
                list_of(
                    "Pick",
                    "Choose",
                    {"rows": [{"id": "a", "title": "1. A"}], "title": "1"},
                    {"rows": [{"id": "A", "title": "2. A"}], "title": "A section's endless titl"},
                )
            ],
            id="a list of two sections",
        ),
        pytest.param(
            agent(
                "Pick",
                list_picker({"title": "All", "items": [{"title": f"T{n}", "subtitle": "s"} for n in range(1, 12)]}),
            ),
            [text("Pick\n\nAll\n" + "\n".join(f"{n}. T{n} - s" for n in range(1, 12)))],
            id="a list of eleven",
        ),
        pytest.param(agent(None, list_picker(title="Pick")), [text("Pick")], id="a list of nothing"),
        pytest.param(
            agent(
                "When?",
                {
                    "contentType": "DatePicker",
                    "datePicker": {
                        "availableTimes": [
                            {"dateTime": "2026-12-01T09:00:00+01:00"},
                            {"dateTime": "soon"},
                            {"dateTime": ""},
                        ]
                    },
                },
            ),
            [
                list_of(
                    "When?",
                    "Choose a time",
                    {
                        "rows": [
                            {"id": "2026-12-01T09:00:00+01:00", "title": "2026-12-01 09:00 +0100"},
                            {"id": "soon", "title": "soon"},
                        ]
                    },
                )
            ],
            id="odd times",
        ),
        # Templates
        pytest.param(
            agent(
                "Rendered",
                notification(
                    id="hello",
                    header={"type": "Text", "text": "{{1}}", "parameters": [{"name": "1", "text": "a\n\tb      c"}]},
                    body={"parameters": [{"name": "eta", "text": "Friday"}]},
                    buttons=[
                        {"type": "PhoneNumber", "parameters": [{"text": "1"}]},
                        {"type": "QuickReply", "parameters": [{"text": "TRACK"}]},
                        {"type": "QuickReply"},
                    ],
                ),
            ),
            [
                {
                    "type": "template",
                    "template": {
                        "name": "hello",
                        "language": {"code": "en"},
                        "components": [
                            {"type": "header", "parameters": [{"type": "text", "text": "a b c"}]},
                            {
                                "type": "body",
                                "parameters": [{"type": "text", "parameter_name": "eta", "text": "Friday"}],
                            },
                            {
                                "type": "button",
                                "sub_type": "quick_reply",
                                "index": "1",
                                "parameters": [{"type": "payload", "payload": "TRACK"}],
                            },
                        ],
                    },
                }
            ],
            id="a template with all parts",
        ),
        pytest.param(
            agent(None, notification(id="ns@plain", language="de")),
            [{"type": "template", "template": {"name": "plain", "language": {"code": "de"}}}],
            id="a template without parameters",
        ),
        pytest.param(
            agent(None, notification(body={"text": "Hi {{1}} {{2}}", "parameters": [{"name": "1", "text": "Ines"}]})),
            [text("Hi Ines {{2}}")],
            id="a canned response with a parameter",
        ),
        pytest.param(agent("Hi", notification()), [text("Hi")], id="an empty canned response"),
        # Locations
        pytest.param(
            agent(
                "Here:",
                {
                    "contentType": "Location",
                    "location": {"latitude": 51.5, "longitude": "-0.1", "text": "HQ", "address": "1 High St"},
                },
            ),
            [
                text("Here:"),
                {
                    "type": "location",
                    "location": {"latitude": 51.5, "longitude": -0.1, "name": "HQ", "address": "1 High St"},
                },
            ],
            id="a location",
        ),
        pytest.param(
            agent(None, {"contentType": "Location", "location": {"address": "1 High St"}}),
            [text("1 High St")],
            id="a location without coordinates",
        ),
        pytest.param(
            agent("Q?", {"contentType": "ListPicker"}, {"contentType": "Location", "location": {"text": "HQ"}}),
            [text("Q?"), text("HQ")],
            id="a question that nothing asks",
        ),
    ],
)
def test_content_becomes_what_whatsapp_can_show(body: dict[str, Any], expected: Row) -> None:
    assert sent(body) == expected


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"contentType": "Reactions", "reactions": []}, id="a kind that WhatsApp cannot show"),
        pytest.param({}, id="no kind"),
        pytest.param(link(None), id="a link to nowhere"),
        pytest.param({"contentType": "Carousel", "carousel": {"cards": []}}, id="no cards"),
    ],
)
def test_content_that_cannot_be_sent_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        convert_outbound(agent(None, content))
    assert (caught.value.reason, caught.value.code) == ("unsupported", "UnsupportedMessage")


def test_a_text_of_4096_characters_is_one_message() -> None:
    assert sent(agent("x" * 4096)) == [text("x" * 4096)]


@pytest.mark.parametrize("long", ["word " * 2000, "😀" * 5000, "line\n" * 1700, "x" * 9000])
def test_a_longer_text_is_several_messages_and_loses_nothing(long: str) -> None:
    parts = [message["text"]["body"] for message in sent(agent(long))]
    assert "".join(parts) == long
    assert all(utf16_length(part) <= 4096 for part in parts)


def test_a_part_that_whatsapp_would_refuse_as_blank_is_left_out() -> None:
    assert sent(agent("Hi" + " " * 9000)) == [text("Hi" + " " * 4094)]
