"""Contact centre to customer: a Genesys webhook becomes messages for WhatsApp's Send API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.errors import Rejected
from trunkline.protocol import structured
from trunkline.protocol.attachments import Files, attachment_messages, with_text
from trunkline.protocol.genesys import Attachment, Content, Event, OutboundMessage
from trunkline.protocol.identity import is_phone, recipient_identity
from trunkline.protocol.interactive import Message, texts
from trunkline.protocol.media import UploadedFile
from trunkline.protocol.templates import notification
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


def convert_outbound(body: dict[str, Any], files: Mapping[str, UploadedFile] = {}) -> list[WhatsAppPost]:
    """The messages that carry this webhook's content, in order; none for events and receipts.

    `files` are those of `media.agent_files` by their links, as far as WhatsApp has them.
    """
    outbound = OutboundMessage.read(body)
    match outbound.type:
        case "Event" | "Receipt":
            return []
        case "Text" | "Structured" | None:
            addressed = _addressed(outbound)
            return [WhatsAppPost({**addressed, **message}) for message in _messages(outbound, files)]
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


def is_typing(body: dict[str, Any]) -> bool:
    """Whether this webhook says that an agent began to type."""
    outbound = OutboundMessage.read(body)
    return outbound.type == "Event" and any(map(_begins_typing, outbound.events))


def typing_body(wamid: str) -> dict[str, Any]:
    """The Send API body that marks the customer's message as read and shows them that somebody types."""
    return {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": wamid,
        "typing_indicator": {"type": "text"},
    }


def readdress(body: dict[str, Any], address: str) -> dict[str, Any]:
    """The Send API body for another address, number or BSUID, of the same person."""
    others = {member: value for member, value in body.items() if member not in ("to", "recipient")}
    return {**others, _address_member(address): address}


def _begins_typing(event: Event) -> bool:
    return event.event_type == "Typing" and (event.typing is None or event.typing.type in (None, "On"))


def _addressed(outbound: OutboundMessage) -> dict[str, str]:
    to = outbound.channel.to if outbound.channel else None
    identity = recipient_identity(to.id) if to and to.id else None
    if identity is None:
        detail = "InvalidDestination: channel.to.id is neither a phone number nor a user id"
        raise Rejected("invalid", detail, "InvalidDestination")
    return {"messaging_product": "whatsapp", "recipient_type": "individual", _address_member(identity): identity}


def _address_member(address: str) -> str:
    return "to" if is_phone(address) else "recipient"


def _messages(outbound: OutboundMessage, files: Files) -> list[Message]:
    text = "" if outbound.text is None or is_blank(outbound.text) else outbound.text
    if not outbound.content and not text:
        raise Rejected("invalid", "the message is blank", "InvalidMessageStructure")
    messages: list[Message] = []
    asked = False
    for group in _groups(outbound.content):
        asks = group[0].kind in _PROMPTED
        made = _content_messages(group, "" if asks and asked else text, files)
        asked = asked or (asks and bool(made))
        messages += made
    if text and not asked:
        messages = with_text(messages, text)
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


def _content_messages(group: Sequence[Content], prompt: str, files: Files) -> list[Message]:
    content = group[0]
    match content.kind:
        case "Attachment":
            return attachment_messages(content.attachment or Attachment(), files, prompt)
        case "QuickReply":
            return structured.quick_replies(prompt, [each.quick_reply for each in group if each.quick_reply])
        case "QuickReplyV2" if content.quick_reply_v2:
            replies = content.quick_reply_v2
            return structured.quick_replies(structured.lines(*dict.fromkeys((prompt, replies.title))), replies.actions)
        case "Card" if content.card:
            return structured.card(content.card, files)
        case "Carousel" if content.carousel:
            return structured.carousel(content.carousel, files)
        case "ListPicker" if content.list_picker:
            return structured.list_picker(prompt, content.list_picker)
        case "DatePicker" if content.date_picker:
            return structured.date_picker(prompt, content.date_picker)
        case "Notification" if content.template:
            return notification(prompt, content.template, files)
        case "Location" if content.location:
            return structured.location(content.location)
        case _ if content.text and content.text.body != prompt:
            return texts(content.text.body or "")
        case _:
            return []


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
            return structured.lines(content.card.title, content.card.description)
        case "Carousel" if content.carousel:
            return "\n\n".join(structured.lines(card.title, card.description) for card in content.carousel.cards)
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


def _unsupported(detail: str) -> Rejected:
    return Rejected("unsupported", detail, "UnsupportedMessage")
