"""Erasing a person: noted first, so that nothing of theirs goes on; removed from every place; looked at once more."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.delivery.erased import LOOK_EVERY_S
from trunkline.errors import Unavailable
from trunkline.people import Erasure
from trunkline.tenancy.audit import Actor

log = logging.getLogger(__name__)

# By then every transformer has looked who was erased, and put away what it had in hand.
KNOWN_WITHIN_S = 3 * LOOK_EVERY_S
FINISH_EVERY_S = 2.0


class Places(Protocol):
    """Postgres; every call raises StoreUnavailable, and all but the first may be repeated."""

    async def begin(self, tenant_id: str, address: str, by: Actor) -> Erasure:
        """Note that everything accepted until now is erased, under all addresses of the person."""

    async def unfinished(self, known_s: float) -> list[Erasure]:
        """Erasures of which everybody knows by now, `known_s` after they were noted, to be looked at once more."""

    async def finished(self, erasure: Erasure) -> None:
        """Nothing is left to be looked at."""

    async def remove_messages(self, erasure: Erasure) -> Counter[str]:
        """Remove messages and what belongs to them; how many of each."""

    async def forget_files(self, erasure: Erasure) -> list[str]:
        """The ids of the person's files, which nobody may load or show from now on."""

    async def conversation_ids(self, erasure: Erasure) -> list[str]:
        """The ids of the person's conversations."""

    async def remove_conversations(self, erasure: Erasure) -> Counter[str]:
        """Remove conversations and aliases; how many of each."""


class Files(Protocol):
    """Where the bytes of files are kept on this node; every other node removes its own."""

    async def remove(self, tenant_id: str, media_id: str) -> bool:
        """Whether the file was here."""


class Mappings(Protocol):
    """The cache of conversations; every call raises StoreUnavailable."""

    async def forget(self, tenant_id: str, wa_ids: Sequence[str], conversation_ids: Sequence[str]) -> int:
        """Remove what is kept of these; how many keys there were."""


class Cells(Protocol):
    """The tenants' cells."""

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        """Drop what is remembered of these people; raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed of a person, counted by place; everything accepted until `erased_at` (Unix seconds)."""

    erased_at: float
    removed: dict[str, int]


class Erasing:
    """Erases people. What was noted is brought to its end by `finish`, whatever dies meanwhile."""

    def __init__(self, places: Places, files: Files, mappings: Mappings, cells: Cells) -> None:
        self._places = places
        self._files = files
        self._mappings = mappings
        self._cells = cells

    async def erase(self, tenant_id: str, address: str, by: Actor) -> Erased:
        """Erase the person with this address, under all their addresses; raises Unavailable when a place is away.

        It is noted all the same then, and finished once the place is back.
        """
        erasure = await self._places.begin(tenant_id, address, by)
        removed = await self._remove(erasure)
        log.info("person.erased", extra={"tenant": tenant_id, "key": by.key_id, **removed})
        return Erased(erasure.erased_at, dict(removed))

    async def run(self) -> None:
        """Finish again and again what was begun here or elsewhere, until cancelled."""
        while True:
            try:
                await self.finish()
            except Unavailable as error:
                log.info("erasing.waits", extra={"error": str(error)})
            except Exception:
                log.exception("erasing.failed")
            await asyncio.sleep(FINISH_EVERY_S)

    async def finish(self) -> None:
        """Remove what was written down by those who did not know yet; raises StoreUnavailable."""
        for erasure in await self._places.unfinished(KNOWN_WITHIN_S):
            try:
                await self._remove(erasure)
                await self._places.finished(erasure)
            except Unavailable as error:
                log.info("erasing.waits", extra={"tenant": erasure.tenant_id, "error": str(error)})

    async def _remove(self, erasure: Erasure) -> Counter[str]:
        """The conversations go last: by them a repetition finds what the cache still holds."""
        tenant_id, addresses = erasure.tenant_id, erasure.addresses
        removed = await self._places.remove_messages(erasure)
        removed["files"] = await self._remove_files(erasure)
        conversation_ids = await self._places.conversation_ids(erasure)
        removed["cacheKeys"] = await self._mappings.forget(tenant_id, addresses, conversation_ids)
        removed.update(await self._places.remove_conversations(erasure))
        await self._cells.forget_people(tenant_id, addresses)
        return removed

    async def _remove_files(self, erasure: Erasure) -> int:
        files = await self._places.forget_files(erasure)
        for media_id in files:
            await self._files.remove(erasure.tenant_id, media_id)
        return len(files)
