"""What intake writes down: arrivals that have a lane, and strays that have none."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from trunkline.envelope import Direction, Envelope
from trunkline.people import Alias
from trunkline.protocol.media import CustomerFile


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted envelope with what its row shows. `is_message` is false for what only reports about messages.

    `aliases` is what it tells about its sender, `file` what has to be fetched for it.
    """

    envelope: Envelope
    text: str | None
    window_hours: int
    is_message: bool
    aliases: tuple[Alias, ...] = ()
    file: CustomerFile | None = None


@dataclass(frozen=True, slots=True)
class Stray:
    """A part of a webhook that no lane can take, kept with its reason; `body` is as much as a replay needs.

    `wa_id` is the customer's address, as far as it names one and belongs to a tenant.
    """

    message_id: uuid.UUID
    direction: Direction
    reason: str
    answer: str
    body: bytes
    tenant_id: str | None = None
    wamid: str | None = None
    genesys_id: str | None = None
    wa_id: str | None = None
