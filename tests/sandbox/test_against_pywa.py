"""Every webhook that the sandbox sends for WhatsApp, read by a library that nobody here wrote."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from pywa import handlers
from pywa.client import WhatsApp
from pywa.errors import PywaUnknownEnumMemberWarning
from pywa.types.callback import CallbackButton, CallbackSelection
from pywa.types.calls import CallPermissionUpdate
from pywa.types.flows import FlowCompletion
from pywa.types.message import DeletedMessage, EditedMessage, Message
from pywa.types.message_status import MessageStatus
from pywa.types.others import MessageType
from pywa.types.system import IdentityChange, PhoneNumberChange

from sandbox.payloads import sign_meta
from tests.sandbox.world import ACCOUNT, APP_SECRET, CUSTOMER, World, fixture, until

HANDLERS: list[type[handlers.Handler[Any]]] = [
    handlers.MessageHandler,
    handlers.EditedMessageHandler,
    handlers.DeletedMessageHandler,
    handlers.CallbackButtonHandler,
    handlers.CallbackSelectionHandler,
    handlers.CallPermissionUpdateHandler,
    handlers.FlowCompletionHandler,
    handlers.PhoneNumberChangeHandler,
    handlers.IdentityChangeHandler,
    handlers.MessageStatusHandler,
]
TEXT: dict[str, Any] = fixture("wa_send_ok")["request"]["body"]


def parsed(path: str, headers: dict[str, str], body: bytes) -> Any:
    """What pywa makes of one webhook: signature checked, then handed to the handler of its type."""
    found: list[Any] = []
    client = WhatsApp(
        phone_id=ACCOUNT["phoneNumberId"],
        waba_id=ACCOUNT["wabaId"],
        app_secret=APP_SECRET,
        skip_duplicate_updates=False,
    )
    client.add_handlers(*(handler(lambda _, update: found.append(update)) for handler in HANDLERS))
    assert client.webhook_update_validator(body, headers["X-Hub-Signature-256"]) is None
    assert client.webhook_update_handler(body) == ("ok", 200)
    assert len(found) == 1, "pywa did not understand the webhook"
    return found[0]


async def received(world: World, kind: str, **order: Any) -> Any:
    """What pywa makes of a customer's message; its id and its sender are checked here."""
    sent = await world.customer(kind, **order)
    update = parsed(*world.router.posts[-1])
    assert update.metadata.phone_number_id == ACCOUNT["phoneNumberId"]
    if isinstance(update, Message):
        assert update.id == sent["id"]
        assert update.error is None
    return update


async def test_a_text_has_its_sender_by_number_and_by_user_id(world: World) -> None:
    update = await received(world, "text", text="Déjà vu 😀 / ok\nbye", name="Ines", timestamp=1795435200)

    assert isinstance(update, Message)
    assert (update.type, update.text) == (MessageType.TEXT, "Déjà vu 😀 / ok\nbye")
    assert (update.from_user.wa_id, update.from_user.name) == (CUSTOMER, "Ines")
    assert update.from_user.bsuid.startswith("GB.")
    assert update.timestamp.timestamp() == 1795435200
    assert not update.is_reply and not update.forwarded


@pytest.mark.parametrize("customer", ["GB.55021188437766120934", CUSTOMER])
async def test_a_hidden_number_is_known_by_user_id_alone(world: World, customer: str) -> None:
    order = {"text": "hi", "identity": "hidden", "username": "robin.w", "parentUserId": "GB.ENT.9081"}

    user = (await received(world, "text", customer=customer, **order)).from_user

    assert (user.wa_id, user.username, user.parent_bsuid) == (None, "robin.w", "GB.ENT.9081")
    assert user.bsuid.startswith("GB.")


@pytest.mark.parametrize(
    ("kind", "member", "mime"),
    [
        ("image", "image", "image/jpeg"),
        ("video", "video", "video/mp4"),
        ("audio", "audio", "audio/mpeg"),
        ("voice", "audio", "audio/ogg; codecs=opus"),
        ("document", "document", "application/pdf"),
        ("sticker", "sticker", "image/webp"),
    ],
)
async def test_media_have_their_facts(world: World, kind: str, member: str, mime: str) -> None:
    update = await received(world, kind, content={"size": 50, "seed": 3, "url": True})

    file = getattr(update, member)
    told = (await world.conversation())["phone"][0]["files"][0]
    assert update.type == member
    assert (file.id, file.mime_type, file.url.split("/")[3]) == (told["mediaId"], mime, "graph-media")
    assert update.media is file
    assert file.sha256
    assert (update.voice is file) == (kind == "voice")


@pytest.mark.parametrize("kind", ["image", "video", "document"])
async def test_captions_and_file_names_come_along(world: World, kind: str) -> None:
    update = await received(world, kind, content={"caption": "Look", "filename": "ö ../a.pdf", "mime": "x/y"})

    assert update.caption == "Look"
    assert kind != "document" or update.document.filename == "ö ../a.pdf"


async def test_an_animated_sticker_says_so(world: World) -> None:
    assert (await received(world, "sticker", content={"animated": True})).sticker.animated


async def test_a_location_has_coordinates_and_a_name(world: World) -> None:
    place = (await received(world, "location")).location
    pin = (await received(world, "location", content={"latitude": 1.5, "longitude": -2})).location

    assert (place.name, place.address) == ("Big Ben", "London SW1A 0AA")
    assert (pin.latitude, pin.longitude, pin.name) == (1.5, -2, None)


async def test_contact_cards_have_all_their_parts(world: World) -> None:
    (card,) = (await received(world, "contacts")).contacts

    assert card.name.formatted_name == "Dr Ayo Bright"
    assert (card.phones[0].wa_id, card.emails[0].email) == ("447700900222", "ayo@bright.example.com")
    assert card.org.company == "Bright Dental"


async def test_a_reaction_and_its_removal_name_the_message(world: World) -> None:
    wamid = (await world.send(TEXT)).json["messages"][0]["id"]

    added = (await received(world, "reaction", content={"emoji": "❤️"})).reaction
    removed = (await received(world, "reaction_removal")).reaction

    assert (added.message_id, added.emoji) == (wamid, "❤️")
    assert (removed.message_id, removed.emoji) == (wamid, None)


@pytest.mark.parametrize(
    ("kind", "type_", "expected"),
    [
        pytest.param("button", CallbackButton, {"data": "CONFIRM_4711", "title": "Confirm"}, id="template button"),
        pytest.param("button_reply", CallbackButton, {"data": "opt_yes", "title": "Yes"}, id="button"),
        pytest.param(
            "list_reply",
            CallbackSelection,
            {"data": "row_3", "title": "Refund", "description": "Money back"},
            id="list",
        ),
    ],
)
async def test_a_tap_says_what_was_chosen_and_of_what(
    world: World, kind: str, type_: type, expected: dict[str, str]
) -> None:
    wamid = (await world.send(TEXT)).json["messages"][0]["id"]

    update = await received(world, kind)

    assert (type(update), update.reply_to_message.id) == (type_, wamid)
    assert {name: getattr(update, name) for name in expected} == expected


async def test_a_flow_has_its_answers(world: World) -> None:
    update = await received(world, "nfm_reply", content={"response_json": {"flow_token": "t", "slot": "09:00"}})

    assert isinstance(update, FlowCompletion)
    assert (update.token, update.response["slot"], update.body) == ("t", "09:00", "Sent")


async def test_a_call_permission_is_given_or_not(world: World) -> None:
    given = await received(world, "call_permission_reply")
    refused = await received(
        world, "call_permission_reply", content={"response": "reject", "response_source": "user_action"}
    )

    assert isinstance(given, CallPermissionUpdate)
    assert (given.response, given.response_source, refused.response) == ("accept", "user_action", "reject")


async def test_an_order_has_its_products(world: World) -> None:
    order = (await received(world, "order")).order

    assert (order.catalog_id, order.text) == ("661122334455", "Gift wrap please")
    assert [(each.sku, each.quantity, each.price) for each in order.products] == [("MUG-07", 2, 8.5)]


async def test_a_new_number_names_the_old_one(world: World) -> None:
    update = await received(world, "number_change", content={"wa_id": "447700900333"})

    assert isinstance(update, PhoneNumberChange)
    assert (update.old_wa_id, update.new_wa_id) == (CUSTOMER, "447700900333")
    assert "contacts" not in value_of(world.router.posts[-1][2])


async def test_a_new_user_id_is_told(world: World) -> None:
    update = await received(world, "user_id_change", content={"user_id": "GB.12", "parent_user_id": "GB.ENT.1"})

    assert isinstance(update, PhoneNumberChange)
    assert (update.sys_type, update.new_user_id, update.new_parent_id) == ("user_changed_user_id", "GB.12", "GB.ENT.1")


async def test_a_new_security_code_is_told(world: World) -> None:
    update = await received(world, "identity_change")

    assert isinstance(update, IdentityChange)
    assert update.identity.acknowledged


async def test_an_edit_has_the_new_words_and_the_old_id(world: World) -> None:
    first = await world.customer(text="helo")

    update = await received(world, "edit", content={"text": "hello"})

    assert isinstance(update, EditedMessage)
    assert (update.original_message_id, update.message.text) == (first["id"], "hello")


async def test_a_deletion_names_the_message(world: World) -> None:
    first = await world.customer(text="oops")

    update = await received(world, "revoke")

    assert isinstance(update, DeletedMessage)
    assert update.original_message_id == first["id"]


async def test_what_whatsapp_cannot_tell_is_unsupported(world: World) -> None:
    await world.customer("unsupported")

    update = parsed(*world.router.posts[-1])

    assert (update.type, update.unsupported.type) == (MessageType.UNSUPPORTED, "poll_creation")
    assert update.error.code == 131051


async def test_an_unknown_type_is_unknown(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PywaUnknownEnumMemberWarning)  # the type is unknown on purpose
        update = await received(world, "unknown_type")

    assert update.type == MessageType.UNKNOWN


async def test_an_opened_chat_says_nothing(world: World) -> None:
    assert (await received(world, "request_welcome")).type == MessageType.REQUEST_WELCOME


async def test_an_ad_is_named(world: World) -> None:
    referral = (await received(world, "text", text="hi", referral={})).referral

    assert (referral.source_type, referral.source_id, referral.headline) == ("ad", "120208811223344", "Winter tyres")
    assert referral.ctwa_clid == "ARBqK9s2vXexampleClickId"


@pytest.mark.parametrize(
    ("context", "holds"),
    [
        pytest.param({"id": "wamid.x"}, lambda update: update.reply_to_message.id == "wamid.x", id="reply"),
        pytest.param({"forwarded": True}, lambda update: update.forwarded and not update.is_reply, id="forwarded"),
        pytest.param({"frequently_forwarded": True}, lambda update: update.forwarded_many_times, id="often forwarded"),
    ],
)
async def test_a_context_is_understood(world: World, context: dict[str, Any], holds: Callable[[Any], bool]) -> None:
    assert holds(await received(world, "text", text="hi", context=context))


async def test_a_message_in_a_group_names_the_group(world: World) -> None:
    chat = (await received(world, "text", text="hi all", groupId="120363041234567890")).chat

    assert (chat.type, chat.id) == ("GROUP", "120363041234567890")


@pytest.mark.parametrize("state", ["sent", "delivered", "read", "played"])
@pytest.mark.parametrize("to", [{"to": CUSTOMER}, {"to": None, "recipient": "GB.55021188437766120934"}])
async def test_a_status_names_message_recipient_and_callback_data(world: World, state: str, to: dict[str, Any]) -> None:
    await world.faults(status_sequence=[state])
    body = {name: value for name, value in {**TEXT, **to}.items() if value is not None}
    wamid = (await world.send(body)).json["messages"][0]["id"]
    await until(lambda: len(world.router.posts) == 1)

    update = parsed(*world.router.posts[0])

    assert isinstance(update, MessageStatus)
    assert (update.id, update.status, update.tracker) == (wamid, state, TEXT["biz_opaque_callback_data"])
    assert update.from_user.wa_id == to["to"]
    assert update.pricing is not None and update.pricing.model == "PMP"


async def test_a_failed_status_has_its_error(world: World) -> None:
    await world.faults(status_sequence=["failed"], status_code=131047)
    await world.send(TEXT)
    await until(lambda: len(world.router.posts) == 1)
    path, _, body = world.router.posts[0]
    changed = json.loads(body)
    value = changed["entry"][0]["changes"][0]["value"]
    assert "contacts" not in value

    # pywa wants contacts even of a failed status, where Meta sends none
    value["contacts"] = [{"wa_id": CUSTOMER}]
    with_contacts = json.dumps(changed).encode()
    update = parsed(path, {"X-Hub-Signature-256": sign_meta(APP_SECRET, with_contacts)}, with_contacts)

    assert (update.status, update.error.code, update.pricing) == ("failed", 131047, None)


def value_of(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body)["entry"][0]["changes"][0]["value"]
    return value
