"""The way out to one cloud for one tenant: so many calls at once, and none on leave from before a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass


class Gate:
    """Calls at once are bounded by `slots`."""

    def __init__(self, calls_at_once: int) -> None:
        self.slots = asyncio.Semaphore(calls_at_once)
        self._closings = 0
        self._reports = 0
        self._open = asyncio.Event()
        self._open.set()

    async def ticket(self) -> Ticket:
        """To be taken before passage is asked for; waits while the tenant is being told of a refusal."""
        await self._open.wait()
        return Ticket(self, self._closings)

    def is_valid(self, ticket: Ticket) -> bool:
        """Whether no call was refused since the ticket was taken."""
        return ticket.number == self._closings

    async def close_for(self, ticket: Ticket, report: Awaitable[None]) -> None:
        """A call with this ticket was refused: nobody leaves until `report` is done, nor later with an older ticket.

        A refusal of a call that left before an earlier refusal says nothing new and invalidates nothing.
        """
        if self.is_valid(ticket):
            self._closings += 1
        self._reports += 1
        self._open.clear()
        try:
            await report
        finally:
            self._reports -= 1
            if self._reports == 0:
                self._open.set()


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to ask for passage through `gate`; good until a call is refused."""

    gate: Gate
    number: int

    @property
    def is_valid(self) -> bool:
        """Whether a call may still leave on it."""
        return self.gate.is_valid(self)
