"""Poison: a message that ends its reader again and again before it can be claimed is given up, and only it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Protocol

from trunkline.envelope import Envelope
from trunkline.errors import Rejected

# The third reader that ends over a message was one too many.
POISON_AT = 3
# One at a time, so that no other is blamed; but one that takes long blocks the others no longer than this.
ALONE_FOR_S = 5.0
INNOCENT_REMEMBERED = 20_000


class TakeOverStore(Protocol):
    """Where take-overs are counted."""

    async def note(self, envelope: Envelope) -> int:
        """Count one more; how many there have been, 0 for one that was claimed before; raises StoreUnavailable."""

    async def forget(self, envelope: Envelope) -> None:
        """It was no poison; raises StoreUnavailable."""


class TakeOvers:
    """Messages that come to this process a second time are handled one after the other until they are known to pass."""

    def __init__(self, store: TakeOverStore) -> None:
        self._store = store
        self._innocent: OrderedDict[str, None] = OrderedDict()
        self._alone = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def watched(self, envelope: Envelope, *, redelivered: bool) -> AsyncIterator[None]:
        """What may end the process, for this message; raises Rejected for poison, and StoreUnavailable."""
        if not redelivered or envelope.message_id in self._innocent:
            yield
            return
        has_turn = await self._wait_turn()
        try:
            if await self._store.note(envelope) >= POISON_AT:
                raise Rejected("poison", f"its reader ended {POISON_AT} times before it could be sent")
            try:
                yield
            finally:
                # It did not end us, whatever else it raised.
                self._innocent[envelope.message_id] = None
                if len(self._innocent) > INNOCENT_REMEMBERED:
                    self._innocent.popitem(last=False)
                await self._store.forget(envelope)
        finally:
            if has_turn:
                self._alone.release()

    async def _wait_turn(self) -> bool:
        try:
            await asyncio.wait_for(self._alone.acquire(), ALONE_FOR_S)
        except TimeoutError:
            return False
        return True
