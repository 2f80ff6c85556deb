"""Every body for Meta equals what pywa, a library that nobody here wrote, sends for the same content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pywa.client import WhatsApp
from pywa.types.callback import Button, Section, SectionList, SectionRow, URLButton
from pywa.types.templates import (
    BodyText,
    HeaderDocument,
    HeaderImage,
    HeaderText,
    HeaderVideo,
    QuickReplyButton,
    TemplateLanguage,
)
from pywa.types.templates import URLButton as TemplateURLButton

from tests.trunkline.protocol.payloads import load, names, uploads
from trunkline.protocol.media import UploadedFile
from trunkline.protocol.outbound import convert_outbound, typing_body

INES, TOM, BSUID = "447700900111", "12025550143", "GB.55021188437766120934"
FILES = {
    "https://x.example/image": UploadedFile("700", "image", None),
    "https://x.example/video": UploadedFile("701", "video", "film.mp4"),
    "https://x.example/audio": UploadedFile("702", "audio", "note.mp3"),
    "https://x.example/document": UploadedFile("703", "document", "offer.pdf"),
}
# Their annotations take the first text for the component itself.
body_text: Any = BodyText
header_text: Any = HeaderText
Call = Callable[[WhatsApp], Any]


class Meta:
    """Meta's side of pywa: remembers each body, accepts each message."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        if body.get("status") == "read":
            return httpx.Response(200, json={"success": True})
        return httpx.Response(200, json=load("api/wa_send_ok")["response"]["body"])


@pytest.fixture
def pywa_sends() -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """The bodies that pywa sends in these calls."""
    meta = Meta()
    with httpx.Client(transport=httpx.MockTransport(meta.answer)) as session:
        wa = WhatsApp(phone_id="210099887766551", token="token-for-tests", session=session)

        def bodies(*calls: Call) -> list[dict[str, Any]]:
            for call in calls:
                call(wa)
            return [usual(body) for body in meta.bodies]

        yield bodies


def usual(body: Any) -> Any:
    """In the spelling of Meta's documentation, which pywa leaves in templates, and without members that are null."""
    if isinstance(body, list):
        return [usual(element) for element in body]
    if not isinstance(body, dict):
        return body
    found = {key: usual(value) for key, value in body.items() if value is not None}
    if "parameters" in found and "type" in found:  # a template's component
        found |= {key: str(found[key]).lower() for key in ("type", "sub_type", "index") if key in found}
    return found


def text(body: str, to: str = INES, preview_url: bool = False) -> Call:
    return lambda wa: wa.send_message(to, body, preview_url=preview_url)


def rows(*rows_: tuple[str, ...], title: str | None = None) -> Section:
    return Section(title, [SectionRow(*row) for row in rows_])  # type: ignore[arg-type]  # a lone section needs no title


DEPARTMENTS = ("Sales", "Billing", "Returns", "Repairs", "Complaints and feedback", "Other")
FIXTURES: dict[str, list[Call]] = {
    "text_agent": [text("Good morning Ines, yes: until 6 pm.")],
    "text_bot": [text("¡Hola! 👋 ¿En qué puedo ayudarte?")],
    "text_agentless": [text("Reminder: your appointment is tomorrow at 10:00.")],
    "text_nickName_spelling": [text("Hello Tom", TOM)],
    "text_with_image": [lambda wa: wa.send_image(INES, "9001", "Here is the map")],
    "attachment_document_no_text": [lambda wa: wa.send_document(INES, "9001", filename="invoice-4711.pdf")],
    "attachment_audio": [lambda wa: wa.send_audio(INES, "9001")],
    "attachment_video_caption": [lambda wa: wa.send_video(INES, "9001", "How to reset it")],
    "malformed_wrong_integration": [text("for nobody")],
    "structured_quick_replies": [
        lambda wa: wa.send_message(INES, "Do you want to proceed?", buttons=[Button("Yes", "yes"), Button("No", "no")])
    ],
    "structured_quick_replies_many": [
        lambda wa: wa.send_message(
            INES,
            "Which department?",
            buttons=SectionList("Choose", [rows(*((name, name) for name in DEPARTMENTS))]),
        )
    ],
    "structured_card": [
        lambda wa: wa.send_image(
            INES,
            "9001",
            "Winter set\nFour tyres, fitted",
            buttons=[Button("Book", "book_winter"), Button("Details", "details_winter")],
        )
    ],
    "structured_carousel": [
        lambda wa: wa.send_message(INES, "Room A\nSea view", buttons=[Button("Choose A", "room_a")]),
        lambda wa: wa.send_message(INES, "Room B", buttons=URLButton("Photos", "https://hotel.example.com/b")),
    ],
    "structured_list_picker": [
        lambda wa: wa.send_message(
            INES,
            "Pick a slot\nAll times local",
            buttons=SectionList(
                "Slots", [rows(("09:00", "s09", "Desk 1"), ("10:00", "s10"), ("11:00", "s11"), title="Tomorrow")]
            ),
        )
    ],
    "structured_date_picker": [
        lambda wa: wa.send_message(
            INES,
            "When suits you?\nChoose a time",
            buttons=SectionList(
                "Choose a time",
                [
                    rows(
                        ("2026-12-01 09:00 UTC", "2026-12-01T09:00:00.000Z", "30 min"),
                        ("2026-12-02 14:30 UTC", "2026-12-02T14:30:00.000Z", "30 min"),
                    )
                ],
            ),
        )
    ],
    "structured_notification_template": [
        lambda wa: wa.send_template(
            INES,
            "order_update",
            TemplateLanguage.ENGLISH_UK,
            [body_text.params("4711", "Friday"), TemplateURLButton.params(url_variable="4711", index=0)],
        )
    ],
    "structured_notification_no_id": [text("Welcome\n\nHow can I help?\n\nTeam Alder")],
}
NOT_SENT = {"malformed_no_channel", "malformed_unknown_type", "malformed_content_unknown"}
NO_MESSAGES = {"event_typing_on", "receipt_published", "receipt_failed"}


def test_every_recorded_webhook_is_compared() -> None:
    assert {*FIXTURES, *NOT_SENT, *NO_MESSAGES} == {*names("genesys")}


@pytest.mark.parametrize("name", FIXTURES)
def test_pywa_sends_the_same_for_a_recorded_webhook(name: str, pywa_sends: Callable[..., Any]) -> None:
    body = load(f"genesys/{name}")
    assert [post.body for post in convert_outbound(body, uploads(body))] == pywa_sends(*FIXTURES[name])


def agent(said: str | None, *content: dict[str, Any], to: str = INES) -> dict[str, Any]:
    return {"channel": {"to": {"id": to}}, "type": "Structured", "text": said, "content": list(content)}


def attached(kind: str) -> dict[str, Any]:
    return {"contentType": "Attachment", "attachment": {"url": f"https://x.example/{kind}"}}


def card(kind: str, **members: Any) -> dict[str, Any]:
    return {"contentType": "Card", "card": {"title": "T", kind: f"https://x.example/{kind}", **members}}


def template(**members: Any) -> dict[str, Any]:
    return {"contentType": "Notification", "template": {"id": "n@t", "language": "de", **members}}


LINK_ACTION = {"type": "Link", "text": "More", "url": "https://more.example"}


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        pytest.param(agent("Hi", to=BSUID), [text("Hi", BSUID)], id="to a user id"),
        pytest.param(
            agent("https://x.example"), [text("https://x.example", preview_url=True)], id="a text with a link"
        ),
        pytest.param(
            agent("Hi", attached("audio"), attached("document"), attached("image")),
            [
                lambda wa: wa.send_audio(INES, "702"),
                lambda wa: wa.send_document(INES, "703", "offer.pdf", "Hi"),
                lambda wa: wa.send_image(INES, "700"),
            ],
            id="several files",
        ),
        pytest.param(
            agent(None, card("image", actions=[LINK_ACTION])),
            [lambda wa: wa.send_image(INES, "700", "T", buttons=URLButton("More", "https://more.example"))],
            id="a picture above a link",
        ),
        pytest.param(
            agent(None, card("video", actions=[{"type": "Postback", "text": "Buy", "payload": "b"}])),
            [lambda wa: wa.send_video(INES, "701", "T", buttons=[Button("Buy", "b")])],
            id="a film above buttons",
        ),
        pytest.param(
            agent(
                "Q?",
                {
                    "contentType": "ListPicker",
                    "listPicker": {
                        "sections": [
                            {"title": "One", "items": [{"id": "a", "title": "A"}]},
                            {"title": "Two", "items": [{"id": "b", "title": "B", "subtitle": "b's"}]},
                        ]
                    },
                },
            ),
            [
                lambda wa: wa.send_message(
                    INES,
                    "Q?",
                    buttons=SectionList(
                        "Choose", [rows(("A", "a"), title="One"), rows(("B", "b", "b's"), title="Two")]
                    ),
                )
            ],
            id="two sections",
        ),
        pytest.param(
            agent(
                None,
                {
                    "contentType": "Location",
                    "location": {"latitude": 51.5, "longitude": -0.1, "text": "HQ", "address": "1 High St"},
                },
            ),
            [lambda wa: wa.send_location(INES, 51.5, -0.1, "HQ", "1 High St")],
            id="a place",
        ),
        pytest.param(
            agent(None, {"contentType": "Location", "location": {"latitude": 51.5, "longitude": -0.1}}),
            [lambda wa: wa.send_location(INES, 51.5, -0.1)],
            id="coordinates",
        ),
        pytest.param(
            agent(None, template()), [lambda wa: wa.send_template(INES, "t", TemplateLanguage.GERMAN)], id="a template"
        ),
        pytest.param(
            agent(
                None,
                template(
                    header={"type": "Text", "parameters": [{"name": "1", "text": "Ines"}]},
                    body={"parameters": [{"name": "day", "text": "Friday"}, {"name": "hour", "text": "9"}]},
                    buttons=[{"type": "PhoneNumber"}, {"type": "QuickReply", "payload": "TRACK"}],
                ),
            ),
            [
                lambda wa: wa.send_template(
                    INES,
                    "t",
                    TemplateLanguage.GERMAN,
                    [
                        header_text.params("Ines"),
                        body_text.params(day="Friday", hour="9"),
                        QuickReplyButton.params(callback_data="TRACK", index=1),
                    ],
                )
            ],
            id="a template with named parameters",
        ),
        pytest.param(
            agent(None, template(header={"media": {"url": "https://x.example/image"}})),
            [lambda wa: wa.send_template(INES, "t", TemplateLanguage.GERMAN, [HeaderImage.params(image="700")])],
            id="a template with an image",
        ),
        pytest.param(
            agent(None, template(header={"media": {"url": "https://x.example/video"}})),
            [lambda wa: wa.send_template(INES, "t", TemplateLanguage.GERMAN, [HeaderVideo.params(video="701")])],
            id="a template with a video",
        ),
        pytest.param(
            agent(None, template(header={"media": {"url": "https://x.example/document"}})),
            [
                lambda wa: wa.send_template(
                    INES,
                    "t",
                    TemplateLanguage.GERMAN,
                    [HeaderDocument.params(document="703", filename="offer.pdf")],
                )
            ],
            id="a template with a document",
        ),
    ],
)
def test_pywa_sends_the_same(body: dict[str, Any], calls: list[Call], pywa_sends: Callable[..., Any]) -> None:
    assert [post.body for post in convert_outbound(body, FILES)] == pywa_sends(*calls)


def test_pywa_shows_typing_in_the_same_way(pywa_sends: Callable[..., Any]) -> None:
    assert [typing_body("wamid.1")] == pywa_sends(lambda wa: wa.indicate_typing("wamid.1"))
