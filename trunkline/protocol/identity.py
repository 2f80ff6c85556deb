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


def addresses(message: Mapping[str, Any], contact: Mapping[str, Any] | None = None) -> tuple[str | None, str | None]:
    """The number and the BSUID that a WhatsApp message, or a status, names for its customer; None what it hides.

    `contact` is the element of `value.contacts` that may know what the message hides, if it is the same person's.
    """
    if not isinstance(message, Mapping):
        return None, None
    number, user_id = _texts(message, ("from", "recipient_id")), _texts(message, ("from_user_id", "recipient_user_id"))
    # News of a changed id may name nobody but in the news; the person is known by the previous id.
    system = _object(message.get("system")) if message.get("type") == "system" else {}
    previous = read_text(system.get("previous_user_id")) if system else None
    phone = number if is_phone(number) else None
    bsuid = next((candidate for candidate in (previous, number, user_id) if is_bsuid(candidate)), None)
    if not contact or (phone is None) is (bsuid is None):
        return phone, bsuid  # nothing to complete
    known = _object(contact)
    known_phone, known_bsuid = read_text(known.get("wa_id")), read_text(known.get("user_id"))
    if phone is None and bsuid is not None and bsuid == known_bsuid and is_phone(known_phone):
        phone = known_phone
    if bsuid is None and phone is not None and phone == known_phone and is_bsuid(known_bsuid):
        bsuid = known_bsuid
    return phone, bsuid


def sender_identity(message: Mapping[str, Any], contact: Mapping[str, Any] | None = None) -> str | None:
    """The customer of a WhatsApp message, or of a status: the number if known, else the BSUID, else None."""
    phone, bsuid = addresses(message, contact)
    return phone or bsuid


def alias_change(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """The old and the new address of a customer whose number or BSUID changed; None for any other message."""
    if not isinstance(message, Mapping) or message.get("type") != "system":
        return None
    system = _object(message.get("system"))
    match system.get("type"):
        case "user_changed_number" | "customer_changed_number":
            new = next(filter(is_phone, (read_text(system.get(name)) for name in ("new_wa_id", "wa_id"))), None)
            old = (system.get("customer"), message.get("from"), message.get("from_user_id"))
        case "user_changed_user_id":
            new = next(filter(is_bsuid, [read_text(system.get("user_id"))]), None)
            old = (system.get("previous_user_id"), message.get("from_user_id"), message.get("from"))
        case _:
            return None
    known = (address for address in map(read_text, old) if is_phone(address) or is_bsuid(address))
    before = next((address for address in known if address != new), None)
    return (before, new) if before and new else None


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


def _object(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}
