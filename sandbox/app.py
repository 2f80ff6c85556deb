"""The sandbox as one application: both clouds with their faults, and the control API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from sandbox.accounts import Accounts
from sandbox.calls import Call, Outcome, SimulatedCloud
from sandbox.control import Control, InFlight, Parts
from sandbox.conversations import Conversations
from sandbox.events import Event, EventLog
from sandbox.faults import Faults, Plan
from sandbox.genesys import GenesysCloud
from sandbox.graph import GraphApi
from sandbox.http import Exchange, Response
from sandbox.limits import Limiters
from sandbox.meta_app import MetaApp
from sandbox.senders import Senders
from sandbox.statuses import StatusFeed
from sandbox.tokens import Tokens
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

    def serve(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer now, or give back what will."""
        request = exchange.request
        if request.path.startswith("/genesys/"):
            return self._call(self.parts.genesys, exchange)
        if request.path.startswith("/graph/"):
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
        try:
            self._answer(call, cloud.answer(call), exchange)
        finally:
            self._in_flight.end()
        return None

    async def _misbehave(self, cloud: SimulatedCloud, call: Call, plan: Plan, exchange: Exchange) -> None:
        try:
            if plan.hang:
                self._record(call, NO_STATUS, "hang", lost=True)
                await exchange.gone()
                return
            outcome = _outcome(cloud, call, plan)
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
            self._in_flight.end()

    def _answer(self, call: Call, outcome: Outcome, exchange: Exchange) -> None:
        event = self._record(call, outcome.response.status, outcome.code)
        _write(exchange, outcome, event)
        if outcome.then is not None:
            outcome.then()

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
    tokens_path: Path | None = None,
) -> Sandbox:
    """The sandbox over these accounts; `post` and `get` reach the router, tokens are kept at `tokens_path`."""
    log, faults, limiters, conversations = EventLog(), Faults(now), Limiters(), Conversations()
    sender = WebhookSender(post, log, faults, sleep)
    statuses = StatusFeed(sender, faults, meta_app.secret_of)
    graph = GraphApi(accounts, conversations, limiters, statuses, now)
    genesys = GenesysCloud(accounts, conversations, limiters, faults, sender.send_soon, Tokens(tokens_path, now), now)
    senders = Senders(sender, conversations, limiters, faults, meta_app)
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
    )

    async def close() -> None:
        await statuses.close()
        await sender.close()

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
    return outcome


def _write(exchange: Exchange, outcome: Outcome, event: Event) -> None:
    exchange.answer(outcome.response)
    event.latency_ms = round((time.monotonic_ns() - exchange.request.arrived_ns) / 1e6, 3)
