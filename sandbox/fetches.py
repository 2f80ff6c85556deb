"""Genesys Cloud fetches what customers attached, without credentials, and says when it could not."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from sandbox.accounts import Account
from sandbox.events import EventLog
from sandbox.payloads import inbound_receipt, sign_genesys
from sandbox.webhooks import Item, Webhook

LARGEST = 25 * 1024 * 1024
WITHIN_S = 60.0
PIECE = 65_536
NO_ANSWER = 0
WEBHOOK_PATH = "/webhook/genesys"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a GET; `problem` is empty if the file is good."""

    status: int
    content_type: str | None = None
    content_length: int | None = None
    disposition: str | None = None
    size: int = 0
    sha256: str = ""
    problem: str = ""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The file as the observation API shows it."""
        return {
            "status": self.status,
            "contentType": self.content_type,
            "contentLength": self.content_length,
            "disposition": self.disposition,
            "size": self.size,
            "sha256": self.sha256,
            "problem": self.problem,
        }


Fetch = Callable[[str], Awaitable[Fetched]]


class HttpFetch:
    """GETs over one session: no credentials, no redirects, no more than Genesys Cloud takes."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, url: str) -> Fetched:
        """Fetch a file to its end, keeping none of it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=WITHIN_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                found = Fetched(
                    answer.status,
                    answer.headers.get("Content-Type"),
                    answer.content_length,
                    answer.headers.get("Content-Disposition"),
                )
                return await _read(answer, found)
        except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as error:
            return Fetched(NO_ANSWER, problem=f"no answer ({type(error).__name__})", reason="GeneralError")

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _read(answer: aiohttp.ClientResponse, found: Fetched) -> Fetched:
    if found.status != 200:
        return replace(found, problem=f"HTTP {found.status}", reason="GeneralError")
    digest, size = hashlib.sha256(), 0
    async for piece in answer.content.iter_chunked(PIECE):
        digest.update(piece)
        size += len(piece)
        if size > LARGEST:
            return replace(found, size=size, problem="larger than 25 MB", reason="InvalidMediaContentLength")
    return replace(found, size=size, sha256=digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of a customer in which there are attachments, or of which is told that it was published."""

    account: Account
    customer: dict[str, Any]
    genesys_id: str
    message_id: str
    conversation: str
    files: list[dict[str, Any]]  # what the desktop shows; what was fetched is added under `fetched`
    publish: bool


class InboundFiles:
    """Fetches the attachments of each message in the background, then posts its receipt."""

    def __init__(self, fetch: Fetch, log: EventLog, post: Callable[[Webhook], None]) -> None:
        self._fetch = fetch
        self._log = log
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, arrived: Arrived) -> None:
        """Begin."""
        task = asyncio.get_running_loop().create_task(self._take(arrived))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is still being fetched."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, arrived: Arrived) -> None:
        problems: list[dict[str, str]] = []
        for file in arrived.files:
            if file["mediaType"] != "Link":
                fetched = await self._fetch_one(arrived, file)
                if fetched.problem:
                    problems.append({"code": fetched.reason, "message": f"The attachment is {fetched.problem}"})
        if problems:
            self._report(arrived, "Failed", problems)
        elif arrived.publish:
            self._report(arrived, "Published", [])

    async def _fetch_one(self, arrived: Arrived, file: dict[str, Any]) -> Fetched:
        started = time.monotonic_ns()
        event = self._log.add(
            "genesys",
            "out",
            "genesys_fetch",
            tenant=arrived.account.tenant_id,
            id=arrived.message_id,
            ref=arrived.genesys_id,
            conversation=arrived.conversation,
        )
        fetched = await self._fetch(file["url"])
        event.text, event.code = fetched.sha256, fetched.problem
        file["fetched"] = fetched.as_json()
        self._log.answered(event, fetched.status, round((time.monotonic_ns() - started) / 1e6, 3))
        return fetched

    def _report(self, arrived: Arrived, status: str, reasons: list[dict[str, str]]) -> None:
        account = arrived.account
        body = inbound_receipt(account, arrived.customer, arrived.genesys_id, arrived.message_id, status, reasons)
        signature = sign_genesys(account.genesys.webhook_secret, body)
        item = Item(arrived.genesys_id, arrived.conversation, status)
        kind = f"genesys_{status.lower()}"
        self._post(Webhook("genesys", kind, account.tenant_id, WEBHOOK_PATH, body, signature, (item,)))
