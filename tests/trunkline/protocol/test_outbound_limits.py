"""Whatever Genesys sends converts or is rejected, and WhatsApp gets no string longer than it takes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trunkline.protocol.payloads import any_json, any_text, load, mutations, names, uploads
from tests.trunkline.protocol.whatsapp_limits import check_limits
from trunkline.errors import Rejected
from trunkline.protocol.media import UploadedFile
from trunkline.protocol.outbound import convert_outbound, is_typing, outbound_kind, outbound_text
from trunkline.protocol.text import is_url

TO = {"channel": {"to": {"id": "447700900111"}}, "type": "Structured"}
LINK = "https://x.example/1"

any_length = (
    st.none() | any_text | st.builds(str.__mul__, st.text("ab \n😀é", min_size=1, max_size=9), st.integers(1, 700))
)
some_url = st.sampled_from([None, LINK, "https://x.example/2", "https://x.example/" + "x" * 2000, "tel:1"])
parameters = st.lists(st.fixed_dictionaries({"name": any_length, "text": any_length}), max_size=3)
part = st.fixed_dictionaries({"text": any_length, "parameters": parameters})
header = st.fixed_dictionaries(
    {"text": any_length}, optional={"parameters": parameters, "media": st.just({"url": LINK})}
)
attachment = st.fixed_dictionaries(
    {"url": some_url, "text": any_length, "filename": any_length},
    optional={"mediaType": st.sampled_from(["Image", "Link", "File"])},
)
button = st.fixed_dictionaries(
    {"type": st.sampled_from(["Url", "QuickReply", "PhoneNumber"]), "parameters": parameters, "payload": any_length}
)
template = st.fixed_dictionaries(
    {"id": any_length, "language": any_length, "header": st.none() | header, "body": part, "footer": part},
    optional={"buttons": st.lists(button, max_size=3)},
)
action = st.fixed_dictionaries(
    {"type": st.sampled_from(["Link", "Postback"]), "text": any_length, "payload": any_length, "url": some_url}
)
card = st.fixed_dictionaries(
    {
        "title": any_length,
        "description": any_length,
        "image": some_url,
        "video": some_url,
        "defaultAction": st.none() | action,
        "actions": st.lists(action, max_size=5),
    }
)
reply = st.fixed_dictionaries({"text": any_length, "payload": any_length})
item = st.fixed_dictionaries({"id": any_length, "title": any_length, "subtitle": any_length})
section = st.fixed_dictionaries({"title": any_length, "items": st.lists(item, max_size=7)})
asked = st.fixed_dictionaries({"title": any_length, "subtitle": any_length, "buttonLabel": any_length})
time = st.fixed_dictionaries({"dateTime": any_length, "duration": st.none() | st.floats()})
place = st.fixed_dictionaries(
    {"latitude": st.floats(-95, 95), "longitude": st.floats(-190, 190), "text": any_length, "address": any_length}
)
pickers = st.fixed_dictionaries({"sections": st.lists(section, max_size=3), "receivedMessage": asked})
dates = st.fixed_dictionaries(
    {"title": any_length, "subtitle": any_length, "availableTimes": st.lists(time, max_size=12)}
)
content = st.one_of(
    st.fixed_dictionaries({"contentType": st.just("Attachment"), "attachment": attachment}),
    st.fixed_dictionaries({"contentType": st.just("Notification"), "template": template}),
    st.fixed_dictionaries({"contentType": st.just("Card"), "card": card}),
    st.fixed_dictionaries(
        {"contentType": st.just("Carousel"), "carousel": st.fixed_dictionaries({"cards": st.lists(card, max_size=3)})}
    ),
    st.fixed_dictionaries({"contentType": st.just("QuickReply"), "quickReply": reply}),
    st.fixed_dictionaries(
        {
            "contentType": st.just("QuickReplyV2"),
            "quickReplyV2": st.fixed_dictionaries({"title": any_length, "actions": st.lists(reply, max_size=12)}),
        }
    ),
    st.fixed_dictionaries({"contentType": st.just("ListPicker"), "listPicker": pickers}),
    st.fixed_dictionaries({"contentType": st.just("DatePicker"), "datePicker": dates}),
    st.fixed_dictionaries({"contentType": st.just("Location"), "location": place}),
    st.fixed_dictionaries({"contentType": any_text, "text": st.fixed_dictionaries({"body": any_length})}),
)
kinds = st.sampled_from(["image", "video", "audio", "document"])


def test_strings_that_are_too_long_are_cut_and_sent() -> None:
    long = {"text": "x" * 3000, "name": "n"}
    buttons = [
        {"type": "Url", "index": "later", "parameters": [long]},
        {"type": "QuickReply", "payload": "y" * 300},
    ]
    members = {
        "id": "ns@" + "t" * 600,
        "language": "en-" + "z" * 90,
        "body": {"parameters": [long]},
        "buttons": buttons,
    }
    [post] = convert_outbound({**TO, "content": [{"contentType": "Notification", "template": members}]})
    assert post.body["template"] == {
        "name": "t" * 512,
        "language": {"code": "en_" + "z" * 13},
        "components": [
            {"type": "body", "parameters": [{"type": "text", "parameter_name": "n", "text": "x" * 1024}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "x" * 2000}]},
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": "1",
                "parameters": [{"type": "payload", "payload": "y" * 256}],
            },
        ],
    }


def test_a_place_with_long_words_is_cut_and_sent() -> None:
    long = {"latitude": 90, "longitude": -180, "text": "x" * 1001, "address": "y" * 1001}
    [post] = convert_outbound({**TO, "content": [{"contentType": "Location", "location": long}]})
    assert post.body["location"] == {"latitude": 90, "longitude": -180, "name": "x" * 1000, "address": "y" * 1000}


@pytest.mark.parametrize(("latitude", "longitude"), [(90.1, 0), (0, -180.1), (None, 0)])
def test_a_place_that_is_not_on_the_map_is_told_in_words(latitude: float | None, longitude: float) -> None:
    place = {"latitude": latitude, "longitude": longitude, "text": "HQ"}
    [post] = convert_outbound({**TO, "content": [{"contentType": "Location", "location": place}]})
    assert post.body["text"] == {"body": "HQ", "preview_url": False}


def test_a_link_too_long_for_a_button_is_sent_whole_in_the_text() -> None:
    url = "https://x.example/" + "x" * 2000
    members = {"title": "T", "actions": [{"type": "Link", "text": "More", "url": url}]}
    [post] = convert_outbound({**TO, "content": [{"contentType": "Card", "card": members}]})
    assert post.body["text"] == {"body": f"T\nMore: {url}", "preview_url": True}


@given(any_length, st.lists(content, max_size=4), kinds, any_length)
def test_any_content_stays_within_whatsapps_limits(text: Any, contents: Any, kind: Any, filename: str | None) -> None:
    body = {**TO, "text": text, "content": contents}
    check(body, {link: UploadedFile("1", kind, filename) for link in uploads(body)})


@given(any_json)
def test_any_json_in_a_webhooks_place_converts_or_is_rejected(body: Any) -> None:
    check(body, uploads(body))
    beside_text = {**TO, "text": "Hi", "content": [body]}
    check(beside_text, uploads(beside_text))


@given(st.data())
def test_any_json_within_a_recorded_webhook_converts_or_is_rejected(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names("genesys")))
    body = data.draw(mutations(load(f"genesys/{name}")))
    check(body, uploads(body))


@given(st.builds(str.__mul__, st.text("ab \n😀é", min_size=1, max_size=9), st.integers(1, 2000)), kinds)
def test_no_word_of_a_text_or_caption_is_lost(text: str, kind: Any) -> None:
    words = text.split()
    for content in ([], [{"contentType": "Attachment", "attachment": {"url": LINK}}]):
        body = {**TO, "text": text, "content": content}
        if words or content:
            posts = convert_outbound(body, {LINK: UploadedFile("1", kind, None)})
            said = [post.body["text"]["body"] if "text" in post.body else caption_of(post.body) for post in posts]
            assert "".join("".join(said).split()) == "".join(words)


def caption_of(body: dict[str, Any]) -> str:
    caption: str = body[body["type"]].get("caption", "")
    return caption


@given(st.lists(content, max_size=3))
def test_files_that_are_missing_are_the_only_ones_missed(contents: Any) -> None:
    body = {**TO, "content": contents}
    try:
        convert_outbound(body, uploads(body))
    except Rejected as error:
        refused = error.reason == "media_unavailable"
        assert not refused or any(not is_url(url) for url in required_urls(contents))


def required_urls(contents: list[dict[str, Any]]) -> list[Any]:
    headers = [(each.get("template") or {}).get("header") or {} for each in contents]
    media = [each["attachment"] for each in contents if "attachment" in each]
    return [each.get("url") for each in (*media, *(header["media"] for header in headers if "media" in header))]


def check(body: Any, files: dict[str, UploadedFile]) -> None:
    assert outbound_kind(body)
    (outbound_text(body) or "").encode()
    is_typing(body)
    for known in (files, {}):
        try:
            posts = convert_outbound(body, known)
        except Rejected as error:
            assert error.reason in {"invalid", "unsupported", "media_unavailable"}
            continue
        for post in posts:
            orjson.dumps(post.body)
            check_limits(post.body)
