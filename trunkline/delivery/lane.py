"""A lane being consumed: conversations in parallel, each in its order, acknowledged once stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from trunkline.delivery.held import LaneHeld
from trunkline.delivery.transform import Done, Pause
from trunkline.envelope import Envelope
from trunkline.errors import Unavailable
from trunkline.tenancy.tenant import Held

log = logging.getLogger(__name__)

SUBSCRIBE_AGAIN_S = 1.0
HELD_CHECK_S = 1.0


class Delivery(Protocol):
    """A message from the lane's queue."""

    body: bytes

    def ack(self) -> None:
        """Take it off the queue."""


class Subscription(Protocol):
    """The lane's queue being read."""

    async def close(self) -> None:
        """Receive nothing more, and return everything that is not acknowledged, in its order."""


Subscribe = Callable[[Callable[[Delivery], None], Callable[[], None]], Awaitable[Subscription]]


class Interrupted(Exception):
    """The lane is being given back: stop waiting."""


class LaneRunner:
    """Reads one lane until told to stop.

    `standing` tells why the lane must wait, `unreadable` keeps what is not an envelope.
    """

    def __init__(
        self,
        subscribe: Subscribe,
        deliver: Callable[[Envelope, Pause], Awaitable[Done]],
        standing: Callable[[], Awaitable[Held | None]],
        unreadable: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._subscribe = subscribe
        self._deliver = deliver
        self._standing = standing
        self._unreadable = unreadable
        self._waiting: dict[str, deque[tuple[Envelope, Delivery]]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._interrupted = asyncio.Event()
        self._stopping = False
        self._held: LaneHeld | None = None
        self.active_at = time.monotonic()
        self.progress_at = time.monotonic()

    @property
    def held_reason(self) -> str | None:
        """Why the lane waits as a whole, if it does."""
        return self._held.reason if self._held else None

    @property
    def unfinished(self) -> int:
        """Deliveries received and not yet finished."""
        # Each waiting conversation has a task; the other tasks see one delivery each to its end.
        return len(self._working) - len(self._waiting) + sum(len(queue) for queue in self._waiting.values())

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the oldest message that waits here was accepted, in Unix seconds."""
        return min((queue[0][0].accepted_at for queue in self._waiting.values() if queue), default=None)

    async def run(self) -> None:
        """Consume until `stop`; returns with everything finished or given back."""
        while not self._stopping:
            await self._sleep(await self._take_turn())

    def stop(self) -> None:
        """Take nothing more, finish what is under way, give back the rest."""
        self._stopping = True
        self._interrupted.set()

    async def _take_turn(self) -> float:
        """Read the lane for as long as it may be read; answers after how many seconds to try again."""
        try:
            standing = await self._standing()
            self._held = LaneHeld(standing.reason, standing.retry_after_s) if standing else None
            if standing is None and not self._stopping:
                await self._read()
        except Unavailable as error:
            log.info("lane.waits", extra={"error": str(error)})
            return SUBSCRIBE_AGAIN_S
        except Exception:
            log.exception("lane.failed")  # our own bug must not leave the lane without a reader
            return SUBSCRIBE_AGAIN_S
        return min(self._held.retry_after_s, HELD_CHECK_S) if self._held else 0.0

    async def _read(self) -> None:
        self._interrupted.clear()
        subscription = await self._subscribe(self._receive, self._interrupted.set)
        await self._interrupted.wait()
        # What is under way ends before the queue is left: the next reader would go on behind it.
        await self._finish_under_way()
        await subscription.close()

    def _give_back(self, reason: str, retry_after_s: float) -> None:
        self._held = LaneHeld(reason, retry_after_s)
        self._interrupted.set()

    def _receive(self, delivery: Delivery) -> None:
        self.active_at = time.monotonic()
        if self._interrupted.is_set():
            return  # it goes back with the channel
        try:
            envelope = Envelope.from_bytes(delivery.body)
        except ValueError:
            self._start(self._keep_unreadable(delivery))
            return
        queue = self._waiting.get(envelope.conversation)
        if queue is not None:
            queue.append((envelope, delivery))
            return
        self._waiting[envelope.conversation] = deque([(envelope, delivery)])
        self._start(self._serve(envelope.conversation))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _serve(self, conversation: str) -> None:
        """Deliver what waits in one conversation, one after the other."""
        queue = self._waiting[conversation]
        try:
            while queue and not self._interrupted.is_set():
                envelope, delivery = queue[0]
                done = await self._deliver(envelope, self._pause)
                queue.popleft()
                self._ack_when_stored(delivery, done)
        except LaneHeld as held:
            self._give_back(held.reason, held.retry_after_s)
        except Interrupted:
            pass
        except Exception:
            # Our own bug: give the lane back as a whole, in order, rather than skip a message.
            log.exception("lane.failed", extra={"conversation_length": len(queue)})
            self._give_back("an error of our own, see the log", SUBSCRIBE_AGAIN_S)
        finally:
            del self._waiting[conversation]

    def _ack_when_stored(self, delivery: Delivery, done: Done) -> None:
        def ack(stored: asyncio.Future[None]) -> None:
            if not stored.cancelled() and stored.exception() is None:
                self.progress_at = time.monotonic()
                delivery.ack()

        if done.stored is None:
            self.progress_at = time.monotonic()
            delivery.ack()
        else:
            done.stored.add_done_callback(ack)
            self._start(self._until(done.stored))

    async def _until(self, stored: asyncio.Future[None]) -> None:
        await asyncio.wait([stored])

    async def _keep_unreadable(self, delivery: Delivery) -> None:
        try:
            await self._unreadable(delivery.body)
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("lane.failed")
            self._give_back("an unreadable message cannot be kept", SUBSCRIBE_AGAIN_S)
            return
        delivery.ack()

    async def _pause(self, wait_s: float) -> None:
        """Wait in place, unless the lane is given back meanwhile."""
        try:
            await asyncio.wait_for(self._interrupted.wait(), wait_s)
        except TimeoutError:
            return
        raise Interrupted

    async def _finish_under_way(self) -> None:
        while self._working:
            await asyncio.wait(self._working)

    async def _sleep(self, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))
