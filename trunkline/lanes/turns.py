"""One at a time for each key, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """Whoever enters waits for those who entered with the same key before, whatever becomes of them."""

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._last)

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """Have a turn; the next one begins when the context is left."""
        before = self._last.get(key)
        self._last[key] = mine = asyncio.get_running_loop().create_future()
        try:
            if before is not None:
                await asyncio.wait([before])  # unlike awaiting it, this does not cancel it with its waiter
            yield
        finally:
            if before is None or before.done():
                self._end(key, mine)
            else:  # cancelled while waiting: the next still has to wait for the one before
                before.add_done_callback(lambda _: self._end(key, mine))

    def _end(self, key: Hashable, mine: asyncio.Future[None]) -> None:
        mine.set_result(None)
        if self._last.get(key) is mine:
            del self._last[key]
