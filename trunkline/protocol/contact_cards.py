"""Contact cards that a customer shares, in words: every number, address and organisation of each."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.protocol.said import lines, listed
from trunkline.protocol.whatsapp import Address, PersonName, SharedContact


def cards_text(cards: Iterable[SharedContact]) -> str:
    """The cards, a blank line between them; empty if none says anything."""
    return "\n\n".join(filter(None, map(_card, cards)))


def _card(card: SharedContact) -> str:
    parts = [_person(card.name)]
    if card.org:
        parts.append(_labelled("Organisation", listed(card.org.title, card.org.department, card.org.company)))
    parts += [_labelled("Phone", phone.phone or phone.wa_id, phone.type) for phone in card.phones]
    parts += [_labelled("Email", email.email, email.type) for email in card.emails]
    parts += [_labelled("Web", url.url, url.type) for url in card.urls]
    parts += [_labelled("Address", _postal(address), address.type) for address in card.addresses]
    parts.append(_labelled("Birthday", card.birthday))
    text = lines(*parts) or card.vcard
    return f"Contact: {text}" if text else ""


def _person(name: PersonName | None) -> str | None:
    if name is None:
        return None
    parts = (name.prefix, name.first_name, name.middle_name, name.last_name, name.suffix)
    return name.formatted_name or " ".join(filter(None, parts))


def _postal(address: Address) -> str:
    return listed(address.street, address.city, address.state, address.zip, address.country)


def _labelled(label: str, value: str | None, kind: str | None = None) -> str | None:
    if not value:
        return None
    return f"{label}: {value} ({kind.lower()})" if kind else f"{label}: {value}"
