"""The way out to one cloud for one tenant: so many calls at once, none on leave from before a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

# A circuit opens after so many failures in a row, or when for so long there was nothing else.
FAILURES_IN_A_ROW = 10
FAILURES_ONLY_FOR_S = 20.0


class Streak:
    """Failures without a success between them; times are seconds of one clock."""

    def __init__(self) -> None:
        self._length = 0
        self._since = 0.0

    def broken(self) -> None:
        """A call was answered."""
        self._length = 0

    def failed(self, now: float) -> bool:
        """A call failed; whether there have been enough of them to call no more."""
        if self._length == 0:
            self._since = now
        self._length += 1
        return self._length >= FAILURES_IN_A_ROW or (self._length > 1 and now - self._since >= FAILURES_ONLY_FOR_S)


class Gate:
    """Calls at once are bounded by `slots`; `streak` counts what failed in a row."""

    def __init__(self, calls_at_once: int) -> None:
        self.slots = asyncio.Semaphore(calls_at_once)
        self.streak = Streak()
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
