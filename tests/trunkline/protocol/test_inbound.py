"""Customer to contact centre: recorded WhatsApp messages, field by field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trunkline.protocol.payloads import LINK, any_json, at_our_link, load, messages, mutations, names
from trunkline.errors import Rejected
from trunkline.protocol.identity import alias_change, sender_identity
from trunkline.protocol.inbound import (
    ATTRIBUTES_LIMIT_BYTES,
    TEXT_LIMIT,
    GenesysPost,
    Prompt,
    convert_inbound,
    prompt_reference,
)
from trunkline.protocol.media import Attachable, Unattachable, customer_file
from trunkline.protocol.text import utf16_length

ALDER, BIRCH, CEDAR = "210099887766551", "310077665544332", "415522119933884"
ACCEPTED_AT = 1795435999.5
INES = {"id": "447700900111", "idType": "Phone", "nickname": "Ines Calder", "firstName": "Ines", "lastName": "Calder"}
INES_UNNAMED = {"id": "447700900111", "idType": "Phone", "nickname": "447700900111"}
TOM = {"id": "12025550143", "idType": "Phone", "nickname": "Tom Okoye", "firstName": "Tom", "lastName": "Okoye"}
ROBIN = {"id": "GB.55021188437766120934", "idType": "Opaque", "nickname": "Robin", "firstName": "Robin"}
QUOTED = "wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQUJCMjVBM0M3NjhDQUYwRTUwAA=="
FIRST = "wamid.HBgMNDQ3NzAwOTAwMTExFQIAEhgUN0UyNDMyQkVBMjQ2OUE2M0I3OEQA"


def row(
    text: str | None, kind: str = "text", *, sender: dict[str, str] = INES, time: str = "12:00:00", **attributes: str
) -> dict[str, Any]:
    """What the agent gets: the body but for the message's id and our number."""
    return {
        "text": text,
        "content": None,
        "from": sender,
        "time": f"2026-11-23T{time}.000Z",
        "attributes": {"wa_message_type": kind, **attributes},
    }


def file_row(text: str | None, kind: str, media_type: str, mime: str, media_id: str, filename: str) -> dict[str, Any]:
    """What the agent gets of a message that is a file."""
    attachment = {"mediaType": media_type, "mime": mime, "url": LINK + media_id, "filename": filename}
    return {**row(text, kind), "content": [{"contentType": "Attachment", "attachment": attachment}]}


CARD = """Contact: Dr Ayo Bright
Organisation: Owner, Bright Dental
Phone: +44 7700 900222 (cell)
Email: ayo@bright.example.com (work)
Web: https://bright.example.com (work)
Address: 1 High St, York, YO1 1AA, United Kingdom (work)
Birthday: 1984-02-29"""

ROWS: dict[str, list[dict[str, Any]]] = {
    "text_basic": [row("Hello, is the Leeds branch open today?")],
    "text_emoji_multiline": [row("Déjà vu 😀👩‍👩‍👧 👍🏽\nsecond line / third\n\n– fin")],  # noqa: RUF001
    "text_reply_context": [
        row(
            "Yes, that one please",
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSRkE0OEEyOEI4RTlGM0RCMjAwAA==",
        )
    ],
    "text_forwarded": [row("Please see below", wa_forwarded="true")],
    "text_frequently_forwarded": [row("Share this!", wa_forwarded="true")],
    "text_ad_referral": [
        row(
            "Hi, I saw your ad",
            wa_referral_source_id="120208811223344",
            wa_referral_url="https://fb.me/9xAbCdEf",
            wa_ctwa_clid="ARBqK9s2vXexampleClickId",
            wa_referral_headline="Winter tyres",
        )
    ],
    "text_referred_product": [
        row(
            "Is it in blue?",
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSN0I4QUE2M0YzMzc3NUZBMTJDAA==",
            wa_product_id="MUG-07",
            wa_catalog_id="661122334455",
        )
    ],
    "text_before_bsuid": [row("Good morning")],
    "text_bsuid_only": [row("I prefer not to share my number", sender=ROBIN)],
    "text_group": [],
    "text_no_contacts": [row("Anyone there?", sender=INES_UNNAMED)],
    "image_caption": [
        file_row("The cracked screen", "image", "Image", "image/jpeg", "1913918400767715", "image.jpg"),
    ],
    "image_with_url": [file_row(None, "image", "Image", "image/png", "1188870605041394", "image.png")],
    "video_caption": [
        file_row("Noise from the engine", "video", "Video", "video/mp4", "1959764218844209", "video.mp4")
    ],
    "audio_voice_note": [file_row(None, "audio", "Audio", "audio/ogg", "1160970889500549", "voice.ogg")],
    "audio_file": [file_row(None, "audio", "Audio", "audio/mpeg", "1822962241164708", "audio.mp3")],
    "document_caption_filename": [
        file_row("Signed copy", "document", "File", "application/pdf", "1102791606226224", "contract 2026-11.pdf"),
    ],
    "sticker_animated": [file_row(None, "sticker", "Image", "image/webp", "1699937086113641", "sticker.webp")],
    "location_place": [
        row(
            "City Market\nVicar Lane, Leeds\n53.7965,-1.5478\nhttps://maps.google.com/?q=53.7965,-1.5478\n"
            "https://citymarket.example.com/",
            "location",
        )
    ],
    "location_pin": [row("-33.8568,151.2153\nhttps://maps.google.com/?q=-33.8568,151.2153", "location")],
    "contacts_card": [row(CARD, "contacts")],
    "interactive_button_reply": [
        row(
            "Yes",
            "interactive",
            wa_button_id="opt_yes",
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQ0JFMjk4OTdGODg3QUFBMDRFAA==",
        )
    ],
    "interactive_list_reply": [
        row(
            "Refund",
            "interactive",
            wa_button_id="row_refund",
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSM0U2NkYxNzM4NkRGOTNERTk1AA==",
        )
    ],
    "interactive_flow_reply": [
        row(
            "date: 2026-12-01\nguests: 4",
            "interactive",
            wa_flow_response='{"flow_token": "ft-881", "date": "2026-12-01", "guests": 4}',
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSM0NBRkIzRUJGNjZFMTAxMkZDAA==",
        )
    ],
    "interactive_call_permission": [
        row(
            "Call permission: rejected",
            "interactive",
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQjExRDA1Qjg1RjBBRTVDN0E1AA==",
        )
    ],
    "button_template_reply": [
        row(
            "Confirm",
            "button",
            wa_button_id="CONFIRM_4711",
            wa_context_id="wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQUJFNEE0NjlBQjY2QThFQ0U1AA==",
        )
    ],
    "reaction_add": [row("Reacted ❤️", "reaction", wa_context_id=QUOTED)],
    "reaction_remove": [row("Removed reaction", "reaction", time="12:00:05", wa_context_id=QUOTED)],
    "order": [row("Order\n2 x MUG-07, 8.5 GBP each\n1 x TEA-12, 4 GBP each\nNote: Gift wrap please", "order")],
    "system_number_change": [
        row("User Ines Calder changed from 447700900111 to 447700900333", "system", sender=INES_UNNAMED)
    ],
    "unsupported_poll": [row("[Unsupported message: poll_creation]", "unsupported")],
    "interactive_missing_with_error": [row("[Unsupported message: interactive]", "interactive")],
    "request_welcome": [],
    "edit_text": [row("Edited: Hello, is the York branch open today?", "edit", time="12:01:30", wa_context_id=FIRST)],
    "revoke": [row("Deleted a message", "revoke", time="12:02:00", wa_context_id=FIRST)],
    "batch_messages": [row("one"), row("two", time="12:00:01"), row("from Tom", sender=TOM, time="12:00:01")],
    "batch_two_tenants": [row("for alder"), row("for birch", sender=TOM)],
    "duplicate_in_batch": [row("once only"), row("once only")],
    "other_tenant_own_app": [
        row(
            "Buenos días",
            sender={
                "id": "34600555210",
                "idType": "Phone",
                "nickname": "Luz Ferrer",
                "firstName": "Luz",
                "lastName": "Ferrer",
            },
        )
    ],
    "unknown_phone_number_id": [row("hello?")],
    "malformed_no_metadata": [row("lost", sender=INES_UNNAMED)],
    "malformed_image_without_object": [row("[Image could not be loaded]", "image")],
}
NOT_ROWS = {"malformed_one_bad_message", "malformed_entry_not_array", "malformed_wrong_object", "errors_only"}


endless_text = st.builds(str.__mul__, st.text('a"\\\x01é😀\ud800', max_size=9), st.integers(0, 400))


def converted(message: dict[str, Any], contact: dict[str, Any] | None) -> list[GenesysPost]:
    identity = sender_identity(message, contact) or ""
    file = at_our_link(message)
    return convert_inbound(message, contact, ALDER, ACCEPTED_AT, with_plus=False, identity=identity, file=file)


def says(message: dict[str, Any]) -> dict[str, Any]:
    """The one post of a message whose frame does not matter."""
    [post] = converted({"id": "wamid.1", "from": "447700900111", "timestamp": "1795435200", **message}, None)
    return post.body


def test_every_recorded_message_has_a_row() -> None:
    assert set(ROWS) == {name for name in names("whatsapp") if messages(name)} - NOT_ROWS


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_message_reaches_the_agent_as_it_should(name: str) -> None:
    posts, expected = [], []
    for message, contact in messages(name):
        posts += converted(message, contact)
    bridged = [message for message, _ in messages(name)][: len(ROWS[name])]
    for message, told in zip(bridged, ROWS[name], strict=True):
        channel = {
            "messageId": message["id"],
            "from": told["from"],
            "time": told["time"],
            "metadata": {"customAttributes": {"wa_phone_number_id": ALDER, **told["attributes"]}},
        }
        said = {member: told[member] for member in ("text", "content") if told[member] is not None}
        expected.append(GenesysPost("message", {"channel": channel, **said}))
    assert posts == expected


def test_a_plain_text_is_posted_exactly_as_genesys_documents_it() -> None:
    [(message, contact)] = messages("text_basic")
    assert converted(message, contact)[0].body == load("api/gen_inbound_message_ok")["request"]["body"]


def test_a_bad_message_is_rejected_and_its_neighbour_is_not() -> None:
    (bad, bad_contact), (good, good_contact) = messages("malformed_one_bad_message")
    with pytest.raises(Rejected) as caught:
        converted(bad, bad_contact)
    assert caught.value.reason == "invalid"
    assert converted(good, good_contact)[0].body["text"] == "I am fine"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"from": "447700900111", "type": "text", "text": {"body": "x"}}, id="no id"),
        pytest.param({"id": "", "from": "447700900111"}, id="an empty id"),
        pytest.param({"id": "w" * 256, "from": "447700900111"}, id="an endless id"),
        pytest.param({"id": "wamid.1", "type": "text", "text": {"body": "x"}}, id="no sender"),
        pytest.param({"id": "wamid.1", "from": "nobody"}, id="nonsense for a sender"),
    ],
)
def test_a_message_without_id_or_sender_is_invalid(message: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        converted(message, None)
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param({"type": "text", "text": {"body": " \n "}}, " \n ", id="blank text"),
        pytest.param({"type": "text", "text": {"body": ""}}, "[Unsupported message: text]", id="empty text"),
        pytest.param({"type": "text", "text": "string"}, "[Unsupported message: text]", id="text of a wrong type"),
        pytest.param({"type": "text", "text": {"body": "a\ud83db\0c"}}, "a\ufffdb\ufffdc", id="lone surrogate and NUL"),
        pytest.param({}, "[Unsupported message: unknown]", id="no type"),
        pytest.param({"type": "hologram"}, "[Unsupported message: hologram]", id="a type of tomorrow"),
        pytest.param({"type": "x" * 200}, f"[Unsupported message: {'x' * 64}]", id="an endless type"),
        pytest.param({"type": "voice", "voice": {}}, "[Voice message could not be loaded]", id="old voice"),
        pytest.param(
            {"type": "document", "document": {"filename": "../../.ssh/.secret\n.pdf"}},
            "[Document could not be loaded: secret.pdf]",
            id="a file name with a path",
        ),
        pytest.param(
            {"type": "location", "location": {"latitude": "51.0", "longitude": 1e-7}},
            "51,0.0000001\nhttps://maps.google.com/?q=51,0.0000001",
            id="odd coordinates",
        ),
        pytest.param({"type": "location", "location": {"latitude": None, "name": "Home"}}, "Home", id="no coordinates"),
        pytest.param({"type": "location", "location": {}}, "[Unsupported message: location]", id="an empty location"),
        pytest.param(
            {
                "type": "contacts",
                "contacts": [
                    {
                        "name": {"first_name": "Ann", "last_name": "Lee"},
                        "phones": [{"phone": "1", "type": "HOME"}, {"wa_id": "2"}],
                        "emails": [{"email": "a@example.com"}, {"email": "b@example.com"}],
                    },
                    {"org": {"company": "Acme", "department": "Sales"}},
                    {"vcard": "BEGIN:VCARD"},
                    {},
                ],
            },
            "Contact: Ann Lee\nPhone: 1 (home)\nPhone: 2\nEmail: a@example.com\nEmail: b@example.com\n\n"
            "Contact: Organisation: Sales, Acme\n\nContact: BEGIN:VCARD",
            id="several cards",
        ),
        pytest.param({"type": "contacts", "contacts": []}, "[Unsupported message: contacts]", id="no cards"),
        pytest.param({"type": "button", "button": {"payload": "P"}}, "P", id="a button without text"),
        pytest.param({"type": "button"}, "[Unsupported message: button]", id="no button"),
        pytest.param(
            {"type": "interactive", "interactive": {"type": "button_reply"}},
            "[Unsupported message: interactive]",
            id="no reply",
        ),
        pytest.param({"type": "reaction", "reaction": {"emoji": ""}}, "Removed reaction", id="an empty emoji"),
        pytest.param({"type": "reaction", "reaction": {"emoji": None}}, "Removed reaction", id="a null emoji"),
        pytest.param({"type": "reaction", "reaction": {}}, "Removed reaction", id="no emoji"),
        pytest.param({"type": "reaction"}, "[Unsupported message: reaction]", id="no reaction"),
        pytest.param({"type": "text", "text": {"body": "Hi"}, "group_id": None}, "Hi", id="a null group"),
        pytest.param(
            {"type": "interactive", "interactive": {"type": "call_permission_reply", "call_permission_reply": {}}},
            "[Unsupported message: interactive]",
            id="a call permission without answer",
        ),
        pytest.param(
            {
                "type": "order",
                "order": {
                    "product_items": [
                        {"product_retailer_id": 7, "quantity": "2", "item_price": "12.50", "currency": "GBP"},
                        {"quantity": 1.0, "item_price": 3},
                    ]
                },
            },
            "Order\n2 x 7, 12.50 GBP each\n1 x unnamed product, 3 each",
            id="an order with prices of either type",
        ),
        pytest.param(
            {"type": "order", "order": {"product_items": [{"product_retailer_id": "A", "quantity": "3"}]}},
            "Order\n3 x A",
            id="an order with strings",
        ),
        pytest.param(
            {"type": "system", "system": {"type": "customer_changed_number", "new_wa_id": "123"}},
            "Customer changed number to 123",
            id="an old number change without body",
        ),
        pytest.param(
            {"type": "system", "system": {"type": "user_changed_user_id", "user_id": "MX.1"}},
            "Customer changed user id to MX.1",
            id="a changed user id without body",
        ),
        pytest.param(
            {"type": "system", "system": {"body": "User changed from CO.1 to MX.1", "type": "user_changed_user_id"}},
            "User changed from CO.1 to MX.1",
            id="a changed user id",
        ),
        pytest.param({"type": "system"}, "[Unsupported message: system]", id="no news"),
        pytest.param(
            {"type": "system", "system": {"type": "customer_identity_changed"}},
            "customer_identity_changed",
            id="an identity change",
        ),
        pytest.param(
            {"type": "edit", "edit": {"message": {"type": "image", "image": {"caption": "Better"}}}},
            "Edited: [Image could not be loaded]\nBetter",
            id="an edited caption",
        ),
        pytest.param(
            {"type": "edit", "edit": {"message": {"type": "edit", "edit": {}}}},
            "Edited: [Unsupported message: edit]",
            id="an edit of an edit",
        ),
        pytest.param({"type": "edit", "edit": {}}, "Edited: [Unsupported message: unknown]", id="an empty edit"),
        pytest.param({"type": "revoke"}, "Deleted a message", id="a revoke of nothing"),
        pytest.param({"type": "unknown"}, "[Unsupported message: unknown]", id="the older unsupported"),
    ],
)
def test_an_odd_message_is_told_as_far_as_it_goes(message: dict[str, Any], text: str) -> None:
    assert says(message)["text"] == text


@pytest.mark.parametrize(
    ("reply", "text", "attribute"),
    [
        pytest.param(
            {"response_json": '{"flow_token": "t", "slots": ["a", 2], "who": {"n": 1}, "ok": true}'},
            'slots: a, 2\nwho: {"n":1}\nok: true',
            '{"flow_token": "t", "slots": ["a", 2], "who": {"n": 1}, "ok": true}',
            id="nested answers",
        ),
        pytest.param(
            {"response_json": '["not", "an object"]'}, '["not", "an object"]', '["not", "an object"]', id="list"
        ),
        pytest.param({"response_json": "{broken"}, "{broken", "{broken", id="broken JSON"),
        pytest.param({"response_json": {"a": 1}}, "a: 1", '{"a":1}', id="an object instead of a string"),
        pytest.param(
            {"response_json": '{"flow_token": "t"}', "body": "Sent"}, "Sent", '{"flow_token": "t"}', id="no answers"
        ),
        pytest.param({"name": "address_message"}, "address_message", None, id="no JSON"),
        pytest.param({"response_json": '{"a": "%s"}' % ("x" * 2000)}, "a: " + "x" * 2000, None, id="long JSON"),
        pytest.param({"response_json": "[" * 1100 + "]" * 1100}, "[" * 1100 + "]" * 1100, None, id="deep JSON"),
    ],
)
def test_a_flows_answers_are_readable(reply: dict[str, Any], text: str, attribute: str | None) -> None:
    body = says({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": reply}})
    assert body["text"] == text
    assert body["channel"]["metadata"]["customAttributes"].get("wa_flow_response") == attribute


def test_a_text_of_4096_characters_is_one_post() -> None:
    assert says({"type": "text", "text": {"body": "x" * TEXT_LIMIT}})["text"] == "x" * TEXT_LIMIT


def test_a_longer_text_is_several_posts_and_loses_nothing() -> None:
    text = "all work and no play " * 500
    message = {"id": "wamid.1", "from": "447700900111", "type": "text", "text": {"body": text}}
    posts = converted(message, None)
    assert [post.body["channel"]["messageId"] for post in posts] == ["wamid.1", "wamid.1#2", "wamid.1#3"]
    assert "".join(post.body["text"] for post in posts) == text
    assert all(post.body["text"].endswith(" ") for post in posts)
    assert len({orjson.dumps({**post.body["channel"], "messageId": ""}) for post in posts}) == 1


@given(st.builds(str.__mul__, st.text("ab \n\x01é😀", min_size=1, max_size=9), st.integers(1, 2000)))
def test_no_part_of_any_text_is_lost(text: str) -> None:
    posts = converted({"id": "wamid.1", "from": "447700900111", "type": "text", "text": {"body": text}}, None)
    assert "".join(post.body["text"] for post in posts) == text
    assert all(utf16_length(post.body["text"]) <= TEXT_LIMIT for post in posts)


@pytest.mark.parametrize("timestamp", ["not-a-number", None, "", -1, {}])
def test_a_message_without_a_sensible_timestamp_has_the_time_of_its_arrival(timestamp: Any) -> None:
    assert says({"timestamp": timestamp})["channel"]["time"] == "2026-11-23T12:13:19.500Z"


def test_a_tenant_may_want_its_numbers_with_a_plus() -> None:
    [(message, contact)] = messages("text_basic")
    [post] = convert_inbound(message, contact, ALDER, ACCEPTED_AT, with_plus=True, identity=INES["id"])
    assert post.body["channel"]["from"] == {**INES, "id": "+447700900111"}


@given(endless_text, endless_text, endless_text)
def test_custom_attributes_stay_small_and_textual(headline: str, url: str, context: str) -> None:
    body = says({"referral": {"headline": headline, "source_url": url}, "context": {"id": context}})
    attributes = body["channel"]["metadata"]["customAttributes"]
    assert len(orjson.dumps(attributes)) < ATTRIBUTES_LIMIT_BYTES
    assert all(isinstance(value, str) and value for value in attributes.values())
    assert attributes["wa_phone_number_id"] == ALDER


files = st.sampled_from([None, Attachable(LINK, "a/b", "f"), Unattachable("is gone"), Unattachable("is big", LINK)])
prompts = st.sampled_from([None, Prompt("g1", "quick_reply"), Prompt("g1", "date_picker"), Prompt("g1", "text")])


@given(any_json, any_json, files, prompts)
def test_any_json_in_a_messages_place_converts_or_is_rejected(
    message: Any, contact: Any, file: Any, prompt: Any
) -> None:
    check(message, contact, file, prompt)
    check({"id": "wamid.1", "type": "edit", "edit": {"message": message}}, contact, file, prompt)


@given(st.data(), files, prompts)
def test_any_json_within_a_recorded_message_converts_or_is_rejected(
    data: st.DataObject, file: Any, prompt: Any
) -> None:
    name = data.draw(st.sampled_from(sorted(ROWS)))
    message, contact = data.draw(st.sampled_from(messages(name)))
    check(data.draw(mutations(message)), data.draw(mutations(contact)) if contact else None, file, prompt)


def check(message: Any, contact: Any, file: Attachable | Unattachable | None, prompt: Prompt | None) -> None:
    customer_file(message)
    prompt_reference(message)
    alias_change(message)
    identity = sender_identity(message, contact) or INES["id"]
    try:
        posts = convert_inbound(message, contact, ALDER, 0, False, identity=identity, file=file, prompt=prompt)
    except Rejected as error:
        assert error.reason == "invalid"
        return
    for post in posts:
        orjson.dumps(post.body)
        assert post.body.get("text") or post.body.get("content") or post.body["buttonResponse"]["text"]
        assert utf16_length(post.body.get("text", "")) <= TEXT_LIMIT
