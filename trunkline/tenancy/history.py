"""What is known of conversations and messages: records as stores load them and the admin API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Conversation:
    """The thread with one person; `genesys_conversation_id` and `last_inbound_at` are None until known."""

    tenant_id: str
    conversation_id: str
    wa_id: str
    genesys_conversation_id: str | None
    status: str
    created_at: datetime
    last_activity_at: datetime
    last_inbound_at: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message where it stands; `status` is the contract's state, `receipt` the far side's last word."""

    tenant_id: str
    message_id: str
    conversation_id: str | None
    direction: str
    kind: str
    status: str
    wamid: str | None
    genesys_id: str | None
    text: str | None
    attempts: int
    receipt: str | None
    accepted_at: datetime
    created_at: datetime
    updated_at: datetime
    claim_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A step of a message; one with an `attempt_id` is the outcome of that attempt."""

    at: datetime
    event: str
    attempt_id: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message given up, with the reason; `tenant_id` is None for what belongs to no tenant."""

    id: int
    message_id: str
    tenant_id: str | None
    direction: str
    reason: str
    answer: str | None
    attempts: int
    wamid: str | None
    genesys_id: str | None
    created_at: datetime
    last_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """All that the tables say about one message; at least one of `message` and `dead_letter` is there."""

    message: Message | None
    dead_letter: DeadLetter | None
    tenant_status: str | None
    events: list[Event] = field(default_factory=list)
