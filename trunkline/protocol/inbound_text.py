"""What a customer's message says to an agent: plain text, since Open Messaging takes nothing else but files."""

from __future__ import annotations

from trunkline.protocol.contact_cards import cards_text
from trunkline.protocol.inbound_replies import describe_reply
from trunkline.protocol.lenient import plain_number
from trunkline.protocol.media import Attachable, Unattachable, file_name
from trunkline.protocol.said import Said, lines, quoting, said
from trunkline.protocol.text import cut, is_blank
from trunkline.protocol.whatsapp import MEDIA_KINDS, Media, Message, OrderItem, System

File = Attachable | Unattachable

UNSUPPORTED_KIND = "unknown"
_MEDIA_NAMES = {
    "image": "Image",
    "video": "Video",
    "audio": "Audio",
    "voice": "Voice message",
    "document": "Document",
    "sticker": "Sticker",
}
_MEDIA_TYPES = {
    "image": "Image",
    "video": "Video",
    "audio": "Audio",
    "voice": "Audio",
    "document": "File",
    "sticker": "Image",
}
_NUMBER_CHANGES = {"user_changed_number", "customer_changed_number"}
_LONGEST_KIND = 64


def kind_of(message: Message) -> str:
    """The message's type, short enough to be shown."""
    return cut(message.type or UNSUPPORTED_KIND, _LONGEST_KIND)


def describe(message: Message, file: File | None = None) -> Said:
    """The message in words, with its file; what cannot be read becomes a note that names its type."""
    return _read(message, file) or _unsupported(message)


def _read(message: Message, file: File | None) -> Said | None:
    match message.type:
        case "text":
            return _text(message)
        case kind if kind in MEDIA_KINDS:
            return _media(message.media_kind or "", message.media or Media(), file)
        case "location":
            return _location(message)
        case "contacts":
            return said(cards_text(message.contacts))
        case "interactive" | "button":
            return describe_reply(message)
        case "reaction":
            return _reaction(message)
        case "order":
            return _order(message)
        case "system":
            return _system(message.system or System())
        case "edit":
            return _edit(message, file)
        case "revoke":
            return _revoke(message)
        case _:
            return None


def _unsupported(message: Message) -> Said:
    named = message.unsupported.type if message.unsupported else None
    return Said(f"[Unsupported message: {cut(named, _LONGEST_KIND) if named else kind_of(message)}]")


def _text(message: Message) -> Said | None:
    return Said(message.text.body) if message.text and message.text.body else None


def _media(kind: str, media: Media, file: File | None) -> Said:
    caption = "" if is_blank(media.caption) else media.caption
    if isinstance(file, Attachable):
        return Said(
            caption or "",
            attachment={
                "mediaType": _MEDIA_TYPES[kind],
                "mime": file.mime,
                "url": file.url,
                "filename": file.filename,
            },
        )
    problem = file or Unattachable("could not be loaded")
    note = f"{_MEDIA_NAMES[kind]} {problem.words}"
    name = file_name(media.filename)
    return Said(lines(f"[{note}: {name}]" if name else f"[{note}]", problem.url, caption))


def _location(message: Message) -> Said | None:
    place = message.location
    if place is None:
        return None
    point = link = None
    if place.latitude is not None and place.longitude is not None:
        point = f"{plain_number(place.latitude)},{plain_number(place.longitude)}"
        link = f"https://maps.google.com/?q={point}"
    return said(lines(place.name, place.address, point, link, place.url))


def _reaction(message: Message) -> Said | None:
    if message.reaction is None:
        return None
    text = f"Reacted {message.reaction.emoji}" if message.reaction.emoji else "Removed reaction"
    return Said(text, quoting(message.reaction.message_id))


def _order(message: Message) -> Said | None:
    if message.order is None:
        return None
    note = f"Note: {message.order.text}" if message.order.text else None
    return Said(lines("Order", *map(_item, message.order.product_items), note))


def _item(item: OrderItem) -> str:
    product = f"{item.quantity or '?'} x {item.product_retailer_id or 'unnamed product'}"
    return f"{product}, {_amount(item)} each" if item.item_price else product


def _amount(item: OrderItem) -> str:
    return f"{item.item_price} {item.currency}" if item.currency else f"{item.item_price}"


def _system(system: System) -> Said | None:
    number = system.new_wa_id or system.wa_id
    if system.body:
        return Said(system.body)
    if system.type in _NUMBER_CHANGES and number:
        return Said(f"Customer changed number to {number}")
    if system.type == "user_changed_user_id" and system.user_id:
        return Said(f"Customer changed user id to {system.user_id}")
    return said(system.type)


def _edit(message: Message, file: File | None) -> Said | None:
    if message.edit is None:
        return None
    content = Message.read(message.edit.message)
    new = _unsupported(content) if content.type in {"edit", "revoke"} else describe(content, file)
    # With a file alone the agent must see all the same that it takes another message's place.
    words = new.text or (new.attachment["filename"] if new.attachment else "")
    return Said(f"Edited: {words}", {**new.attributes, **quoting(message.edit.original_message_id)}, new.attachment)


def _revoke(message: Message) -> Said:
    return Said("Deleted a message", quoting(message.revoke.original_message_id if message.revoke else None))
