"""Sends the clouds' webhooks to the router, and repeats them as each cloud would."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from sandbox.events import Cloud, Event, EventLog
from sandbox.faults import Faults

# waits before each repeat: Meta goes on with decreasing frequency (here for a quarter of an hour), Genesys five times
META_WAITS_S: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 60, 60, 120, 120, 240, 240)
GENESYS_WAITS_S: tuple[float, ...] = (5,) * 5
ANSWER_WITHIN_S = 10.0
IN_FLIGHT = 100
DISORDER_S = 0.3
NO_ANSWER = 0

Post = Callable[[str, dict[str, str], bytes], Awaitable[int]]
Get = Callable[[str, dict[str, str]], Awaitable[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Item:
    """One message or status inside a webhook."""

    id: str
    conversation: str
    text: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A signed POST to the router."""

    cloud: Cloud
    kind: str
    tenant: str
    path: str
    body: bytes
    signature: str
    items: tuple[Item, ...]
    ended: Callable[[bool], None] | None = None  # told once whether the router took it at last


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the first POST of a webhook went."""

    left_at: float
    left_ns: int
    answered_at: float
    status: int
    repeating: bool

    @property
    def latency_ms(self) -> float:
        """Time until the answer."""
        return round((self.answered_at - self.left_at) * 1000, 3)


class HttpPost:
    """Calls the router over one session of kept connections."""

    def __init__(self, router: str) -> None:
        self._router = router.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The status of the answer to a POST, or NO_ANSWER."""
        try:
            async with self._open().post(self._router + path, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return NO_ANSWER

    async def get(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        """Status and text of the answer to a GET; NO_ANSWER and an empty text without one."""
        try:
            async with self._open().get(self._router + path, params=query) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return NO_ANSWER, ""

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
            )
        return self._session


class WebhookSender:
    """Sends webhooks; the first answer comes back to the caller, repeats go on behind."""

    def __init__(
        self,
        post: Post,
        log: EventLog,
        faults: Faults,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._post = post
        self._log = log
        self._faults = faults
        self._sleep = sleep
        self._free = asyncio.Semaphore(IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Webhooks that are being repeated, or wait for it, or are sent behind the scenes."""
        return len(self._tasks)

    async def send(self, webhook: Webhook) -> Attempt:
        """POST it, twice if so switched; the outcome of the first try."""
        if self._faults.switch("disordered_webhooks", webhook.cloud, webhook.tenant, webhook.kind):
            await self._sleep(random.uniform(0, DISORDER_S))
        if self._faults.switch("duplicate_webhooks", webhook.cloud, webhook.tenant, webhook.kind):
            first, _ = await asyncio.gather(self._first(webhook), self._first(webhook))
            return first
        return await self._first(webhook)

    def send_soon(self, webhook: Webhook) -> None:
        """Send it without waiting."""
        self._keep(asyncio.ensure_future(self._send_quietly(webhook)))

    async def close(self) -> None:
        """Give up what is still being repeated."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _send_quietly(self, webhook: Webhook) -> None:
        await self.send(webhook)

    async def _first(self, webhook: Webhook) -> Attempt:
        left_at, left_ns = time.time(), time.monotonic_ns()
        status = await self._attempt(webhook, 1)
        answered_at = left_at + (time.monotonic_ns() - left_ns) / 1e9
        repeating = is_repeated(webhook.cloud, status)
        if repeating:
            self._keep(asyncio.ensure_future(self._repeat(webhook)))
        else:
            _end(webhook, status)
        return Attempt(left_at, left_ns, answered_at, status, repeating)

    async def _repeat(self, webhook: Webhook) -> None:
        status = NO_ANSWER
        for number, wait_s in enumerate(waits_of(webhook.cloud), start=2):
            await self._sleep(wait_s)
            status = await self._attempt(webhook, number)
            if not is_repeated(webhook.cloud, status):
                break
        _end(webhook, status)

    async def _attempt(self, webhook: Webhook, number: int) -> int:
        async with self._free:
            started = time.monotonic_ns()
            events = self._note(webhook, number)
            headers = {"Content-Type": "application/json", "X-Hub-Signature-256": webhook.signature}
            status = await self._post(webhook.path, headers, webhook.body)
        latency_ms = round((time.monotonic_ns() - started) / 1e6, 3)
        for event in events:
            self._log.answered(event, status, latency_ms)
        return status

    def _note(self, webhook: Webhook, number: int) -> list[Event]:
        return [
            self._log.add(
                webhook.cloud,
                "out",
                webhook.kind,
                tenant=webhook.tenant,
                id=item.id,
                conversation=item.conversation,
                text=item.text,
                attempt=number,
                body=webhook.body,
            )
            for item in webhook.items
        ]

    def _keep(self, task: asyncio.Future[None]) -> None:
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def is_repeated(cloud: Cloud, status: int) -> bool:
    """Meta repeats whatever is not answered 200; Genesys after no answer, 429 or 5xx."""
    if cloud == "meta":
        return status != 200
    return status in (NO_ANSWER, 429) or status >= 500


def waits_of(cloud: Cloud) -> Sequence[float]:
    """Seconds to wait before each repeat."""
    return META_WAITS_S if cloud == "meta" else GENESYS_WAITS_S


def _end(webhook: Webhook, status: int) -> None:
    if webhook.ended is not None:
        webhook.ended(status == 200 if webhook.cloud == "meta" else 200 <= status < 300)
