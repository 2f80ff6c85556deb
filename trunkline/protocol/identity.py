"""Who the customer is: WhatsApp digits, or a business-scoped user id (BSUID) when the number is hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trunkline.protocol.lenient import read_text

_DIGITS = re.compile(r"[0-9]{1,32}")
_BSUID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]{1,128}")
_PUNCTUATION = str.maketrans("", "", "+ -")


def is_phone(identity: str | None) -> bool:
    """Whether it is a phone number in WhatsApp's form: digits only."""
    return identity is not None and _DIGITS.fullmatch(identity) is not None


def is_bsuid(identity: str | None) -> bool:
    """Whether it is a business-scoped user id."""
    return identity is not None and _BSUID.fullmatch(identity) is not None


def sender_identity(message: Mapping[str, Any], contact: Mapping[str, Any] | None = None) -> str | None:
    """The customer of a WhatsApp message, or of a status: the number if known, else the BSUID, else None.

    `contact` is the element of `value.contacts` that may know the number where the message hides it.
    """
    number, user_id = _texts(message, ("from", "recipient_id")), _texts(message, ("from_user_id", "recipient_user_id"))
    if is_phone(number):
        return number
    bsuid = next((candidate for candidate in (number, user_id) if is_bsuid(candidate)), None)
    if contact is not None and bsuid is not None and bsuid == read_text(contact.get("user_id")):
        known = read_text(contact.get("wa_id"))
        return known if is_phone(known) else bsuid
    return bsuid


def recipient_identity(to_id: str) -> str | None:
    """The customer whom Genesys addresses (`channel.to.id`), in the form of `sender_identity`; None if nobody."""
    digits = to_id.translate(_PUNCTUATION)
    if is_phone(digits):
        return digits
    return to_id if is_bsuid(to_id) else None


def genesys_sender(identity: str, profile_name: str | None, username: str | None, with_plus: bool) -> dict[str, str]:
    """`channel.from` of a message to Genesys. Its `id` finds the conversation, so it must never vary for a customer."""
    sender = {"id": identity, "idType": "Opaque"}
    if is_phone(identity):
        sender = {"id": f"+{identity}" if with_plus else identity, "idType": "Phone"}
    name = (profile_name or "").strip()
    sender["nickname"] = name or (username or "").strip() or sender["id"]
    first, _, last = name.partition(" ")
    if first:
        sender["firstName"] = first
    if last.strip():
        sender["lastName"] = last.strip()
    return sender


def _texts(message: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := read_text(message.get(name)))), None)
