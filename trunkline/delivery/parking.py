"""Statuses that came before we knew of their messages: taken up once we do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from trunkline.envelope import Envelope
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TAKEN_AT_ONCE = 200


class ParkedStatuses(Protocol):
    """Where they are kept."""

    async def parked(self, limit: int) -> list[Envelope]:
        """Parked statuses whose messages are known by now; raises StoreUnavailable."""

    async def unpark(self, statuses: Sequence[Envelope]) -> None:
        """Keep these no longer; raises StoreUnavailable."""


class Parking:
    """Puts parked statuses back into their lanes. Twice does no harm: a receipt is sent once."""

    def __init__(self, statuses: ParkedStatuses, publish: Callable[[Envelope], Awaitable[object]]) -> None:
        self._statuses = statuses
        self._publish = publish

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.run_once()
            except Unavailable as error:
                log.info("parking.waits", extra={"error": str(error)})
            await asyncio.sleep(LOOK_EVERY_S)

    async def run_once(self) -> None:
        """Take up what can be by now; raises StoreUnavailable."""
        found = await self._statuses.parked(TAKEN_AT_ONCE)
        for status in found:
            await self._publish(status)
        if found:
            await self._statuses.unpark(found)
