"""What a lane holds of one conversation: delivered one after the other, and parked when that takes too long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.delivery.held import LaneHeld
from trunkline.delivery.turn import ASK_AGAIN_S, Done, OlderFirst, Turn
from trunkline.envelope import Envelope
from trunkline.errors import Rejected, TrunklineError, Unavailable

log = logging.getLogger(__name__)

# A delivery that is held for longer is parked: the broker closes the channel of one that is never acknowledged.
PARK_AFTER_S = 60.0
# A conversation that waits for longer than this parks what fills a quarter of the lane's prefetch.
SHED_AFTER_S = 1.0
# Without Postgres nothing can be parked: then all go back.
HELD_AT_MOST_S = 240.0
AFTER_FAULT_S = 1.0
# So often may a message of ours break the code before it is taken for poison.
FAULTS_AT_MOST = 3


class Delivery(Protocol):
    """A message from the lane's queue. `redelivered`: it was given to somebody before."""

    body: bytes
    redelivered: bool

    def ack(self) -> None:
        """Take it off the queue."""


class LaneSpool(Protocol):
    """The lane's part of the spool; every call raises Unavailable while it cannot be reached."""

    async def due(self, conversation: str) -> Sequence[Envelope]:
        """The first envelopes of a conversation, in order, as far as they are due."""

    async def park(self, envelopes: Sequence[Envelope], wait_s: float) -> None:
        """Keep these, in their order, not to be tried before `wait_s` seconds have passed."""

    async def remove(self, envelope: Envelope) -> None:
        """Its outcome is stored."""

    async def queue_is_empty(self) -> bool:
        """Whether the lane is being read and nothing is left in its queue."""


class Interrupted(TrunklineError):
    """The lane is being given back: stop waiting."""


class Parked(TrunklineError):
    """The conversation has to wait for `wait_s` seconds: too long to hold it."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


@dataclass(slots=True, eq=False)
class Entry:
    """An envelope from the lane's queue, or without `delivery`, from the spool."""

    envelope: Envelope
    delivery: Delivery | None
    received_at: float
    alone: bool = False


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What all conversations of a lane share. `acknowledge` acks a delivery once its outcome is stored.

    `finished` is called when a message has come to its end, `stepped` when anything happens. `facts` are what log lines
    say of the lane.
    """

    deliver: Callable[[Envelope, Turn], Awaitable[Done]]
    give_up: Callable[[Envelope, Rejected], Awaitable[Done]]
    acknowledge: Callable[[Delivery, Done], None]
    finished: Callable[[], None]
    stepped: Callable[[], None]
    spool: LaneSpool
    interrupted: asyncio.Event
    faults: Counter[str]
    facts: dict[str, str]


class ConversationQueue:
    """The envelopes of one conversation, in their order."""

    def __init__(self, name: str, parts: LaneParts, most_held: int) -> None:
        self._name = name
        self._parts = parts
        self._most_held = most_held
        self._entries: deque[Entry] = deque()
        self._shedding: asyncio.Task[None] | None = None
        self._is_waiting = False
        # Whether the spool may hold more of it than what is here.
        self.may_be_spooled = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the first envelope was accepted, in Unix seconds."""
        return self._entries[0].envelope.accepted_at if self._entries else None

    def add(self, envelope: Envelope, delivery: Delivery) -> None:
        """Take a delivery from the lane's queue."""
        self._entries.append(Entry(envelope, delivery, time.monotonic()))
        if self._is_waiting:
            self._shed_if(len(self._held_behind()) > self._most_held)

    async def serve(self) -> None:
        """Deliver until nothing is left or the lane is given back; raises LaneHeld when all of it must wait."""
        while not self._parts.interrupted.is_set():
            self._parts.stepped()
            if self._shedding is not None:
                await asyncio.wait([self._shedding])
            if not self._entries and not await self._fill():
                return
            entry = self._entries[0]
            try:
                done = await self._deliver(entry)
            except OlderFirst as older:
                await self._give_way(entry, older.due_in_s)
            except Parked as parked:
                await self._park(parked.wait_s)
            except Interrupted:
                return
            else:
                await self._finish(entry, done)

    async def pause(self, entry: Entry, wait_s: float, *, may_park: bool) -> None:
        """Wait in place, or raise Parked, Interrupted or LaneHeld."""
        self._parts.stepped()
        until_s = time.monotonic() + wait_s
        if may_park:
            held_until_s = entry.received_at if entry.delivery is not None else time.monotonic()
            if until_s - held_until_s > PARK_AFTER_S:
                raise Parked(wait_s)
            behind = self._held_behind()
            too_many = wait_s > SHED_AFTER_S and len(behind) > self._most_held
            self._shed_if(too_many or any(until_s - each.received_at > PARK_AFTER_S for each in behind))
        elif entry.delivery is not None and until_s - entry.received_at > HELD_AT_MOST_S:
            raise LaneHeld("what is needed to deliver has been away for minutes", AFTER_FAULT_S)
        self._is_waiting = may_park and wait_s > SHED_AFTER_S
        try:
            await asyncio.wait_for(self._parts.interrupted.wait(), wait_s)
        except TimeoutError:
            return
        finally:
            self._is_waiting = False
        raise Interrupted

    async def _deliver(self, entry: Entry) -> Done:
        try:
            return await self._parts.deliver(entry.envelope, _EntryTurn(self, entry))
        except TrunklineError:
            raise
        except Exception as error:
            # Our own bug: the lane goes back as a whole, in order, rather than skip a message.
            facts = {"tenant": entry.envelope.tenant_id, "message_id": entry.envelope.message_id}
            log.exception("lane.failed", extra=facts)
            self._parts.faults[entry.envelope.message_id] += 1
            if self._parts.faults[entry.envelope.message_id] < FAULTS_AT_MOST:
                raise LaneHeld("an error of our own, see the log", AFTER_FAULT_S) from error
            words = f"it broke the code {FAULTS_AT_MOST} times: {type(error).__name__}"
            return await self._parts.give_up(entry.envelope, Rejected("poison", words))

    async def _fill(self) -> bool:
        """Take what the spool has of it; whether there is something."""
        if self.may_be_spooled:
            try:
                due = await self._parts.spool.due(self._name)
            except Unavailable as error:
                log.info("lane.spool_waits", extra={**self._parts.facts, "error": str(error)})
                due = []
            self.may_be_spooled = bool(due)
            self._put_first(due)
        return bool(self._entries)

    def _put_first(self, envelopes: Sequence[Envelope]) -> None:
        now = time.monotonic()
        self._entries.extendleft(Entry(envelope, None, now) for envelope in reversed(envelopes))

    async def _give_way(self, entry: Entry, due_in_s: float | None) -> None:
        """Something older goes first: from the spool if it is there, else it has yet to come from the queue."""
        try:
            if due_in_s is not None and due_in_s > 0:
                await self._park(due_in_s)
            elif due_in_s is not None:
                self._drop_spooled()
                self.may_be_spooled = True
                self._put_first(await self._parts.spool.due(self._name))
            elif not entry.alone and await self._nothing_comes():
                entry.alone = True
            else:
                self._drop_spooled()  # it is offered again within a second
                self.may_be_spooled = False
        except Unavailable as error:
            log.info("lane.spool_waits", extra={**self._parts.facts, "error": str(error)})
            await self._rest()

    async def _nothing_comes(self) -> bool:
        """Whether the queue has nothing of this conversation. What it has just given out may still be on its way."""
        for _ in range(2):
            if self._held() or not await self._parts.spool.queue_is_empty():
                return False
            await self._rest()
        return not self._held() and not self._parts.interrupted.is_set()

    async def _park(self, wait_s: float) -> None:
        """Let go of everything here for `wait_s`."""
        entries = list(self._entries)
        try:
            await self._parts.spool.park([each.envelope for each in entries], wait_s)
        except Unavailable as error:
            log.info("lane.spool_waits", extra={**self._parts.facts, "error": str(error)})
            await self._rest()
            return
        self._take_off(entries)
        self.may_be_spooled = False

    def _shed_if(self, needed: bool) -> None:
        if needed and self._shedding is None:
            self._shedding = asyncio.ensure_future(self._shed())

    async def _shed(self) -> None:
        """Park what is held behind the first, which goes on."""
        try:
            entries = self._held_behind()
            await self._parts.spool.park([each.envelope for each in entries], 0.0)
        except Unavailable as error:
            log.info("lane.spool_waits", extra={**self._parts.facts, "error": str(error)})
        else:
            self._take_off(entries)
            self.may_be_spooled = True
        finally:
            self._shedding = None

    def _take_off(self, entries: Sequence[Entry]) -> None:
        gone = set(entries)
        self._entries = deque(each for each in self._entries if each not in gone)
        for each in entries:
            if each.delivery is not None:
                self._parts.acknowledge(each.delivery, Done())

    async def _finish(self, entry: Entry, done: Done) -> None:
        self._parts.faults.pop(entry.envelope.message_id, None)
        self._parts.finished()
        if entry.delivery is not None:
            self._entries.popleft()
            self._parts.acknowledge(entry.delivery, done)
            return
        if done.stored is not None:
            await asyncio.wait([done.stored])
            if done.stored.cancelled() or done.stored.exception() is not None:
                raise LaneHeld("an outcome cannot be stored, see the log", AFTER_FAULT_S)
        try:
            await self._parts.spool.remove(entry.envelope)
        except Unavailable as error:
            # It is tried again, and found settled.
            log.info("lane.spool_waits", extra={**self._parts.facts, "error": str(error)})
            await self._rest()
            return
        self._entries.popleft()

    def _held(self) -> list[Entry]:
        return [each for each in self._entries if each.delivery is not None]

    def _held_behind(self) -> list[Entry]:
        first = self._entries[0] if self._entries else None
        return [each for each in self._held() if each is not first]

    def _drop_spooled(self) -> None:
        self._entries = deque(self._held())

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._parts.interrupted.wait(), ASK_AGAIN_S)
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True)
class _EntryTurn:
    """An entry's turn."""

    queue: ConversationQueue
    entry: Entry

    @property
    def spooled(self) -> bool:
        """Whether it comes from the spool."""
        return self.entry.delivery is None

    @property
    def alone(self) -> bool:
        """Whether nothing older of its conversation can be in its queue."""
        return self.entry.alone

    @property
    def redelivered(self) -> bool:
        """Whether somebody had it before."""
        return self.entry.delivery is not None and self.entry.delivery.redelivered

    async def pause(self, wait_s: float, *, may_park: bool = True) -> None:
        """Wait in place, or park the conversation."""
        await self.queue.pause(self.entry, wait_s, may_park=may_park)
