"""The log of everything that arrived at the simulated clouds or left them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Cloud = Literal["meta", "genesys"]
Direction = Literal["in", "out"]

KEPT = 200_000
KEPT_BODIES = 2_000
TEXT_LENGTH = 64


@dataclass(slots=True, eq=False)
class Event:
    """One request that arrived (`in`) or one webhook that left (`out`); `status` is None while it is unanswered."""

    seq: int
    at: float  # Unix seconds
    mono_ns: int
    side: Cloud
    direction: Direction
    kind: str
    tenant: str
    id: str
    ref: str
    conversation: str
    text: str
    status: int | None
    code: str
    lost: bool
    attempt: int
    latency_ms: float | None
    body: bytes | None

    def as_json(self, with_body: bool = False) -> dict[str, Any]:
        """The event as the observation API shows it."""
        shown: dict[str, Any] = {
            "seq": self.seq,
            "at": round(self.at * 1000, 3),
            "monoNs": self.mono_ns,
            "side": self.side,
            "direction": self.direction,
            "kind": self.kind,
            "tenantId": self.tenant,
            "id": self.id,
            "ref": self.ref,
            "conversation": self.conversation,
            "text": self.text,
            "status": self.status,
            "code": self.code,
            "lost": self.lost,
            "attempt": self.attempt,
            "latencyMs": self.latency_ms,
        }
        if with_body:
            shown["body"] = None if self.body is None else self.body.decode("utf-8", "replace")
        return shown

    def as_record(self) -> bytes:
        """The event as one compact JSON line."""
        return orjson.dumps(
            {
                "seq": self.seq,
                "kind": self.kind,
                "mono_ns": self.mono_ns,
                "id": self.id,
                "conversation": self.conversation,
                "text": self.text,
                "status": self.status,
                "lost": self.lost,
            }
        )


class EventLog:
    """Events in the order of their sequence numbers, the newest KEPT of them; wakes who waits for more."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._events: list[Event] = []
        self._first = 1
        self._bodies: deque[Event] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self.counts: Counter[str] = Counter()

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest event; 0 before the first."""
        return self._first + len(self._events) - 1

    @property
    def first_seq(self) -> int:
        """Sequence number of the oldest event still kept."""
        return self._first

    def add(
        self,
        side: Cloud,
        direction: Direction,
        kind: str,
        *,
        at: float | None = None,
        mono_ns: int | None = None,
        tenant: str = "",
        id: str = "",
        ref: str = "",
        conversation: str = "",
        text: str = "",
        status: int | None = None,
        code: str = "",
        lost: bool = False,
        attempt: int = 1,
        body: bytes | None = None,
    ) -> Event:
        """Append an event; it is counted here when its status is known, by `answered` otherwise."""
        event = Event(
            self.last_seq + 1,
            time.time() if at is None else at,
            time.monotonic_ns() if mono_ns is None else mono_ns,
            side,
            direction,
            kind,
            tenant,
            id,
            ref,
            conversation,
            text[:TEXT_LENGTH],
            status,
            code,
            lost,
            attempt,
            None,
            body,
        )
        self._events.append(event)
        if len(self._events) > self._kept + self._kept // 4:
            self._drop(len(self._events) - self._kept)
        if body is not None:
            self._bodies.append(event)
            if len(self._bodies) > KEPT_BODIES:
                self._bodies.popleft().body = None
        if status is not None:
            self.counts[f"{kind}:{'lost' if lost else status}"] += 1
        self._wake()
        return event

    def answered(self, event: Event, status: int, latency_ms: float) -> None:
        """Note how a webhook that left was answered; 0 stands for no answer."""
        event.status = status
        event.latency_ms = latency_ms
        self.counts[f"{event.kind}:{status}"] += 1
        self._wake()

    def since(self, seq: int, wanted: Callable[[Event], bool] | None = None) -> Iterator[Event]:
        """Events after `seq` that are wanted, oldest first."""
        start = max(0, seq + 1 - self._first)
        newer = self._events[start:]
        return iter(newer) if wanted is None else filter(wanted, newer)

    async def wait(self, timeout_s: float) -> bool:
        """True when something was logged or answered within the time."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True

    def clear(self) -> None:
        """Forget all events and counts; sequence numbers go on."""
        self._first = self.last_seq + 1
        self._events.clear()
        self._bodies.clear()
        self.counts.clear()

    def _drop(self, number: int) -> None:
        del self._events[:number]
        self._first += number

    def _wake(self) -> None:
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
