"""What a customer's message says to an agent: plain text, since Open Messaging takes nothing else but files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from trunkline.protocol.lenient import plain_number, read_text
from trunkline.protocol.text import clean, cut
from trunkline.protocol.whatsapp import (
    Address,
    CallPermissionReply,
    FlowReply,
    Interactive,
    Media,
    Message,
    OrderItem,
    PersonName,
    SharedContact,
)

UNSUPPORTED_KIND = "unknown"
_MEDIA_NAMES = {
    "image": "Image",
    "video": "Video",
    "audio": "Audio",
    "voice": "Voice message",
    "document": "Document",
    "sticker": "Sticker",
}
_PERMISSIONS = {"accept": "accepted", "reject": "rejected"}
_LONGEST_KIND = 64
_LONGEST_FLOW_ATTRIBUTE = 1000
_NOT_IN_FILE_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Said:
    """The text, and what goes along in `customAttributes`."""

    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def kind_of(message: Message) -> str:
    """The message's type, short enough to be shown."""
    return cut(message.type or UNSUPPORTED_KIND, _LONGEST_KIND)


def describe(message: Message) -> Said:
    """The message in words; what cannot be read becomes a note that names its type."""
    return _read(message) or _unsupported(message)


def file_name(given: str | None) -> str:
    """A file's name without folders, control characters and leading dots; empty if nothing is left."""
    name = re.split(r"[/\\]", given or "")[-1]
    return _NOT_IN_FILE_NAMES.sub("", name).strip().lstrip(".")


def _read(message: Message) -> Said | None:
    match message.type:
        case "text":
            return _text(message)
        case "image" | "video" | "audio" | "voice" | "document" | "sticker" as kind:
            return _media(kind, getattr(message, kind))
        case "location":
            return _location(message)
        case "contacts":
            return _contacts(message)
        case "interactive":
            return _interactive(message)
        case "button":
            return _button(message)
        case "reaction":
            return _reaction(message)
        case "order":
            return _order(message)
        case "system":
            return _system(message)
        case "edit":
            return _edit(message)
        case "revoke":
            return _revoke(message)
        case _:
            return None


def _unsupported(message: Message) -> Said:
    named = message.unsupported.type if message.unsupported else None
    return Said(f"[Unsupported message: {cut(named, _LONGEST_KIND) if named else kind_of(message)}]")


def _text(message: Message) -> Said | None:
    return Said(message.text.body) if message.text and message.text.body else None


def _media(kind: str, media: Media | None) -> Said:
    media = media or Media()
    name = _MEDIA_NAMES["voice" if media.voice else kind]
    file = file_name(media.filename)
    note = f"[{name} could not be loaded: {file}]" if file else f"[{name} could not be loaded]"
    return Said(_lines(note, media.caption))


def _location(message: Message) -> Said | None:
    place = message.location
    if place is None:
        return None
    point = link = None
    if place.latitude is not None and place.longitude is not None:
        point = f"{plain_number(place.latitude)},{plain_number(place.longitude)}"
        link = f"https://maps.google.com/?q={point}"
    return _said(_lines(place.name, place.address, point, link, place.url))


def _contacts(message: Message) -> Said | None:
    return _said("\n\n".join(filter(None, map(_card, message.contacts))))


def _card(card: SharedContact) -> str:
    lines = [_person(card.name)]
    if card.org:
        lines.append(_labelled("Organisation", _list(card.org.title, card.org.department, card.org.company)))
    lines += [_labelled("Phone", phone.phone or phone.wa_id, phone.type) for phone in card.phones]
    lines += [_labelled("Email", email.email, email.type) for email in card.emails]
    lines += [_labelled("Web", url.url, url.type) for url in card.urls]
    lines += [_labelled("Address", _postal(address), address.type) for address in card.addresses]
    lines.append(_labelled("Birthday", card.birthday))
    text = _lines(*lines) or card.vcard
    return f"Contact: {text}" if text else ""


def _person(name: PersonName | None) -> str | None:
    if name is None:
        return None
    parts = (name.prefix, name.first_name, name.middle_name, name.last_name, name.suffix)
    return name.formatted_name or " ".join(filter(None, parts))


def _postal(address: Address) -> str:
    return _list(address.street, address.city, address.state, address.zip, address.country)


def _labelled(label: str, value: str | None, kind: str | None = None) -> str | None:
    if not value:
        return None
    return f"{label}: {value} ({kind.lower()})" if kind else f"{label}: {value}"


def _interactive(message: Message) -> Said | None:
    reply = message.interactive or Interactive()
    match reply.type:
        case "button_reply" if reply.button_reply:
            return _chosen(reply.button_reply.title, reply.button_reply.id)
        case "list_reply" if reply.list_reply:
            return _chosen(reply.list_reply.title, reply.list_reply.id)
        case "nfm_reply" if reply.nfm_reply:
            return _flow(reply.nfm_reply)
        case "call_permission_reply" if reply.call_permission_reply:
            return _call_permission(reply.call_permission_reply)
        case _:
            return None


def _button(message: Message) -> Said | None:
    return _chosen(message.button.text, message.button.payload) if message.button else None


def _chosen(title: str | None, button_id: str | None) -> Said | None:
    text = title or button_id
    return Said(text, {"wa_button_id": button_id} if button_id else {}) if text else None


def _flow(reply: FlowReply) -> Said | None:
    answers, raw = _flow_answers(reply.response_json)
    text = _lines(*(f"{key}: {value}" for key, value in answers.items() if key != "flow_token")) if answers else raw
    said = text or reply.body or reply.name
    short = raw and len(raw.encode()) <= _LONGEST_FLOW_ATTRIBUTE
    return Said(said, {"wa_flow_response": raw} if short else {}) if said else None


def _flow_answers(response: object) -> tuple[dict[str, str], str]:
    """The answers by name, if they are an object, and the JSON as text."""
    raw = read_text(response) or ("" if response is None else _json(response))
    try:
        answers = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}, raw
    if not isinstance(answers, dict):
        return {}, raw
    return {clean(key): _answer(value) for key, value in answers.items()}, raw


def _answer(value: object) -> str:
    return ", ".join(map(_single_answer, value)) if isinstance(value, list) else _single_answer(value)


def _single_answer(value: object) -> str:
    text = read_text(value)
    return text if text is not None else _json(value)


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than JSON is written, or a number larger than any
        return ""


def _call_permission(reply: CallPermissionReply) -> Said | None:
    return _said(reply.response and f"Call permission: {_PERMISSIONS.get(reply.response, reply.response)}")


def _reaction(message: Message) -> Said | None:
    if message.reaction is None:
        return None
    text = f"Reacted {message.reaction.emoji}" if message.reaction.emoji else "Removed reaction"
    return Said(text, _quoting(message.reaction.message_id))


def _order(message: Message) -> Said | None:
    if message.order is None:
        return None
    note = f"Note: {message.order.text}" if message.order.text else None
    return Said(_lines("Order", *map(_item, message.order.product_items), note))


def _item(item: OrderItem) -> str:
    product = f"{item.quantity or '?'} x {item.product_retailer_id or 'unnamed product'}"
    return f"{product}, {_amount(item)} each" if item.item_price else product


def _amount(item: OrderItem) -> str:
    return f"{item.item_price} {item.currency}" if item.currency else f"{item.item_price}"


def _system(message: Message) -> Said | None:
    system = message.system
    if system is None:
        return None
    number = system.new_wa_id or system.wa_id
    return _said(system.body or (f"Customer changed number to {number}" if number else system.type))


def _edit(message: Message) -> Said | None:
    if message.edit is None:
        return None
    content = Message.read(message.edit.message)
    said = _unsupported(content) if content.type in {"edit", "revoke"} else describe(content)
    return Said(f"Edited: {said.text}", {**said.attributes, **_quoting(message.edit.original_message_id)})


def _revoke(message: Message) -> Said:
    return Said("Deleted a message", _quoting(message.revoke.original_message_id if message.revoke else None))


def _quoting(wamid: str | None) -> dict[str, str]:
    return {"wa_context_id": wamid} if wamid else {}


def _said(text: str | None) -> Said | None:
    return Said(text) if text else None


def _lines(*lines: str | None) -> str:
    return "\n".join(filter(None, lines))


def _list(*parts: str | None) -> str:
    return ", ".join(filter(None, parts))
