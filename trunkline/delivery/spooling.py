"""The spool beside the lanes' queues: what a lane takes from it, and who offers it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from trunkline.envelope import Direction, Envelope
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
OFFERED_AT_ONCE = 500


class Spool(Protocol):
    """The spool in Postgres; every call raises StoreUnavailable."""

    async def park(self, envelopes: Sequence[Envelope], wait_s: float) -> None:
        """Keep these, in their order, not due before `wait_s` seconds have passed."""

    async def lanes(self) -> list[tuple[str, Direction]]:
        """Lanes with something that is due."""

    async def due(self, lanes: Sequence[tuple[str, Direction]], limit: int) -> list[tuple[str, Direction, str]]:
        """Conversations of these lanes whose first envelope is due."""

    async def of_conversation(self, tenant_id: str, direction: Direction, wa_id: str) -> list[Envelope]:
        """The first envelopes of a conversation, in order, if the first is due."""

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        """Keep these no longer."""


class Runner(Protocol):
    """Whoever reads a lane."""

    def offer(self, conversation: str) -> None:
        """The spool has something of this conversation."""


class TenantSpool:
    """A lane's part of the spool. `queue_is_empty` tells whether the lane is read and has nothing left in its queue."""

    def __init__(
        self, spool: Spool, tenant_id: str, direction: Direction, queue_is_empty: Callable[[], Awaitable[bool]]
    ) -> None:
        self._spool = spool
        self._tenant_id = tenant_id
        self._direction = direction
        self._queue_is_empty = queue_is_empty

    async def due(self, conversation: str) -> Sequence[Envelope]:
        """The first envelopes of a conversation, in order, if the first is due; raises StoreUnavailable."""
        return await self._spool.of_conversation(self._tenant_id, self._direction, conversation)

    async def park(self, envelopes: Sequence[Envelope], wait_s: float) -> None:
        """Keep these, in their order, not to be tried before `wait_s` seconds have passed; raises StoreUnavailable."""
        await self._spool.park(envelopes, wait_s)

    async def remove(self, envelope: Envelope) -> None:
        """Keep it no longer; raises StoreUnavailable."""
        await self._spool.remove([envelope])

    async def queue_is_empty(self) -> bool:
        """Whether nothing older can come from the lane's queue; raises StoreUnavailable."""
        return await self._queue_is_empty()


class SpoolFeed:
    """Offers what is due in the spool to the lanes that this process reads."""

    def __init__(self, spool: Spool, runners: Callable[[], Mapping[tuple[str, Direction], Runner]]) -> None:
        self._spool = spool
        self._runners = runners

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.run_once()
            except Unavailable as error:
                log.info("spool.waits", extra={"error": str(error)})
            except Exception:
                log.exception("spool.failed")  # our own bug must not leave the spool unread
            await asyncio.sleep(LOOK_EVERY_S)

    async def run_once(self) -> None:
        """Offer what is due now; raises StoreUnavailable."""
        runners = self._runners()
        spooled = await self._spool.lanes() if runners else []
        ours = [lane for lane in spooled if lane in runners]
        due = await self._spool.due(ours, OFFERED_AT_ONCE) if ours else []
        for tenant_id, direction, conversation in due:
            if runner := runners.get((tenant_id, direction)):
                runner.offer(conversation)
