"""Contact centre to customer: a Genesys webhook becomes messages for WhatsApp's Send API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from trunkline.errors import Rejected
from trunkline.protocol.genesys import (
    Attachment,
    AvailableTime,
    Card,
    CardAction,
    Carousel,
    Content,
    DatePicker,
    ListPicker,
    ListSection,
    Location,
    OutboundMessage,
    Prompt,
    QuickReply,
    Template,
)
from trunkline.protocol.identity import is_phone, recipient_identity
from trunkline.protocol.interactive import (
    Message,
    Option,
    Section,
    choices,
    is_url,
    link_button,
    list_message,
    texts,
)
from trunkline.protocol.templates import canned_text, template_message
from trunkline.protocol.text import is_blank

_KINDS = {
    "QuickReply": "quick_reply",
    "QuickReplyV2": "quick_reply",
    "Card": "card",
    "Carousel": "carousel",
    "ListPicker": "list_picker",
    "DatePicker": "date_picker",
    "Notification": "template",
    "Text": "text",
    "Location": "location",
}
_MEDIA_KINDS = {"Image": "image", "Video": "video", "Audio": "audio", "File": "document", "Link": "link"}
# These show the message's own text as their question; others have it sent before them.
_PROMPTED = {"QuickReply", "QuickReplyV2", "ListPicker", "DatePicker", "Notification"}


@dataclass(frozen=True)
class WhatsAppPost:
    """The body of a call to `/messages`, but for `biz_opaque_callback_data`."""

    body: dict[str, Any]


def convert_outbound(body: dict[str, Any]) -> list[WhatsAppPost]:
    """The messages that carry this webhook's content, in order; none for events and receipts."""
    outbound = OutboundMessage.read(body)
    match outbound.type:
        case "Event" | "Receipt":
            return []
        case "Text" | "Structured" | None:
            addressed = _addressed(outbound)
            return [WhatsAppPost({**addressed, **message}) for message in _messages(outbound)]
        case _:
            raise _unsupported("messages of this type cannot be sent to WhatsApp")


def outbound_kind(body: dict[str, Any]) -> str:
    """One word for the record: text, image, quick_reply, card, template, event, receipt, …"""
    outbound = OutboundMessage.read(body)
    match outbound.type:
        case "Event" | "Receipt" as type_:
            return type_.lower()
        case "Text" | "Structured" | None:
            return _content_kind(outbound.content[0]) if outbound.content else "text"
        case _:
            return "unknown"


def outbound_text(body: dict[str, Any]) -> str | None:
    """What the message says, for the record: its own text, else the first words of its content."""
    outbound = OutboundMessage.read(body)
    candidates = (outbound.text, *map(_words, outbound.content))
    return next((text for text in candidates if not is_blank(text)), None)


def _addressed(outbound: OutboundMessage) -> dict[str, str]:
    to = outbound.channel.to if outbound.channel else None
    identity = recipient_identity(to.id) if to and to.id else None
    if identity is None:
        detail = "InvalidDestination: channel.to.id is neither a phone number nor a user id"
        raise Rejected("invalid", detail, "InvalidDestination")
    member = "to" if is_phone(identity) else "recipient"
    return {"messaging_product": "whatsapp", "recipient_type": "individual", member: identity}


def _messages(outbound: OutboundMessage) -> list[Message]:
    text = "" if outbound.text is None or is_blank(outbound.text) else outbound.text
    if not outbound.content and not text:
        raise Rejected("invalid", "the message is blank", "InvalidMessageStructure")
    messages: list[Message] = []
    for group in _groups(outbound.content):
        made = _content_messages(group, text)
        messages += made
        if made and group[0].kind in _PROMPTED:
            text = ""  # said
    if text:
        messages = texts(text) + messages
    if not messages:
        raise _unsupported("nothing in the message can be sent to WhatsApp")
    return messages


def _groups(contents: Iterable[Content]) -> list[list[Content]]:
    """The contents one by one; quick replies, an element for each option, together."""
    groups: list[list[Content]] = []
    for content in contents:
        if content.kind == "QuickReply" and groups and groups[-1][0].kind == "QuickReply":
            groups[-1].append(content)
        else:
            groups.append([content])
    return groups


def _content_messages(group: Sequence[Content], prompt: str) -> list[Message]:
    content = group[0]
    match content.kind:
        case "Attachment":
            return _attachment(content.attachment or Attachment(), prompt)
        case "QuickReply":
            return _quick_replies(prompt, [each.quick_reply for each in group if each.quick_reply])
        case "QuickReplyV2" if content.quick_reply_v2:
            return _quick_replies(prompt or content.quick_reply_v2.title or "", content.quick_reply_v2.actions)
        case "Card" if content.card:
            return _card(content.card)
        case "Carousel" if content.carousel:
            return _carousel(content.carousel)
        case "ListPicker" if content.list_picker:
            return _list_picker(prompt, content.list_picker)
        case "DatePicker" if content.date_picker:
            return _date_picker(prompt, content.date_picker)
        case "Notification" if content.template:
            return _notification(prompt, content.template)
        case "Location" if content.location:
            return _location(content.location)
        case "Text" if content.text and content.text.body != prompt:
            return texts(content.text.body or "")
        case _:
            return []


def _attachment(attachment: Attachment, prompt: str) -> list[Message]:
    if attachment.media_type != "Link":
        raise _unsupported("files cannot be sent to WhatsApp")
    if not attachment.url or attachment.url in prompt:
        return texts(attachment.text or "")
    return texts(_lines(attachment.text, attachment.url))


def _quick_replies(prompt: str, replies: Sequence[QuickReply]) -> list[Message]:
    options = [
        Option(title=reply.text or reply.payload or "", id=reply.payload or reply.text or "")
        for reply in replies
        if not is_blank(reply.text or reply.payload)
    ]
    return choices(prompt, options) if options else texts(prompt)


def _carousel(carousel: Carousel) -> list[Message]:
    return [message for card in carousel.cards for message in _card(card)]


def _card(card: Card) -> list[Message]:
    body = _lines(card.title, card.description)
    postbacks = [action for action in card.actions if action.type == "Postback"]
    links = _links(card)
    if postbacks:
        replies = [QuickReply.read({"text": action.text, "payload": action.payload}) for action in postbacks]
        return _quick_replies(_lines(body, *map(_link_line, links)), replies)
    if body and len(links) == 1 and is_url(links[0].url):
        return link_button(body, links[0].text or "", links[0].url or "")
    return texts(_lines(body, *map(_link_line, links)))


def _links(card: Card) -> list[CardAction]:
    """The card's links, that of a tap on the card itself included, each once."""
    actions = [*card.actions, *([card.default_action] if card.default_action else [])]
    links = [action for action in actions if action.type == "Link" and action.url]
    return list({link.url: link for link in reversed(links)}.values())[::-1]


def _link_line(link: CardAction) -> str:
    return f"{link.text}: {link.url}" if link.text else link.url or ""


def _list_picker(prompt: str, picker: ListPicker) -> list[Message]:
    asked = picker.received_message or Prompt()
    body = _lines(*dict.fromkeys((prompt, asked.title, asked.subtitle)))
    sections = [section for section in map(_section, picker.sections) if section.options]
    return list_message(body, asked.button_label or "", sections) if sections else texts(body)


def _section(section: ListSection) -> Section:
    options = [
        Option(title=item.title or item.id or "", id=item.id or item.title or "", description=item.subtitle or "")
        for item in section.items
        if not is_blank(item.title or item.id)
    ]
    return Section(section.title or "", options)


def _date_picker(prompt: str, picker: DatePicker) -> list[Message]:
    body = _lines(*dict.fromkeys((prompt, picker.title, picker.subtitle)))
    options = [option for option in map(_time_option, picker.available_times) if option]
    return list_message(body, "Choose a time", [Section("", options)]) if options else texts(body)


def _time_option(time: AvailableTime) -> Option | None:
    if not time.date_time or is_blank(time.date_time):
        return None
    length = f"{round(time.duration / 60)} min" if time.duration and time.duration > 0 else ""
    return Option(_shown_time(time.date_time), time.date_time, length)


def _shown_time(iso: str) -> str:
    """`2026-12-01 09:00 UTC`: no month's name and no order of day and month to misread."""
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = "UTC" if at.utcoffset() == timedelta(0) else at.strftime("%z")
    return f"{at:%Y-%m-%d %H:%M} {zone}".rstrip()


def _notification(prompt: str, template: Template) -> list[Message]:
    return [template_message(template)] if template.id else texts(canned_text(template) or prompt)


def _location(location: Location) -> list[Message]:
    if location.latitude is None or location.longitude is None:
        return texts(_lines(location.text, location.address, location.url))
    point: dict[str, Any] = {"latitude": location.latitude, "longitude": location.longitude}
    point |= {"name": location.text} if location.text else {}
    point |= {"address": location.address} if location.address else {}
    return [{"type": "location", "location": point}]


def _content_kind(content: Content) -> str:
    if content.kind == "Attachment":
        return _MEDIA_KINDS.get((content.attachment and content.attachment.media_type) or "", "document")
    return _KINDS.get(content.kind, "unknown")


def _words(content: Content) -> str | None:
    match content.kind:
        case "Attachment" if content.attachment:
            return content.attachment.text
        case "QuickReplyV2" if content.quick_reply_v2:
            return content.quick_reply_v2.title
        case "Card" if content.card:
            return _lines(content.card.title, content.card.description)
        case "Carousel" if content.carousel:
            return "\n\n".join(_lines(card.title, card.description) for card in content.carousel.cards)
        case "ListPicker" if content.list_picker and content.list_picker.received_message:
            return content.list_picker.received_message.title
        case "DatePicker" if content.date_picker:
            return content.date_picker.title
        case "Notification" if content.template and content.template.body:
            return content.template.body.text
        case "Location" if content.location:
            return content.location.text or content.location.address
        case "Text" if content.text:
            return content.text.body
        case _:
            return None


def _lines(*lines: str | None) -> str:
    return "\n".join(line for line in lines if line is not None and not is_blank(line))


def _unsupported(detail: str) -> Rejected:
    return Rejected("unsupported", detail, "UnsupportedMessage")
