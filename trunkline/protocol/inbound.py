"""Customer to contact centre: a WhatsApp message becomes posts to Genesys' Open Messaging."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from trunkline.errors import Rejected
from trunkline.protocol.identity import genesys_sender, sender_identity
from trunkline.protocol.inbound_text import Said, describe, kind_of
from trunkline.protocol.text import clean, split
from trunkline.protocol.times import iso_milliseconds, unix_seconds
from trunkline.protocol.whatsapp import Context, Message, Referral, Sender

TEXT_LIMIT = 4096
ATTRIBUTES_LIMIT_BYTES = 1900
_LONGEST_ID = 255


@dataclass(frozen=True)
class GenesysPost:
    """A call to make: `resource` is the last part of `…/inbound/open/<resource>`."""

    resource: str
    body: dict[str, Any]


def convert_inbound(
    message: dict[str, Any],
    contact: dict[str, Any] | None,
    phone_number_id: str,
    accepted_at: float,
    with_plus: bool,
) -> list[GenesysPost]:
    """The posts that carry this WhatsApp message, in order; none for what is not bridged.

    `contact` is the sender's element of `value.contacts`. A long text becomes several posts: the first has the wamid
    as `messageId`, the others a suffix.
    """
    incoming, sender = Message.read(message), Sender.read(contact)
    wamid = _message_id(incoming)
    if incoming.group_id or incoming.type == "request_welcome":
        return []  # an answer in private would be wrong; a chat that was only opened says nothing
    identity = sender_identity(message, contact if isinstance(contact, dict) else None)
    if identity is None:
        raise Rejected("invalid", "the message names no sender")
    profile_name, username = (sender.profile.name, sender.profile.username) if sender.profile else (None, None)
    said = describe(incoming)
    channel = {
        "from": genesys_sender(identity, profile_name, username, with_plus),
        "time": iso_milliseconds(unix_seconds(incoming.timestamp, accepted_at)),
        "metadata": {"customAttributes": _custom_attributes(incoming, said, phone_number_id)},
    }
    return [
        GenesysPost("message", {"channel": {"messageId": _part_id(wamid, part), **channel}, "text": text})
        for part, text in enumerate(split(said.text, TEXT_LIMIT), start=1)
    ]


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
