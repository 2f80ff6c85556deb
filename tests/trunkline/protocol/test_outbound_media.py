"""Agents' files on their way to the customer, with captions where WhatsApp has room for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.protocol.payloads import load, names
from trunkline.errors import Rejected
from trunkline.protocol.media import UploadedFile
from trunkline.protocol.outbound import convert_outbound, is_typing, outbound_kind, readdress, typing_body

INES, BSUID = "447700900111", "GB.55021188437766120934"
FILES = {
    "https://x.example/image": UploadedFile("I", "image", None),
    "https://x.example/image2": UploadedFile("I2", "image", "b.png"),
    "https://x.example/video": UploadedFile("V", "video", None),
    "https://x.example/audio": UploadedFile("A", "audio", "note.mp3"),
    "https://x.example/document": UploadedFile("D", "document", "offer.pdf"),
    "https://x.example/nameless": UploadedFile("N", "document", None),
}
LONG = "x" * 1025


def agent(said: str | None, *content: dict[str, Any]) -> dict[str, Any]:
    return {"channel": {"to": {"id": INES}}, "type": "Text", "text": said, "content": list(content)}


def attached(name: str, said: str | None = None, **members: Any) -> dict[str, Any]:
    attachment = {"url": f"https://x.example/{name}", "text": said, **members}
    return {"contentType": "Attachment", "attachment": attachment}


def card(**members: Any) -> dict[str, Any]:
    return {"contentType": "Card", "card": members}


def template(**members: Any) -> dict[str, Any]:
    return {"contentType": "Notification", "template": members}


def text(body: str) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body, "preview_url": False}}


def file(kind: str, media_id: str, **members: str) -> dict[str, Any]:
    return {"type": kind, kind: {"id": media_id, **members}}


def buttons(body: str, *titles: str, **members: Any) -> dict[str, Any]:
    replies = [{"type": "reply", "reply": {"id": title, "title": title}} for title in titles]
    action = {"buttons": replies}
    return {
        "type": "interactive",
        "interactive": {"type": "button", "action": action, "body": {"text": body}, **members},
    }


def cta(body: str, **members: Any) -> dict[str, Any]:
    action = {"name": "cta_url", "parameters": {"display_text": "More", "url": "https://more.example"}}
    return {
        "type": "interactive",
        "interactive": {"type": "cta_url", "action": action, "body": {"text": body}, **members},
    }


def sent(body: dict[str, Any]) -> list[dict[str, Any]]:
    frame = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": INES}
    posts = [post.body for post in convert_outbound(body, FILES)]
    assert all(post.items() >= frame.items() for post in posts)
    return [{member: value for member, value in post.items() if member not in frame} for post in posts]


POSTBACK = {"type": "Postback", "text": "Buy"}
MORE = {"type": "Link", "text": "More", "url": "https://more.example"}
IMAGE_HEADER = {"type": "image", "image": {"id": "I"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # One attachment
        pytest.param(agent("Hi", attached("image")), [file("image", "I", caption="Hi")], id="image with text"),
        pytest.param(agent("Hi", attached("video")), [file("video", "V", caption="Hi")], id="video with text"),
        pytest.param(
            agent("Hi", attached("document")),
            [file("document", "D", filename="offer.pdf", caption="Hi")],
            id="document with text",
        ),
        pytest.param(agent("Hi", attached("audio")), [text("Hi"), file("audio", "A")], id="audio has no caption"),
        pytest.param(agent(None, attached("audio")), [file("audio", "A")], id="audio alone"),
        pytest.param(agent("", attached("nameless")), [file("document", "N")], id="a document without a name"),
        pytest.param(agent(" ", attached("image", "Own")), [file("image", "I", caption="Own")], id="its own text"),
        pytest.param(agent("", attached("audio", "Own")), [text("Own"), file("audio", "A")], id="audio's own text"),
        pytest.param(agent("", attached("image", " \n")), [file("image", "I")], id="a blank text of its own"),
        pytest.param(agent("x" * 1024, attached("image")), [file("image", "I", caption="x" * 1024)], id="1024 units"),
        pytest.param(agent(LONG, attached("image")), [text(LONG), file("image", "I")], id="more than 1024 units"),
        pytest.param(
            agent("😀" * 513, attached("image")), [text("😀" * 513), file("image", "I")], id="units are UTF-16's"
        ),
        pytest.param(agent("", attached("image", LONG)), [text(LONG), file("image", "I")], id="a long text of its own"),
        pytest.param(
            agent("Hi", attached("image", "Hi")), [file("image", "I", caption="Hi")], id="the same text twice"
        ),
        pytest.param(
            agent("Hi", attached("image", "Own")), [file("image", "I", caption="Hi\nOwn")], id="text and its own text"
        ),
        pytest.param(
            {**agent("Hi"), "content": [{"attachment": {"url": "https://x.example/image"}}]},
            [file("image", "I", caption="Hi")],
            id="an attachment that names no content type",
        ),
        # Several attachments
        pytest.param(
            agent("Hi", attached("image"), attached("video"), attached("image2")),
            [file("image", "I", caption="Hi"), file("video", "V"), file("image", "I2")],
            id="several, text with the first",
        ),
        pytest.param(
            agent("Hi", attached("audio"), attached("document")),
            [file("audio", "A"), file("document", "D", filename="offer.pdf", caption="Hi")],
            id="text with the first that can have it",
        ),
        pytest.param(
            agent(LONG, attached("audio"), attached("image")),
            [text(LONG), file("audio", "A"), file("image", "I")],
            id="a long text before all",
        ),
        pytest.param(
            agent(None, attached("image", "One"), attached("image2", "Two")),
            [file("image", "I", caption="One"), file("image", "I2", caption="Two")],
            id="each with its own text",
        ),
        pytest.param(
            agent("Hi", attached("image"), attached("page", mediaType="Link")),
            [
                file("image", "I", caption="Hi"),
                {**text("https://x.example/page"), "text": {"body": "https://x.example/page", "preview_url": True}},
            ],
            id="a file and a link",
        ),
        pytest.param(
            agent("Go?", attached("image"), {"contentType": "QuickReply", "quickReply": {"text": "Yes"}}),
            [file("image", "I"), buttons("Go?", "Yes")],
            id="the text is a question",
        ),
        # Cards
        pytest.param(
            agent(None, card(title="T", image="https://x.example/image", actions=[POSTBACK])),
            [buttons("T", "Buy", header=IMAGE_HEADER)],
            id="a card with a picture",
        ),
        pytest.param(
            agent(None, card(title="T", video="https://x.example/video", actions=[MORE])),
            [cta("T", header={"type": "video", "video": {"id": "V"}})],
            id="a card with a film",
        ),
        pytest.param(
            agent(None, card(title="T", image="https://x.example/document", actions=[POSTBACK])),
            [buttons("T", "Buy", header={"type": "document", "document": {"id": "D", "filename": "offer.pdf"}})],
            id="a picture that goes as document",
        ),
        pytest.param(
            agent(None, card(title="T", image="https://x.example/audio", actions=[POSTBACK])),
            [file("audio", "A"), buttons("T", "Buy")],
            id="sound is no header",
        ),
        pytest.param(
            agent(
                None,
                card(title="T", image="https://x.example/image", video="https://x.example/video", actions=[POSTBACK]),
            ),
            [file("video", "V"), buttons("T", "Buy", header=IMAGE_HEADER)],
            id="a card with both",
        ),
        pytest.param(
            agent(None, card(title="T", image="https://x.example/gone", actions=[POSTBACK])),
            [buttons("T", "Buy")],
            id="a picture that cannot be had",
        ),
        pytest.param(
            agent(None, card(title="T", description="D", image="https://x.example/image")),
            [file("image", "I", caption="T\nD")],
            id="a picture with words only",
        ),
        pytest.param(agent(None, card(image="https://x.example/image")), [file("image", "I")], id="a picture only"),
        pytest.param(
            agent(None, card(title=LONG, image="https://x.example/image")),
            [text(LONG), file("image", "I")],
            id="a picture with many words",
        ),
        pytest.param(
            agent(None, card(title="a" * 1000 + " " + "b" * 90, image="https://x.example/image", actions=[POSTBACK])),
            [text("a" * 1000 + " "), buttons("b" * 90, "Buy", header=IMAGE_HEADER)],
            id="a body too long for its card",
        ),
        pytest.param(
            agent(
                None,
                {
                    "contentType": "Carousel",
                    "carousel": {
                        "cards": [
                            {"title": "T", "image": "https://x.example/image", "actions": [POSTBACK]},
                            {"title": "U", "video": "https://x.example/video", "actions": [MORE]},
                        ]
                    },
                },
            ),
            [buttons("T", "Buy", header=IMAGE_HEADER), cta("U", header={"type": "video", "video": {"id": "V"}})],
            id="a carousel",
        ),
        # Templates
        pytest.param(
            agent(
                "Rendered", template(id="n@t", language="en-GB", header={"media": {"url": "https://x.example/image"}})
            ),
            [
                {
                    "type": "template",
                    "template": {
                        "name": "t",
                        "language": {"code": "en_GB"},
                        "components": [{"type": "header", "parameters": [{"type": "image", "image": {"id": "I"}}]}],
                    },
                }
            ],
            id="a template with an image",
        ),
        pytest.param(
            agent(None, template(id="t", header={"type": "Media", "media": {"url": "https://x.example/document"}})),
            [
                {
                    "type": "template",
                    "template": {
                        "name": "t",
                        "language": {"code": "en"},
                        "components": [
                            {
                                "type": "header",
                                "parameters": [{"type": "document", "document": {"id": "D", "filename": "offer.pdf"}}],
                            }
                        ],
                    },
                }
            ],
            id="a template with a document",
        ),
        pytest.param(
            agent("Hello", template(header={"media": {"url": "https://x.example/image"}}, body={"text": "Hello"})),
            [file("image", "I", caption="Hello")],
            id="a canned response with an image",
        ),
    ],
)
def test_files_and_their_texts_reach_the_customer(body: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert sent(body) == expected


def test_a_list_has_its_picture_before_it() -> None:
    actions = [{"type": "Postback", "text": str(number)} for number in range(4)]
    picture, choices = sent(agent(None, card(title="T", image="https://x.example/image", actions=actions)))
    assert picture == file("image", "I")
    assert choices["interactive"]["type"] == "list"
    assert "header" not in choices["interactive"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(attached("gone"), id="a file that could not be fetched"),
        pytest.param({"contentType": "Attachment", "attachment": {"url": "ftp://x.example/a"}}, id="another protocol"),
        pytest.param({"contentType": "Attachment"}, id="no attachment"),
        pytest.param(template(id="t", header={"media": {"url": "https://x.example/gone"}}), id="a template's file"),
        pytest.param(template(header={"media": {"url": "https://x.example/gone"}}), id="a canned response's file"),
    ],
)
@pytest.mark.parametrize("said", [None, "Hi"])
def test_a_message_without_its_file_is_not_sent(content: dict[str, Any], said: str | None) -> None:
    with pytest.raises(Rejected) as caught:
        convert_outbound(agent(said, content), FILES)
    assert (caught.value.reason, caught.value.code) == ("media_unavailable", "MediaTypeNotAllowed")


def test_a_template_with_sound_in_its_header_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        convert_outbound(agent(None, template(id="t", header={"media": {"url": "https://x.example/audio"}})), FILES)
    assert (caught.value.reason, caught.value.code) == ("unsupported", "MediaTypeNotAllowed")


@pytest.mark.parametrize("name", names("genesys"))
def test_only_the_recorded_typing_is_typing(name: str) -> None:
    assert is_typing(load(f"genesys/{name}")) == (name == "event_typing_on")


def event(*events: Any, type_: str = "Event") -> dict[str, Any]:
    return {"type": type_, "channel": {"to": {"id": INES}}, "events": list(events)}


@pytest.mark.parametrize(
    ("body", "typing"),
    [
        pytest.param(event({"eventType": "Typing", "typing": {"type": "On"}}), True, id="on"),
        pytest.param(event({"eventType": "Typing", "typing": {"type": "Off"}}), False, id="off"),
        pytest.param(event({"eventType": "Typing"}), True, id="no details"),
        pytest.param(event({"eventType": "Typing", "typing": None}), True, id="null details"),
        pytest.param(event({"eventType": "Typing", "typing": {"duration": 5000}}), True, id="a duration only"),
        pytest.param(event({"eventType": "Presence"}, {"eventType": "Typing"}), True, id="the second of two"),
        pytest.param(event({"eventType": "CoBrowse"}), False, id="another event"),
        pytest.param(event(), False, id="no event"),
        pytest.param(event("Typing", None), False, id="events of a wrong type"),
        pytest.param(event({"eventType": "Typing"}, type_="Text"), False, id="a text"),
    ],
)
def test_an_agent_types_or_not(body: dict[str, Any], typing: bool) -> None:
    assert is_typing(body) == typing
    assert outbound_kind(body) == ("text" if body["type"] == "Text" else "event")


def test_typing_marks_the_customers_message_as_read() -> None:
    recorded = load("api/wa_mark_read_ok")["request"]["body"]
    assert typing_body(recorded["message_id"]) == recorded


@pytest.mark.parametrize(
    ("before", "address", "after"),
    [
        ({"to": INES}, BSUID, {"recipient": BSUID}),
        ({"recipient": BSUID}, INES, {"to": INES}),
        ({"to": INES}, "447700900333", {"to": "447700900333"}),
    ],
)
def test_a_message_can_be_sent_to_another_address(before: dict[str, str], address: str, after: dict[str, str]) -> None:
    rest = {"messaging_product": "whatsapp", **text("Hi")}
    body = {**before, **rest}
    assert readdress(body, address) == {**after, **rest}
    assert body == {**before, **rest}
