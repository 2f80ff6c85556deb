"""Messages of people who were erased: those that still wait, or come once more, go no further."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from trunkline.envelope import Envelope
from trunkline.errors import Unavailable
from trunkline.people import person_key

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class Erasures(Protocol):
    """Who was erased; every call raises StoreUnavailable."""

    async def recent(self, since: float) -> list[tuple[str, float]]:
        """Whose content was erased, and when, in Unix seconds: what may be new after `since`."""

    async def settle(self, envelope: Envelope) -> bool:
        """Whether nothing is to be done with it: it was erased while it waited, or settled before."""


class ErasedPeople:
    """What one process knows of erased people: so little that every message can be compared with it."""

    def __init__(self, erasures: Erasures) -> None:
        self._erasures = erasures
        self._people: set[str] = set()
        self._latest = 0.0

    async def run(self) -> None:
        """Look again and again who was erased, until cancelled."""
        while True:
            try:
                await self.run_once()
            except Unavailable as error:
                log.info("erasures.wait", extra={"error": str(error)})
            except Exception:
                log.exception("erasures.failed")  # claims ask the store itself
            await asyncio.sleep(LOOK_EVERY_S)

    async def run_once(self) -> None:
        """Look who was erased; raises StoreUnavailable."""
        for person, erased_at in await self._erasures.recent(self._latest):
            self._people.add(person)
            self._latest = max(self._latest, erased_at)

    async def settle(self, envelope: Envelope) -> bool:
        """Whether nothing is to be done with it, for its person was erased; raises StoreUnavailable.

        Asked before anything of it is fetched or written down: what is prepared would have to be erased again.
        """
        if not self._people or person_key(envelope.tenant_id, envelope.conversation) not in self._people:
            return False
        return await self._erasures.settle(envelope)

    async def purge(self, envelope: Envelope) -> None:
        """Account for a message whose claim was refused, for its person was erased; raises StoreUnavailable."""
        await self._erasures.settle(envelope)
