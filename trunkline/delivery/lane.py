"""A lane being consumed: conversations in parallel, each in its order, acknowledged once stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

from trunkline.delivery.conversation import AFTER_FAULT_S, ConversationQueue, Delivery, LaneParts, LaneSpool
from trunkline.delivery.held import LaneHeld
from trunkline.delivery.turn import Done, Turn
from trunkline.envelope import Envelope
from trunkline.errors import Rejected, Unavailable
from trunkline.tenancy.tenant import Gone, Held, Ready

log = logging.getLogger(__name__)

SUBSCRIBE_AGAIN_S = 1.0
HELD_CHECK_S = 1.0
# Conversations taken from the spool at once; the others follow.
SPOOLED_AT_ONCE = 100
# Of the prefetch, one conversation that waits holds no more than this part.
MOST_HELD_SHARE = 4


class Subscription(Protocol):
    """The lane's queue being read."""

    @property
    def unacked(self) -> int:
        """Deliveries received and not acknowledged."""

    async def close(self) -> None:
        """Receive nothing more, and return everything that is not acknowledged, in its order."""


# Reads the queue: how many deliveries at once, what takes them, and what is called if it ends without our doing.
Subscribe = Callable[[int, Callable[[Delivery], None], Callable[[], None]], Awaitable[Subscription]]


class LaneRunner:
    """Reads one lane, its queue and its part of the spool, until told to stop.

    `standing` tells whether the lane may be read and how far ahead, at most `prefetch`; `unreadable` keeps what is not
    an envelope, `give_up` what breaks the code. `facts` are what its log lines say of the lane.
    """

    def __init__(
        self,
        subscribe: Subscribe,
        deliver: Callable[[Envelope, Turn], Awaitable[Done]],
        standing: Callable[[], Awaitable[Held | Ready | Gone]],
        unreadable: Callable[[bytes], Awaitable[None]],
        give_up: Callable[[Envelope, Rejected], Awaitable[Done]],
        spool: LaneSpool,
        prefetch: int,
        facts: dict[str, str],
    ) -> None:
        self._subscribe = subscribe
        self._standing = standing
        self._unreadable = unreadable
        self._prefetch = prefetch
        self._conversations: dict[str, ConversationQueue] = {}
        self._working: set[asyncio.Task[None]] = set()
        # Outcomes whose deliveries are acknowledged once they are stored.
        self._storing: set[asyncio.Future[None]] = set()
        self._interrupted = asyncio.Event()
        self._interrupted.set()
        self._stopping = False
        self._held: LaneHeld | None = None
        self._is_probing = False
        self._most_held = max(1, prefetch // MOST_HELD_SHARE)
        self._parts = LaneParts(
            deliver,
            give_up,
            self._ack_when_stored,
            self._finished,
            self._stepped,
            spool,
            self._interrupted,
            Counter(),
            facts,
        )
        self._subscription: Subscription | None = None
        # When the oldest of what was returned to the queue was accepted: it stays the oldest until it comes again.
        self._returned_oldest_at: float | None = None
        self.active_at = time.monotonic()
        self.stepped_at = time.monotonic()

    @property
    def held_reason(self) -> str | None:
        """Why the lane waits as a whole, if it does."""
        return self._held.reason if self._held else None

    @property
    def is_probing(self) -> bool:
        """Whether no more than a probe may leave: its circuit is half-open."""
        return self._is_probing

    @property
    def is_subscribed(self) -> bool:
        """Whether its queue is being read."""
        return self._subscription is not None

    @property
    def unfinished(self) -> int:
        """Deliveries received and not yet finished."""
        # Each conversation has a task; the other tasks see one delivery each to its end.
        held = sum(len(queue) for queue in self._conversations.values())
        return len(self._working) - len(self._conversations) + len(self._storing) + held

    @property
    def unacked(self) -> int:
        """Deliveries of its queue that are not acknowledged."""
        return self._subscription.unacked if self._subscription else 0

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the oldest message that waits here, or was returned to the queue, was accepted, in Unix seconds."""
        return _oldest(self._returned_oldest_at, *(queue.oldest_accepted_at for queue in self._conversations.values()))

    async def run(self) -> None:
        """Consume until `stop`; returns with everything finished or given back."""
        while not self._stopping:
            await self._sleep(await self._take_turn())

    def stop(self) -> None:
        """Take nothing more, finish what is under way, give back the rest."""
        self._stopping = True
        self._interrupted.set()

    def offer(self, conversation: str) -> None:
        """The spool has something of this conversation: take it up, unless that is being done or there is too much."""
        if self._interrupted.is_set() or conversation in self._conversations:
            return
        if len(self._conversations) >= (1 if self._is_probing else max(SPOOLED_AT_ONCE, self._prefetch)):
            return
        self.active_at = time.monotonic()
        self._open(conversation).may_be_spooled = True

    async def _take_turn(self) -> float:
        """Read the lane for as long as it may be read; answers after how many seconds to try again."""
        try:
            standing = await self._standing()
            self._held = LaneHeld(standing.reason, standing.retry_after_s) if isinstance(standing, Held) else None
            if self._held is None and not self._stopping:
                most = standing.prefetch if isinstance(standing, Ready) else self._prefetch
                self._is_probing = isinstance(standing, Ready) and standing.is_half_open
                await self._read(min(most, self._prefetch))
        except Unavailable as error:
            log.info("lane.waits", extra={**self._parts.facts, "error": str(error)})
            return SUBSCRIBE_AGAIN_S
        except Exception:
            # Our own bug must not leave the lane without a reader.
            log.exception("lane.failed", extra=self._parts.facts)
            return SUBSCRIBE_AGAIN_S
        return min(self._held.retry_after_s, HELD_CHECK_S) if self._held else 0.0

    async def _read(self, prefetch: int) -> None:
        self._interrupted.clear()
        self._returned_oldest_at = None
        subscribing = asyncio.create_task(self._subscribe_once_possible(prefetch))
        try:
            await self._interrupted.wait()
            # What is under way ends before the queue is left: the next reader would go on behind it.
            await self._finish_under_way()
        finally:
            self._interrupted.set()
            subscribing.cancel()
            await asyncio.gather(subscribing, return_exceptions=True)
            subscription, self._subscription = self._subscription, None
            if subscription is not None:
                await subscription.close()

    async def _subscribe_once_possible(self, prefetch: int) -> None:
        """The spool is read meanwhile."""
        while True:
            try:
                self._subscription = await self._subscribe(prefetch, self._receive, self._interrupted.set)
            except Unavailable as error:
                log.info("lane.waits", extra={**self._parts.facts, "error": str(error)})
            except Exception:
                log.exception("lane.failed", extra=self._parts.facts)
            else:
                return
            await asyncio.sleep(SUBSCRIBE_AGAIN_S)

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
        queue = self._conversations.get(envelope.conversation)
        if queue is None:  # one that is empty, still asking the spool, is the conversation's queue all the same
            queue = self._open(envelope.conversation)
        queue.add(envelope, delivery)

    def _open(self, conversation: str) -> ConversationQueue:
        queue = self._conversations[conversation] = ConversationQueue(conversation, self._parts, self._most_held)
        self._start(self._serve(conversation, queue))
        return queue

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _serve(self, conversation: str, queue: ConversationQueue) -> None:
        try:
            await queue.serve()
        except LaneHeld as held:
            self._give_back(held.reason, held.retry_after_s)
        except Exception:
            log.exception("lane.failed", extra={**self._parts.facts, "conversation_length": len(queue)})
            self._give_back("an error of our own, see the log", AFTER_FAULT_S)
        finally:
            del self._conversations[conversation]
            self._returned_oldest_at = _oldest(self._returned_oldest_at, queue.oldest_accepted_at)

    def _stepped(self) -> None:
        self.stepped_at = time.monotonic()

    def _finished(self) -> None:
        if self._is_probing:
            self._interrupted.set()  # little is read for a probe: ask how far ahead to read now

    def _ack_when_stored(self, delivery: Delivery, done: Done) -> None:
        if done.stored is None:
            self._stepped()
            delivery.ack()
            return

        def ack(stored: asyncio.Future[None]) -> None:
            self._storing.discard(stored)
            if not stored.cancelled() and stored.exception() is None:
                self._stepped()
                delivery.ack()

        self._storing.add(done.stored)
        done.stored.add_done_callback(ack)

    async def _keep_unreadable(self, delivery: Delivery) -> None:
        try:
            await self._unreadable(delivery.body)
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("lane.failed", extra=self._parts.facts)
            self._give_back("an unreadable message cannot be kept", SUBSCRIBE_AGAIN_S)
            return
        delivery.ack()

    async def _finish_under_way(self) -> None:
        while under_way := self._working | self._storing:
            await asyncio.wait(under_way)

    async def _sleep(self, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))


def _oldest(*accepted: float | None) -> float | None:
    return min((at for at in accepted if at is not None), default=None)
