"""A message's turn in its lane: what its delivery knows of where it stands, and how it waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from trunkline.errors import TrunklineError

ASK_AGAIN_S = 0.5


class Turn(Protocol):
    """The turn of the first message of a conversation.

    `spooled`: it comes from the spool. `alone`: nothing older of its conversation can be in its queue. `redelivered`:
    somebody had it before and did not finish it.
    """

    @property
    def spooled(self) -> bool: ...
    @property
    def alone(self) -> bool: ...
    @property
    def redelivered(self) -> bool: ...

    async def pause(self, wait_s: float, *, may_park: bool = True) -> None:
        """Wait in place; may raise, when the lane is given back or, if it `may_park`, the conversation is parked."""


class OlderFirst(TrunklineError):
    """Something older of the conversation goes first; `due_in_s` as in `attempt.Behind`."""

    def __init__(self, due_in_s: float | None) -> None:
        super().__init__(due_in_s)
        self.due_in_s = due_in_s


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do once `stored` is done; None when nothing had to be stored."""

    stored: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Take the next step after a wait; with `unsettled`, as soon as the message is no longer in that state."""

    wait_s: float = 0.0
    # An attempt that was claimed, as far as we know, but never left.
    unsent: str | None = None
    unsettled: str | None = None
