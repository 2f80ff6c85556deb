"""What both sides see: the customer's phone and the agent's desktop, message by message with their ticks."""

from __future__ import annotations

import re
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from sandbox.accounts import Account

MESSAGES_KEPT = 200
BODIES_KEPT = 5_000
CONVERSATIONS_KEPT = 50_000
MESSAGES_FOUND_BY_ID = 100_000
WINDOW_S = 24 * 3600
DEFAULT_NAME = "Ines Calder"

Author = Literal["customer", "agent"]


@dataclass(slots=True, eq=False)
class Message:
    """A message as one side shows it; `state` is its tick, `body` the JSON in which it came or went."""

    id: str
    author: Author
    text: str
    at: float
    state: str
    kind: str = "text"
    body: bytes | None = None
    files: list[dict[str, Any]] | None = None
    receipts: list[dict[str, Any]] | None = None
    read_marks: int = 0
    typing_marks: int = 0

    def as_json(self) -> dict[str, Any]:
        """The message as the observation API shows it."""
        return {
            "id": self.id,
            "author": self.author,
            "kind": self.kind,
            "text": self.text,
            "at": round(self.at * 1000, 3),
            "state": self.state,
            "body": None if self.body is None else orjson.loads(self.body),
            "files": self.files or [],
            "receipts": self.receipts or [],
            "readMarks": self.read_marks,
            "typingMarks": self.typing_marks,
        }


def _messages() -> deque[Message]:
    return deque(maxlen=MESSAGES_KEPT)


@dataclass(slots=True, eq=False)
class Conversation:
    """One customer and one business, with the Genesys conversation between them."""

    tenant_id: str
    customer: str
    name: str
    genesys_id: str
    window_from: float | None = None  # time of the customer's latest message, Unix seconds
    genesys_customer: dict[str, Any] | None = None  # `from` of the last message that came to the desktop
    phone: deque[Message] = field(default_factory=_messages)
    desktop: deque[Message] = field(default_factory=_messages)

    def window_is_closed(self, now: float) -> bool:
        """True when the customer is known to have been silent for more than 24 hours."""
        return self.window_from is not None and now - self.window_from > WINDOW_S

    def customer_wrote(self, at: float) -> None:
        """The customer service window is counted from the latest message."""
        self.window_from = max(at, self.window_from or at)

    def as_json(self) -> dict[str, Any]:
        """The conversation as the observation API shows it."""
        return {
            "tenantId": self.tenant_id,
            "customer": self.customer,
            "name": self.name,
            "genesysConversationId": self.genesys_id,
            "phone": [message.as_json() for message in self.phone],
            "desktop": [message.as_json() for message in self.desktop],
        }


class Conversations:
    """The conversations of all tenants, the latest CONVERSATIONS_KEPT of them."""

    def __init__(self) -> None:
        self._all: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._bodies: deque[Message] = deque()
        self._aliases: dict[tuple[str, str], str] = {}

    def find(self, tenant_id: str, customer: str) -> Conversation | None:
        """The customer's conversation, if there is one."""
        return self._all.get((tenant_id, customer_key(customer)))

    def find_or_make(self, account: Account, customer: str, name: str = "") -> Conversation:
        """The customer's conversation."""
        key = (account.tenant_id, customer_key(customer))
        conversation = self._all.get(key)
        if conversation is None:
            conversation = Conversation(account.tenant_id, key[1], name or DEFAULT_NAME, str(uuid.uuid4()))
            self._all[key] = conversation
            if len(self._all) > CONVERSATIONS_KEPT:
                self._all.popitem(last=False)
        elif name:
            conversation.name = name
        return conversation

    def introduce(self, account: Account, user_id: str, customer: str) -> None:
        """Let what is sent to a user id appear on the phone of this customer."""
        self._aliases[account.tenant_id, user_id] = customer

    def known_as(self, account: Account, recipient: str) -> str:
        """The customer on whose phone a message to this recipient appears."""
        return self._aliases.get((account.tenant_id, recipient), recipient)

    def show(
        self,
        side: deque[Message],
        id: str,
        author: Author,
        text: str,
        state: str,
        at: float | None = None,
        *,
        kind: str = "text",
        body: bytes | None = None,
    ) -> Message:
        """Put a message on one side's screen."""
        message = Message(id, author, text, time.time() if at is None else at, state, kind, body)
        side.append(message)
        if body is not None:
            self._bodies.append(message)
            if len(self._bodies) > BODIES_KEPT:
                self._bodies.popleft().body = None
        self._messages[id] = message
        if len(self._messages) > MESSAGES_FOUND_BY_ID:
            self._messages.popitem(last=False)
        return message

    def message(self, id: str) -> Message | None:
        """A message by wamid on the phone, or by Genesys id on the desktop."""
        return self._messages.get(id)

    def of_tenant(self, tenant_id: str) -> Iterator[Conversation]:
        """The tenant's conversations, oldest first."""
        return (each for (tenant, _), each in self._all.items() if tenant == tenant_id)

    def clear(self) -> None:
        """Forget everything."""
        self._all.clear()
        self._messages.clear()
        self._bodies.clear()
        self._aliases.clear()


def customer_key(customer: str) -> str:
    """A phone number as its digits; any other id as it is."""
    if customer.isdigit():
        return customer
    digits = re.sub(r"[+\s().-]", "", customer)
    return digits if digits.isdigit() else customer
