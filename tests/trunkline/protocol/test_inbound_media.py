"""Customers' files on their way to the agent: attached, or told of in words."""

from __future__ import annotations

from typing import Any

import pytest

from trunkline.protocol.inbound import GenesysPost, convert_inbound
from trunkline.protocol.media import Attachable, Unattachable

INES = "447700900111"
LINK = "https://trunkline.example.com/media/token"
FILE = Attachable(LINK, "image/jpeg", "image.jpg")
ATTACHMENT = {"mediaType": "Image", "mime": "image/jpeg", "url": LINK, "filename": "image.jpg"}
CONTENT = [{"contentType": "Attachment", "attachment": ATTACHMENT}]


def converted(message: dict[str, Any], file: Attachable | Unattachable | None) -> list[GenesysPost]:
    return convert_inbound({"id": "wamid.1", **message}, None, "1", 0, False, identity=INES, file=file)


def says(message: dict[str, Any], file: Attachable | Unattachable | None) -> dict[str, Any]:
    """Text and content of the one post."""
    [post] = converted(message, file)
    return {member: value for member, value in post.body.items() if member != "channel"}


@pytest.mark.parametrize(
    ("kind", "media", "media_type"),
    [
        ("image", {}, "Image"),
        ("video", {}, "Video"),
        ("audio", {}, "Audio"),
        ("audio", {"voice": True}, "Audio"),
        ("voice", {}, "Audio"),
        ("document", {}, "File"),
        ("sticker", {"animated": True}, "Image"),
    ],
)
def test_a_file_is_attached_under_its_kind(kind: str, media: dict[str, Any], media_type: str) -> None:
    file = Attachable(LINK, "a/b", "name.ext")
    attachment = {"mediaType": media_type, "mime": "a/b", "url": LINK, "filename": "name.ext"}
    content = [{"contentType": "Attachment", "attachment": attachment}]
    assert says({"type": kind, kind: {"id": "1", **media}}, file) == {"content": content}


@pytest.mark.parametrize(
    ("caption", "text"),
    [("Look", {"text": "Look"}), ("", {}), (None, {}), (" \n", {}), (7, {"text": "7"}), (["x"], {})],
)
def test_a_caption_is_the_text_and_no_caption_is_no_text(caption: Any, text: dict[str, str]) -> None:
    assert says({"type": "image", "image": {"caption": caption}}, FILE) == {**text, "content": CONTENT}


def test_a_long_caption_goes_on_after_the_file() -> None:
    caption = "all work and no play " * 500
    posts = converted({"type": "image", "image": {"caption": caption}}, FILE)
    assert [post.body["channel"]["messageId"] for post in posts] == ["wamid.1", "wamid.1#2", "wamid.1#3"]
    assert [post.body.get("content") for post in posts] == [CONTENT, None, None]
    assert "".join(post.body["text"] for post in posts) == caption


@pytest.mark.parametrize(
    ("message", "file", "text"),
    [
        pytest.param(
            {"type": "video", "video": {"caption": "Noise"}},
            Unattachable("is larger than 25 MB", LINK),
            f"[Video is larger than 25 MB]\n{LINK}\nNoise",
            id="too large, with a link",
        ),
        pytest.param(
            {"type": "document", "document": {"filename": "../../plan.pdf", "caption": "See p. 2"}},
            Unattachable("could not be loaded"),
            "[Document could not be loaded: plan.pdf]\nSee p. 2",
            id="with name and caption",
        ),
        pytest.param(
            {"type": "voice", "voice": {}}, None, "[Voice message could not be loaded]", id="nothing to be fetched"
        ),
        pytest.param({"type": "sticker"}, None, "[Sticker could not be loaded]", id="no object"),
        pytest.param({"type": "text", "text": {"body": "Hi"}}, FILE, "Hi", id="a text has no file"),
    ],
)
def test_a_file_that_cannot_be_attached_is_told_of(
    message: dict[str, Any], file: Attachable | Unattachable | None, text: str
) -> None:
    assert says(message, file) == {"text": text}


@pytest.mark.parametrize(
    ("media", "file", "expected"),
    [
        pytest.param({"caption": "Better"}, FILE, {"text": "Edited: Better", "content": CONTENT}, id="a caption"),
        pytest.param({}, FILE, {"text": "Edited: image.jpg", "content": CONTENT}, id="no caption"),
        pytest.param(
            {"caption": "Better"},
            Unattachable("is larger than 25 MB", LINK),
            {"text": f"Edited: [Image is larger than 25 MB]\n{LINK}\nBetter"},
            id="not attached",
        ),
    ],
)
def test_an_edit_keeps_its_file(
    media: dict[str, Any], file: Attachable | Unattachable, expected: dict[str, Any]
) -> None:
    edit = {"original_message_id": "wamid.0", "message": {"type": "image", "image": media}}
    [post] = converted({"type": "edit", "edit": edit}, file)
    assert post.body["channel"]["metadata"]["customAttributes"]["wa_context_id"] == "wamid.0"
    assert {member: value for member, value in post.body.items() if member != "channel"} == expected
