"""The record of arrivals: written in groups after the answer, and later if Postgres is away."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from trunkline.arrival import Arrival
from trunkline.errors import StoreUnavailable
from trunkline.grouping import Grouped

log = logging.getLogger(__name__)

RECORDED_AT_ONCE = 500
# Nobody awaits the record, and a claim that comes first writes the same rows: one transaction for many costs less, and
# is not in the way of claims.
RECORD_AFTER_S = 0.1
RECORD_AGAIN_S = 1.0
# Beyond it the oldest are left to their claims; what is in the queue is safe, only not visible.
UNRECORDED_LIMIT = 20_000


class ArrivalLog(Protocol):
    """Where arrivals are recorded."""

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        """Record accepted envelopes; raises StoreUnavailable."""


class Recording:
    """Records what intake has accepted, each arrival once Postgres takes it."""

    def __init__(self, arrivals: ArrivalLog) -> None:
        self._arrivals = arrivals
        self._gathered: Grouped[Arrival, None] = Grouped(self._record, RECORDED_AT_ONCE, RECORD_AFTER_S)
        self._queued: set[asyncio.Future[None]] = set()
        self._unrecorded: deque[Arrival] = deque()
        self._catching_up = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None

    def submit(self, arrival: Arrival, *, queued: bool) -> None:
        """Record it soon; `queued`: it is in its lane's queue, and no longer only in our hands."""
        recorded = self._gathered.submit(arrival)
        if queued:
            self._queued.add(recorded)
            recorded.add_done_callback(self._queued.discard)

    async def caught_up(self) -> None:
        """Return once all that is queued so far is recorded; raises StoreUnavailable when it cannot be.

        What is spooled next waits for what is recorded as queued and not delivered, so nothing may be missing there.
        """
        if self._queued:
            await asyncio.wait(set(self._queued))
        await self._catch_up()

    async def idle(self) -> None:
        """Return when nothing is gathered any more."""
        await self._gathered.idle()

    async def _record(self, arrivals: Sequence[Arrival]) -> Sequence[None]:
        try:
            await self._arrivals.record(arrivals)
        except StoreUnavailable as error:
            log.warning("arrivals.unrecorded", extra={"count": len(arrivals), "error": str(error)})
            self._unrecorded.extend(arrivals)
            while len(self._unrecorded) > UNRECORDED_LIMIT:
                self._unrecorded.popleft()
            if self._again is None:
                self._again = asyncio.create_task(self._record_again())
        except Exception as error:
            # Errors of Postgres about a row quote it, and so the message.
            log.warning("arrivals.unrecorded", extra={"count": len(arrivals), "error": type(error).__name__})
        return [None] * len(arrivals)

    async def _record_again(self) -> None:
        try:
            while self._unrecorded:
                await asyncio.sleep(RECORD_AGAIN_S)
                try:
                    await self._catch_up()
                except StoreUnavailable:
                    continue
        finally:
            self._again = None

    async def _catch_up(self) -> None:
        async with self._catching_up:
            while self._unrecorded:
                group = [self._unrecorded.popleft() for _ in range(min(RECORDED_AT_ONCE, len(self._unrecorded)))]
                try:
                    await self._arrivals.record(group)
                except (StoreUnavailable, asyncio.CancelledError):  # whoever waits for this waits only so long
                    self._unrecorded.extendleft(reversed(group))
                    raise
                except Exception as error:
                    log.warning("arrivals.unrecorded", extra={"count": len(group), "error": type(error).__name__})
