"""A Meta webhook taken apart: every message and status on its own, whatever its neighbours look like. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

PRODUCT = "whatsapp_business_account"
MESSAGES_FIELD = "messages"


@dataclass(frozen=True, slots=True)
class Element:
    """One message or status; `phone_number_id` is None where the change names none, `raw` may be any JSON."""

    kind: Literal["message", "status"]
    phone_number_id: str | None
    raw: Any
    contact: dict[str, Any] | None = None


def read_elements(webhook: Any) -> Iterator[Element]:
    """Everything in the webhook that has to be routed; other products and fields have nothing."""
    if not isinstance(webhook, dict) or webhook.get("object") != PRODUCT:
        return
    for entry in _list(webhook.get("entry")):
        for change in _list(entry.get("changes") if isinstance(entry, dict) else None):
            if isinstance(change, dict) and change.get("field") == MESSAGES_FIELD:
                yield from _read_change(change.get("value"))


def webhook_of(element: Element) -> dict[str, Any]:
    """A webhook with nothing but `element` in it: what `read_elements` makes of it is the element again."""
    value = {
        "metadata": {"phone_number_id": element.phone_number_id} if element.phone_number_id is not None else {},
        "contacts": [element.contact] if element.contact is not None else [],
        "messages" if element.kind == "message" else "statuses": [element.raw],
    }
    return {"object": PRODUCT, "entry": [{"changes": [{"field": MESSAGES_FIELD, "value": value}]}]}


def _read_change(value: Any) -> Iterator[Element]:
    if not isinstance(value, dict):
        return
    metadata = value.get("metadata")
    number = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
    phone_number_id = str(number) if isinstance(number, str | int) and not isinstance(number, bool) else None
    contacts = [contact for contact in _list(value.get("contacts")) if isinstance(contact, dict)]
    for message in _list(value.get("messages")):
        yield Element("message", phone_number_id, message, _contact_of(message, contacts))
    for status in _list(value.get("statuses")):
        yield Element("status", phone_number_id, status, _contact_of(status, contacts))


def _contact_of(element: Any, contacts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The sender among `contacts`, by number or user id, never by position."""
    if not isinstance(element, dict):
        return None
    for mine, theirs in (("from", "wa_id"), ("from_user_id", "user_id"), ("from", "user_id")):
        wanted = element.get(mine)
        if isinstance(wanted, str):
            for contact in contacts:
                if contact.get(theirs) == wanted:
                    return contact
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
