"""Files on their way through: what messages say of them, and what the other side takes them for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trunkline.protocol.payloads import any_json, any_text, load, messages, names
from trunkline.errors import Rejected
from trunkline.protocol.media import (
    FILE_NAME_LIMIT,
    WHATSAPP_LIMIT_BYTES,
    AgentFile,
    CustomerFile,
    Sendable,
    agent_files,
    attachment_name,
    customer_file,
    file_name,
    sendable,
    sniff,
)
from trunkline.protocol.text import utf16_length

MIB = 1024 * 1024
JPEG, PNG, PDF = b"\xff\xd8\xff\xe0\0\x10JFIF", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"%PDF-1.7\n"
GIF, WEBP, HEIC = b"GIF89a\x01\0", b"RIFF\x24\0\0\0WEBPVP8 ", b"\0\0\0\x18ftypheic\0\0\0\0"
MP4, GP3, M4A, MOV = (b"\0\0\0\x18ftyp" + brand for brand in (b"isom", b"3gp4", b"M4A ", b"qt  "))
OPUS = b"OggS\0\x02" + bytes(22) + b"OpusHead\x01\x01"
VORBIS = b"OggS\0\x02" + bytes(22) + b"\x01vorbis"
MP3, MP3_TAGGED, AAC, AMR = b"\xff\xfb\x90\x64", b"ID3\x04\0", b"\xff\xf1\x50\x80", b"#!AMR\n"
DOWNLOADS = "https://api-downloads.mypurecloud.ie/api/v2/downloads/"

FILES = {
    "image_caption": CustomerFile("1913918400767715", "image", "image/jpeg", None),
    "image_with_url": CustomerFile("1188870605041394", "image", "image/png", None),
    "audio_voice_note": CustomerFile("1160970889500549", "voice", "audio/ogg", None),
    "audio_file": CustomerFile("1822962241164708", "audio", "audio/mpeg", None),
    "document_caption_filename": CustomerFile(
        "1102791606226224", "document", "application/pdf", "contract 2026-11.pdf"
    ),
    "sticker_animated": CustomerFile("1699937086113641", "sticker", "image/webp", None),
}


@pytest.mark.parametrize("name", FILES)
def test_the_file_of_a_recorded_message_is_found(name: str) -> None:
    [(message, _)] = messages(name)
    assert customer_file(message) == FILES[name]


def test_recorded_messages_without_a_file_have_none() -> None:
    without = [message for name in {*names("whatsapp")} - {*FILES, "video_caption"} for message, _ in messages(name)]
    assert without
    assert not any(map(customer_file, without))


@pytest.mark.parametrize(
    ("message", "file"),
    [
        pytest.param(
            {"type": "voice", "voice": {"id": "1", "mime_type": "AUDIO/OGG; codecs=opus"}},
            CustomerFile("1", "voice", "audio/ogg", None),
            id="an old voice message",
        ),
        pytest.param(
            {"type": "edit", "edit": {"message": {"type": "image", "image": {"id": 12}}}},
            CustomerFile("12", "image", None, None),
            id="an edit",
        ),
        pytest.param(
            {"type": "document", "document": {"id": "1", "mime_type": "pdf", "filename": "../a\0.pdf"}},
            CustomerFile("1", "document", None, "../a\ufffd.pdf"),
            id="a name and a type that are none",
        ),
        pytest.param({"type": "image", "image": {"id": "../oauth?x="}}, None, id="an id that is a path"),
        pytest.param({"type": "image", "image": {"id": "1/../oauth"}}, None, id="an id that ends as a path"),
        pytest.param({"type": "image", "image": {"id": ""}}, None, id="an empty id"),
        pytest.param({"type": "image", "image": {"caption": "x"}}, None, id="no id"),
        pytest.param({"type": "image", "image": "1"}, None, id="an object of a wrong type"),
        pytest.param({"type": "image"}, None, id="no object"),
        pytest.param({"type": "text", "image": {"id": "1"}}, None, id="another type"),
        pytest.param({"type": "image", "image": {"id": "1"}, "group_id": "g"}, None, id="a group"),
        pytest.param({"type": "edit", "edit": {"message": {"type": "edit"}}}, None, id="an edit of an edit"),
        pytest.param(
            {"type": "edit", "edit": {"message": {"type": "image", "image": {"id": "1"}}}, "group_id": "g"},
            None,
            id="an edit in a group",
        ),
        pytest.param({"type": "edit", "edit": []}, None, id="an edit of a wrong type"),
    ],
)
def test_only_a_file_that_can_be_fetched_is_one(message: dict[str, Any], file: CustomerFile | None) -> None:
    assert customer_file(message) == file


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("a.pdf", "a.pdf"),
        ("C:\\tmp\\a.pdf", "a.pdf"),
        ("../../.ssh/.secret\n.pdf", "secret.pdf"),
        ("...", ""),
        (". . x", "x"),
        (None, ""),
        ("folder/", ""),
        ("Angebot für Ä.pdf", "Angebot für Ä.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a" * 300 + ".pdf", "a" * 233 + ".pdf"),
        ("a." + "b" * 300, "a." + "b" * 238),
    ],
)
def test_a_file_name_is_no_path_and_no_trick(given_name: str | None, name: str) -> None:
    assert file_name(given_name) == name


@given(any_text | st.text(st.sampled_from("a./\\ \u202e😀"), max_size=600))
def test_any_file_name_becomes_a_safe_one(given_name: str) -> None:
    name = file_name(given_name)
    assert utf16_length(name) <= FILE_NAME_LIMIT
    assert not name.startswith(".")
    assert not {*"/\\\0\n\u202e"} & {*name}


@pytest.mark.parametrize(
    ("kind", "mime", "given_name", "name"),
    [
        ("image", "image/jpeg", None, "image.jpg"),
        ("voice", "audio/ogg", None, "voice.ogg"),
        ("voice", "audio/ogg; codecs=opus", "", "voice.ogg"),
        ("sticker", "image/webp", None, "sticker.webp"),
        ("document", "application/x-strange", None, "document.bin"),
        ("document", "application/pdf", "a/b.txt", "b.txt"),
    ],
)
def test_an_attachment_has_its_own_name_or_one_that_says_what_it_is(
    kind: str, mime: str, given_name: str | None, name: str
) -> None:
    assert attachment_name(CustomerFile("1", kind, None, given_name), mime) == name


AGENT_FILES = {
    "text_with_image": [
        AgentFile(DOWNLOADS + "e5f42510deca065d7836ee74ef3a11e3", "image/png", "map.png", 48211, required=True)
    ],
    "attachment_document_no_text": [
        AgentFile(
            DOWNLOADS + "956fe284cd316db76e8f6a1ee1558c35", "application/pdf", "invoice-4711.pdf", 150322, required=True
        )
    ],
    "attachment_audio": [
        AgentFile(DOWNLOADS + "49b3771b52ebfcfe3d96a02ca09259c8", "audio/mpeg", "note.mp3", 90112, required=True)
    ],
    "attachment_video_caption": [
        AgentFile(DOWNLOADS + "3db90cc390b44bd77c52860264f22fd2", "video/mp4", "demo.mp4", 2400000, required=True)
    ],
    "structured_card": [AgentFile("https://img.example.com/winter.jpg", None, None, None, required=False)],
}


@pytest.mark.parametrize("name", names("genesys"))
def test_the_files_of_a_recorded_webhook_are_found(name: str) -> None:
    assert agent_files(load(f"genesys/{name}")) == AGENT_FILES.get(name, [])


def attachment(url: str | None, **members: Any) -> dict[str, Any]:
    return {"contentType": "Attachment", "attachment": {"url": url, **members}}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(
            [attachment("https://a.example/1"), attachment("http://a.example/2")],
            [("https://a.example/1", True), ("http://a.example/2", True)],
            id="several, in order",
        ),
        pytest.param(
            [attachment("https://a.example/1"), attachment("https://a.example/1")],
            [("https://a.example/1", True)],
            id="the same link twice",
        ),
        pytest.param(
            [{"contentType": "Card", "card": {"image": "https://a.example/1"}}, attachment("https://a.example/1")],
            [("https://a.example/1", True)],
            id="decoration that is needed elsewhere",
        ),
        pytest.param(
            [attachment("https://a.example/1"), {"contentType": "Card", "card": {"image": "https://a.example/1"}}],
            [("https://a.example/1", True)],
            id="a need that is decoration elsewhere",
        ),
        pytest.param(
            [
                {
                    "contentType": "Carousel",
                    "carousel": {"cards": [{"image": "https://a.example/1", "video": "https://a.example/2"}, {}]},
                }
            ],
            [("https://a.example/1", False), ("https://a.example/2", False)],
            id="cards of a carousel",
        ),
        pytest.param(
            [
                {
                    "contentType": "Notification",
                    "template": {"id": "t", "header": {"media": {"url": "https://a.example/1"}}},
                }
            ],
            [("https://a.example/1", True)],
            id="a template's header",
        ),
        pytest.param([attachment("https://a.example/1", mediaType="Link")], [], id="a link is no file"),
        pytest.param(
            [attachment(url) for url in (None, "", "ftp://a.example", "file:///etc/passwd", "https://a b", "x")],
            [],
            id="what no browser opens",
        ),
        pytest.param([{"attachment": {"url": "https://a.example/1"}}], [("https://a.example/1", True)], id="untyped"),
    ],
)
def test_a_webhook_names_its_files(content: list[dict[str, Any]], found: list[tuple[str, bool]]) -> None:
    assert [(file.url, file.required) for file in agent_files({"content": content})] == found


def test_a_nonsensical_size_is_none() -> None:
    sizes = [
        agent_files({"content": [attachment("https://a.example/1", contentSizeBytes=size)]})[0].size
        for size in (-1, "x", None, "12", 12.0)
    ]
    assert sizes == [None, None, None, 12, 12]


@given(any_json)
def test_any_json_in_a_webhooks_place_has_files_or_none(body: Any) -> None:
    assert isinstance(agent_files(body), list)
    assert isinstance(agent_files({"content": [body, {"contentType": "Card", "card": body}]}), list)


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (JPEG, "image/jpeg"),
        (PNG, "image/png"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (HEIC, "image/heic"),
        (PDF, "application/pdf"),
        (MP4, "video/mp4"),
        (GP3, "video/3gpp"),
        (M4A, "audio/mp4"),
        (MOV, "video/quicktime"),
        (OPUS, "audio/ogg"),
        (MP3, "audio/mpeg"),
        (MP3_TAGGED, "audio/mpeg"),
        (AAC, "audio/aac"),
        (AMR, "audio/amr"),
        (b"PK\x03\x04", None),
        (b"\xff\xfeh\0i\0", None),
        (b"plain text", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_file_shows_its_type(head: bytes, mime: str | None) -> None:
    assert sniff(head) == mime


@pytest.mark.parametrize(
    ("declared", "answered", "head", "size", "expected"),
    [
        pytest.param("image/png", "text/html", PNG, 9, Sendable("image", "image/png"), id="as declared"),
        pytest.param(
            "IMAGE/JPG; q=1", None, b"?", 9, Sendable("image", "image/jpeg"), id="declared in another spelling"
        ),
        pytest.param(None, "video/mp4", b"", 9, Sendable("video", "video/mp4"), id="as the download says"),
        pytest.param(
            "application/octet-stream",
            "binary/octet-stream",
            PDF,
            9,
            Sendable("document", "application/pdf"),
            id="sniffed",
        ),
        pytest.param(None, None, b"?", 9, Sendable("document", "application/octet-stream"), id="what nobody knows"),
        pytest.param("nonsense", "", MP4, 9, Sendable("video", "video/mp4"), id="declared nonsense"),
        pytest.param("image/jpeg", None, PNG, 9, Sendable("image", "image/png"), id="another image than declared"),
        pytest.param("image/jpeg", None, WEBP, 9, Sendable("document", "image/webp"), id="an image in disguise"),
        pytest.param("image/png", None, b"?", 9, Sendable("image", "image/png"), id="an image that shows nothing"),
        pytest.param("image/gif", None, GIF, 9, Sendable("document", "image/gif"), id="gif"),
        pytest.param("image/svg+xml", None, b"<svg", 9, Sendable("document", "image/svg+xml"), id="svg"),
        pytest.param("image/png", None, PNG, 5 * MIB, Sendable("image", "image/png"), id="5 MB of image"),
        pytest.param("image/png", None, PNG, 5 * MIB + 1, Sendable("document", "image/png"), id="more than 5 MB"),
        pytest.param("video/mp4", None, MP4, 16 * MIB, Sendable("video", "video/mp4"), id="16 MB of video"),
        pytest.param("video/mp4", None, MP4, 16 * MIB + 1, Sendable("document", "video/mp4"), id="more than 16 MB"),
        pytest.param("video/quicktime", None, MOV, 9, Sendable("document", "video/quicktime"), id="mov"),
        pytest.param("video/3gpp", None, GP3, 9, Sendable("video", "video/3gpp"), id="3gp"),
        pytest.param("audio/mp3", None, MP3, 9, Sendable("audio", "audio/mpeg"), id="mp3"),
        pytest.param("audio/x-m4a", None, M4A, 9, Sendable("audio", "audio/mp4"), id="m4a"),
        pytest.param("audio/wav", None, b"RIFF", 9, Sendable("document", "audio/wav"), id="wav"),
        pytest.param("audio/mpeg", None, MP3, 16 * MIB + 1, Sendable("document", "audio/mpeg"), id="a long mp3"),
        pytest.param("audio/ogg", None, OPUS, 9, Sendable("audio", "audio/ogg"), id="opus"),
        pytest.param("audio/ogg", None, VORBIS, 9, Sendable("document", "audio/ogg"), id="vorbis"),
        pytest.param(
            "application/pdf", None, PDF, WHATSAPP_LIMIT_BYTES, Sendable("document", "application/pdf"), id="100 MB"
        ),
    ],
)
def test_a_file_is_sent_as_whatsapp_takes_it(
    declared: str | None, answered: str | None, head: bytes, size: int, expected: Sendable
) -> None:
    assert sendable(declared, answered, head, size) == expected


@pytest.mark.parametrize("size", [0, WHATSAPP_LIMIT_BYTES + 1])
def test_an_empty_or_endless_file_is_refused(size: int) -> None:
    with pytest.raises(Rejected) as caught:
        sendable("application/pdf", None, PDF, size)
    assert (caught.value.reason, caught.value.code) == ("unsupported", "InvalidMediaContentLength")


@given(st.none() | any_text, st.none() | any_text, st.binary(max_size=80), st.integers(1, WHATSAPP_LIMIT_BYTES))
def test_any_file_of_a_sensible_size_can_be_sent(
    declared: str | None, answered: str | None, head: bytes, size: int
) -> None:
    assert "/" in sendable(declared, answered, head, size).mime
