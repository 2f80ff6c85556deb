"""The sandbox as one application: both clouds with their faults, and the control API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from sandbox.accounts import Accounts
from sandbox.agents import Agents
from sandbox.attachments import Attachments
from sandbox.calls import Call, Outcome, SimulatedCloud
from sandbox.control import Control
from sandbox.conversations import Conversations
from sandbox.customers import Customers
from sandbox.events import Event, EventLog
from sandbox.faults import Faults, Plan
from sandbox.fetches import Fetch, InboundFiles
from sandbox.files import Files
from sandbox.genesys import GenesysCloud
from sandbox.graph import GraphApi
from sandbox.graph_media import LINK_PREFIX, UPLOAD, GraphMedia
from sandbox.http import Exchange, Response
from sandbox.limits import Limiters
from sandbox.media import MediaLibrary
from sandbox.meta_app import MetaApp
from sandbox.parts import InFlight, Parts
from sandbox.senders import Senders
from sandbox.statuses import StatusFeed
from sandbox.streams import cut_off, slowed
from sandbox.templates import Templates
from sandbox.tokens import Tokens
from sandbox.uploads import Upload
from sandbox.webhooks import Get, Post, WebhookSender

GARBAGE = b"<html><body>Bad Gateway</body></html>"
NO_STATUS = 0  # recorded for a call that is never answered


class Sandbox:
    """Routes each request to its cloud, applies the faults in force, and logs what happened."""

    def __init__(self, parts: Parts, close: Callable[[], Awaitable[None]]) -> None:
        self.parts = parts
        self._close = close
        self._control = Control(parts)
        self._log = parts.log
        self._faults = parts.faults
        self._in_flight = parts.in_flight

    def upload(self, method: str, path: str, content_type: str) -> Upload | None:
        """What takes the body of this request piece by piece; None if it is small and goes into memory."""
        if method != "POST" or UPLOAD.match(path) is None:
            return None
        return Upload(content_type, self.parts.files)

    def serve(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer now, or give back what will."""
        request = exchange.request
        if request.path.startswith("/genesys/"):
            return self._call(self.parts.genesys, exchange)
        if request.path.startswith(("/graph/", LINK_PREFIX)):
            return self._call(self.parts.graph, exchange)
        return self._operate(exchange)

    async def close(self) -> None:
        """Stop sending."""
        await self._close()

    async def _operate(self, exchange: Exchange) -> None:
        exchange.answer(await self._control.answer(exchange.request))

    def _call(self, cloud: SimulatedCloud, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        call = cloud.understand(exchange.request)
        plan = self._faults.plan(call.cloud, call.tenant_id, call.kind)
        self._in_flight.begin()
        if plan is not None:
            return self._misbehave(cloud, call, plan, exchange)
        later: Coroutine[Any, Any, None] | None = None
        try:
            outcome = cloud.answer(call)
            if outcome.before is not None:
                later = self._answer_after(outcome.before(), call, outcome, exchange)
            else:
                self._answer(call, outcome, exchange)
        finally:
            if later is None:
                self._end(exchange)
        return later

    async def _answer_after(self, before: Awaitable[None], call: Call, outcome: Outcome, exchange: Exchange) -> None:
        try:
            await before
            self._answer(call, outcome, exchange)
        finally:
            self._end(exchange)

    async def _misbehave(self, cloud: SimulatedCloud, call: Call, plan: Plan, exchange: Exchange) -> None:
        try:
            if plan.hang:
                self._record(call, NO_STATUS, "hang", lost=True)
                await exchange.gone()
                return
            outcome = _outcome(cloud, call, plan)
            if outcome.before is not None:
                await outcome.before()
            lost = plan.lose and outcome.response.status < 300
            event = self._record(call, outcome.response.status, "lost" if lost else outcome.code, lost)
            await asyncio.sleep(plan.delay_s)
            if lost:
                exchange.drop()
            else:
                _write(exchange, outcome, event)
            if outcome.then is not None:
                outcome.then()
        finally:
            self._end(exchange)

    def _answer(self, call: Call, outcome: Outcome, exchange: Exchange) -> None:
        event = self._record(call, outcome.response.status, outcome.code)
        _write(exchange, outcome, event)
        if outcome.then is not None:
            outcome.then()

    def _end(self, exchange: Exchange) -> None:
        self._in_flight.end()
        if exchange.request.upload is not None:
            exchange.request.upload.abandon()

    def _record(self, call: Call, status: int, code: str, lost: bool = False) -> Event:
        request = call.request
        return self._log.add(
            call.cloud,
            "in",
            call.kind,
            at=request.arrived_at,
            mono_ns=request.arrived_ns,
            tenant=call.tenant_id,
            id=call.id,
            ref=call.ref,
            conversation=call.conversation,
            text=call.text,
            status=status,
            code=code,
            lost=lost,
            body=b"" if call.kind == "token" else request.body,
        )


def build_sandbox(
    accounts: Accounts,
    meta_app: MetaApp,
    post: Post,
    get: Get,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    now: Callable[[], float] = time.monotonic,
    *,
    fetch: Fetch,
    url: str,
    folder: Path,
    tokens_path: Path | None = None,
) -> Sandbox:
    """The sandbox over these accounts, to be found at `url`; `post` and `get` reach the router, `fetch` its files.

    Tokens are kept at `tokens_path`, files in `folder` until the end.
    """
    log, faults, limiters, conversations = EventLog(), Faults(now), Limiters(), Conversations()
    files, library, templates = Files(folder), MediaLibrary(now), Templates()
    sender = WebhookSender(post, log, faults, sleep)
    statuses = StatusFeed(sender, faults, meta_app.secret_of)
    graph_media = GraphMedia(accounts, library, url)
    graph = GraphApi(accounts, conversations, limiters, statuses, graph_media, templates, now)
    inbound_files, attachments = InboundFiles(fetch, log, sender.send_soon), Attachments(files, url)
    genesys = GenesysCloud(
        accounts, conversations, limiters, faults, inbound_files, attachments, Tokens(tokens_path, now), now
    )
    customers = Customers(conversations, limiters, meta_app, files, library, graph_media)
    senders = Senders(sender, conversations, faults, customers, Agents(conversations, attachments))
    parts = Parts(
        accounts,
        conversations,
        limiters,
        faults,
        log,
        graph,
        genesys,
        sender,
        senders,
        meta_app,
        get,
        InFlight(),
        statuses,
        files,
        library,
        attachments,
        templates,
    )

    async def close() -> None:
        await statuses.close()
        await inbound_files.close()
        await sender.close()
        files.close()

    return Sandbox(parts, close)


def _outcome(cloud: SimulatedCloud, call: Call, plan: Plan) -> Outcome:
    """What the cloud answers under this plan; refusals on purpose leave nothing done."""
    if plan.fail_status is not None:
        return Outcome(cloud.failure(plan.fail_status, plan.fail_code, plan.retry_after_s), "fault")
    if plan.garbage is not None and plan.garbage >= 400:
        return Outcome(Response(plan.garbage, GARBAGE, b"text/html"), "garbage")
    outcome = cloud.answer(call)
    if plan.garbage is not None and outcome.response.status < 300:
        outcome.response = Response(plan.garbage, GARBAGE, b"text/html")
    response = outcome.response
    if response.stream is not None and plan.bytes_per_s is not None:
        response.stream = slowed(response.stream, plan.bytes_per_s)
    if response.stream is not None and plan.cut_body:
        response.stream = cut_off(response.stream)
    return outcome


def _write(exchange: Exchange, outcome: Outcome, event: Event) -> None:
    exchange.answer(outcome.response)
    event.latency_ms = round((time.monotonic_ns() - exchange.request.arrived_ns) / 1e6, 3)
