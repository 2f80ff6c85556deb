"""Customer to contact centre: a WhatsApp message becomes posts to Genesys' Open Messaging."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from trunkline.errors import Rejected
from trunkline.protocol.identity import genesys_sender, is_bsuid, is_phone
from trunkline.protocol.inbound_replies import Tap, tap_of
from trunkline.protocol.inbound_text import describe, kind_of
from trunkline.protocol.media import Attachable, Unattachable
from trunkline.protocol.said import Said
from trunkline.protocol.text import clean, split
from trunkline.protocol.times import iso_milliseconds, unix_seconds
from trunkline.protocol.whatsapp import Context, Message, Referral, Sender

TEXT_LIMIT = 4096
ATTRIBUTES_LIMIT_BYTES = 1900
_LONGEST_ID = 255
_TAPS = ("interactive", "button")
# How Genesys calls the button of each kind of prompt; it knows these three only.
_RESPONSE_TYPES = {
    "quick_reply": "QuickReply",
    "template": "QuickReply",
    "card": "Button",
    "carousel": "Button",
    "list_picker": "Button",
    "date_picker": "DatePicker",
}


@dataclass(frozen=True)
class GenesysPost:
    """A call to make: `resource` is the last part of `…/inbound/open/<resource>`."""

    resource: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A structured message of an agent's side that the customer answers; `kind` is its `outbound_kind`."""

    genesys_id: str
    kind: str


def prompt_reference(message: dict[str, Any]) -> str | None:
    """The wamid of the message of ours whose button or list the customer tapped; None if this is no tap."""
    if not isinstance(message, dict) or message.get("type") not in _TAPS:
        return None
    incoming = Message.read(message)
    return incoming.context.id or None if incoming.context and tap_of(incoming) else None


def convert_inbound(
    message: dict[str, Any],
    contact: dict[str, Any] | None,
    phone_number_id: str,
    accepted_at: float,
    with_plus: bool,
    *,
    identity: str,
    file: Attachable | Unattachable | None = None,
    prompt: Prompt | None = None,
) -> list[GenesysPost]:
    """The posts that carry this WhatsApp message, in order; none for what is not bridged.

    `contact` is the sender's element of `value.contacts`, `identity` who they are for Genesys, `file` what became of
    the message's file and `prompt` what it answers. A long text becomes several posts: the first has the wamid as
    `messageId`, the others a suffix.
    """
    incoming = Message.read(message)
    wamid = _message_id(incoming)
    if incoming.group_id or incoming.type == "request_welcome":
        return []  # an answer in private would be wrong; a chat that was only opened says nothing
    if not (is_phone(identity) or is_bsuid(identity)):
        raise Rejected("invalid", "the message names no sender")
    said = describe(incoming, file)
    channel = {
        "from": _sender(identity, Sender.read(contact), with_plus),
        "time": iso_milliseconds(unix_seconds(incoming.timestamp, accepted_at)),
        "metadata": {"customAttributes": _custom_attributes(incoming, said, phone_number_id)},
    }
    parts = split(said.text, TEXT_LIMIT)
    tap = tap_of(incoming)
    if tap and prompt and prompt.kind in _RESPONSE_TYPES and len(parts) == 1:
        return [_response({"messageId": wamid, **channel}, tap, prompt)]
    return [
        GenesysPost(
            "message", {"channel": {"messageId": _part_id(wamid, part), **channel}, **_content(text, said, part)}
        )
        for part, text in enumerate(parts, start=1)
    ]


def _sender(identity: str, sender: Sender, with_plus: bool) -> dict[str, str]:
    profile_name, username = (sender.profile.name, sender.profile.username) if sender.profile else (None, None)
    return genesys_sender(identity, profile_name, username, with_plus)


def _response(channel: dict[str, Any], tap: Tap, prompt: Prompt) -> GenesysPost:
    """The tap as an answer to the structured message; Genesys' bots read its payload."""
    button = {"type": _RESPONSE_TYPES[prompt.kind], "text": tap.text, "payload": tap.id or tap.text}
    body = {"channel": channel, "buttonResponse": button, "originatingMessageId": clean(prompt.genesys_id)}
    return GenesysPost("structured/response", body)


def _content(text: str, said: Said, part: int) -> dict[str, Any]:
    """Text and file of one post; the file goes with the first part."""
    content: dict[str, Any] = {"text": text} if text else {}
    if said.attachment and part == 1:
        content["content"] = [{"contentType": "Attachment", "attachment": dict(said.attachment)}]
    return content


def _message_id(message: Message) -> str:
    if not message.id:
        raise Rejected("invalid", "the message has no id")
    if len(message.id) > _LONGEST_ID:
        raise Rejected("invalid", f"the message's id is longer than {_LONGEST_ID} characters")
    return message.id


def _part_id(wamid: str, part: int) -> str:
    return wamid if part == 1 else f"{wamid}#{part}"


def _custom_attributes(message: Message, said: Said, phone_number_id: str) -> dict[str, str]:
    attributes = {
        "wa_phone_number_id": clean(phone_number_id),
        "wa_message_type": kind_of(message),
        **_context_attributes(message.context),
        **said.attributes,
        **_referral_attributes(message.referral),
    }
    return _within_limit(attributes.items())


def _context_attributes(context: Context | None) -> dict[str, str]:
    if context is None:
        return {}
    product = context.referred_product
    return _present(
        wa_context_id=context.id,
        wa_forwarded="true" if context.forwarded or context.frequently_forwarded else None,
        wa_product_id=product.product_retailer_id if product else None,
        wa_catalog_id=product.catalog_id if product else None,
    )


def _referral_attributes(referral: Referral | None) -> dict[str, str]:
    if referral is None:
        return {}
    return _present(
        wa_referral_source_id=referral.source_id,
        wa_referral_url=referral.source_url,
        wa_ctwa_clid=referral.ctwa_clid,
        wa_referral_headline=referral.headline,
    )


def _present(**attributes: str | None) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if value}


def _within_limit(attributes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The attributes, the later ones cut or left out, so that all of them as JSON stay below the limit."""
    fitting: dict[str, str] = {}
    for key, value in attributes:
        room = ATTRIBUTES_LIMIT_BYTES - 1 - len(orjson.dumps({**fitting, key: ""}))
        if room > 0 and (shortened := _cut_json(value, room)):
            fitting[key] = shortened
    return fitting


def _cut_json(text: str, limit_bytes: int) -> str:
    text = text[:limit_bytes]
    while (excess := len(orjson.dumps(text)) - 2 - limit_bytes) > 0:
        text = text[: -max(1, excess // 6)]  # six bytes is the most that one character takes in JSON
    return text
