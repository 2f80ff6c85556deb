"""What a direction makes of an envelope: the requests to send, and how to send one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.attempt import ReceiptNote
from trunkline.envelope import Direction, Envelope
from trunkline.errors import Rejected
from trunkline.protocol.inbound import GenesysPost
from trunkline.protocol.outcomes import GenesysAccepted
from trunkline.tenancy.tenant import GenesysAccess, Priority, WhatsAppAccess

Access = GenesysAccess | WhatsAppAccess
EVENT_KIND = "event"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the far side called it; `lacking` as in `Job`, if it took less than it was asked to."""

    wamid: str | None = None
    genesys_id: str | None = None
    genesys_conversation_id: str | None = None
    lacking: Rejected | None = None


Request = Callable[[], Awaitable[Accepted]]


@dataclass(frozen=True, slots=True)
class Job:
    """The requests of one envelope, sent in their order; `refusal` says why there are none.

    `lacking` says what of it could not be delivered in any form although the rest was; it is kept as a dead letter.
    `receipt` is what Genesys has been told once the requests were accepted.
    """

    requests: Sequence[Request] = ()
    refusal: Rejected | None = None
    text: str | None = None
    lacking: Rejected | None = None
    receipt: ReceiptNote | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job but for the access that its calls need.

    `is_free_form`: it sends to WhatsApp what is no template. `priority`: who goes first where calls are short.
    """

    make: Callable[[Access], Job]
    is_free_form: bool = False
    priority: Priority = Priority.MESSAGE

    def __call__(self, access: Access) -> Job:
        """The job; raises Rejected when it cannot be converted."""
        return self.make(access)


class Genesys(Protocol):
    """The Open Messaging API."""

    async def post(self, access: GenesysAccess, post: GenesysPost) -> GenesysAccepted:
        """Make one call; raises what became of it."""


class Route(Protocol):
    """One direction."""

    async def prepare(self, envelope: Envelope) -> Prepared | None:
        """The job that `envelope` is; None when no call, and so no passage, is needed.

        May take long, for it moves files. Both steps raise Rejected when it cannot be converted.
        """


def is_sign_of_life(envelope: Envelope) -> bool:
    """Whether it only shows that somebody is there (typing): neither recorded nor repeated."""
    return envelope.direction is Direction.OUTBOUND and envelope.kind == EVENT_KIND
