"""What is known of conversations and messages: records as stores load them and the admin API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trunkline.envelope import Envelope


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
    wa_id: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A step of a message; one with an `attempt_id` is the outcome of that attempt."""

    at: datetime
    event: str
    attempt_id: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message given up, with the reason; `tenant_id` is None for what belongs to no tenant.

    `has_content` until retention has taken what a replay needs.
    """

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
    has_content: bool = True


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message that waits in Postgres instead of the broker: why, since when, and not to be tried before `due_at`."""

    tenant_id: str
    message_id: str
    direction: str
    cause: str
    accepted_at: datetime
    spooled_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """All that the tables say about one message; at least one of `message`, `dead_letter` and `spooled` is there."""

    message: Message | None
    dead_letter: DeadLetter | None
    tenant_status: str | None
    events: list[Event] = field(default_factory=list)
    spooled: Spooled | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of a tenant lies in Postgres: envelopes in the spool, and dead letters by their reasons."""

    spooled: int
    dead_letters: dict[str, int]


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters are meant; None stands for any. Without a tenant those that belong to none are meant too."""

    tenant_id: str | None = None
    reason: str | None = None
    direction: str | None = None
    ids: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter with all that a replay needs.

    `body` is an envelope, or the part of a webhook that became none. `state` is where its message stands, None when
    that has no row. `ordered_at` is when the message was accepted, as far as its row tells.
    """

    id: int
    message_id: str
    tenant_id: str | None
    reason: str
    body: bytes
    ordered_at: datetime
    state: str | None
    tenant_exists: bool


@dataclass(frozen=True, slots=True)
class Revival:
    """What is delivered when a dead letter is replayed; `rerouted` when its envelopes are made anew of a webhook."""

    letter_id: int
    reason: str
    envelopes: Sequence[Envelope]
    rerouted: bool = False
