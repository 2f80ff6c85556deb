"""Customers as webhooks name them: by number, by business-scoped user id, or by both. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Person:
    """A customer; who hides the number has none here, and before April 2026 nobody had user ids."""

    number: str | None
    user_id: str | None
    name: str = ""
    username: str | None = None
    parent_user_id: str | None = None

    def contact(self) -> dict[str, Any]:
        """The element of `contacts`."""
        profile = {"name": self.name} | ({"username": self.username} if self.username else {})
        ids = {"wa_id": self.number, "user_id": self.user_id, "parent_user_id": self.parent_user_id}
        return {"profile": profile, **{name: id for name, id in ids.items() if id}}

    def sender(self) -> dict[str, str]:
        """The members of a message that name its sender."""
        ids = {"from": self.number, "from_user_id": self.user_id, "from_parent_user_id": self.parent_user_id}
        return {name: id for name, id in ids.items() if id}

    def recipient(self) -> dict[str, str]:
        """The members of a status that name its recipient."""
        ids = {"recipient_id": self.number, "recipient_user_id": self.user_id}
        return {name: id for name, id in ids.items() if id}


def person(customer: str, name: str = "") -> Person:
    """Who is meant by a number, or by a user id alone."""
    if customer.isdigit():
        return Person(customer, business_scoped_id(customer), name)
    return Person(None, customer, name)


def business_scoped_id(customer: str) -> str:
    """The customer's stable BSUID towards every account of the sandbox."""
    return "GB." + str(int.from_bytes(hashlib.sha256(customer.encode()).digest()[:9], "big"))
