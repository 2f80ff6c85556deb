"""The control and observation API under /sandbox/: accounts, sending, the log, the faults."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sandbox.accounts import Account, Accounts, Taken
from sandbox.conversations import Conversations
from sandbox.events import Event, EventLog
from sandbox.faults import Faults, Switches
from sandbox.genesys import GenesysCloud
from sandbox.graph import GraphApi
from sandbox.http import Request, Response, json_response
from sandbox.limits import Limiters
from sandbox.meta_app import MetaApp
from sandbox.senders import Senders, SendOrder
from sandbox.statuses import whatsapp_path
from sandbox.webhooks import Get, WebhookSender

LONGEST_WAIT_MS = 60_000
EVENTS_AT_ONCE = 10_000
EVENT_FILTERS = ("kind", "side", "direction", "conversation", "tenantId")

ROUTES_HELP = {
    "GET /sandbox/health": "is it up",
    "GET, POST /sandbox/accounts": "the accounts both clouds know",
    "POST /sandbox/send": "write as a customer or as an agent",
    "POST /sandbox/handshake": "verify the router's webhook as Meta does",
    "GET /sandbox/events": "what arrived and left: since, id, kind, conversation, wait (ms), bodies",
    "GET /sandbox/records": "the same as compact JSON lines: since, kind",
    "GET /sandbox/stats": "counters",
    "GET /sandbox/conversations?tenantId=": "what the phone and the desktop show",
    "GET, POST /sandbox/faults": "fault switches",
    "POST /sandbox/reset": "forget events, conversations and use of limits",
    "/graph/v25.0/…": "the simulated Graph API",
    "/genesys/login/…, /genesys/api/…": "the simulated Genesys Cloud",
}


class BadRequest(Exception):
    """The control request cannot be understood; `details` say why."""

    def __init__(self, error: str, details: Any = None) -> None:
        super().__init__(error, details)
        self.error = error
        self.details = details


class NoSuchTenant(Exception):
    """No account of this tenant is registered."""


@dataclass(slots=True)
class InFlight:
    """Calls of the router under way."""

    now: int = 0
    most: int = 0

    def begin(self) -> None:
        """A call has come."""
        self.now += 1
        self.most = max(self.most, self.now)

    def end(self) -> None:
        """A call was answered."""
        self.now -= 1


@dataclass(frozen=True, slots=True)
class Parts:
    """What the control API observes and turns."""

    accounts: Accounts
    conversations: Conversations
    limiters: Limiters
    faults: Faults
    log: EventLog
    graph: GraphApi
    genesys: GenesysCloud
    sender: WebhookSender
    senders: Senders
    meta_app: MetaApp
    get: Get
    in_flight: InFlight


class Control:
    """Answers under /sandbox/ and at the root."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = time.time()
        self._routes: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", "/"): self._index,
            ("GET", "/sandbox/health"): self._health,
            ("GET", "/sandbox/accounts"): self._list_accounts,
            ("POST", "/sandbox/accounts"): self._put_accounts,
            ("POST", "/sandbox/send"): self._send,
            ("POST", "/sandbox/handshake"): self._handshake,
            ("GET", "/sandbox/events"): self._events,
            ("GET", "/sandbox/records"): self._records,
            ("GET", "/sandbox/stats"): self._stats,
            ("GET", "/sandbox/conversations"): self._list_conversations,
            ("GET", "/sandbox/faults"): self._show_faults,
            ("POST", "/sandbox/faults"): self._set_faults,
            ("POST", "/sandbox/reset"): self._reset,
        }

    async def answer(self, request: Request) -> Response:
        """The answer to a control request."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            return json_response(404, {"error": "No such path", "paths": ROUTES_HELP})
        try:
            return await route(request)
        except NoSuchTenant as unknown:
            return json_response(404, {"error": f"No account of tenant {unknown} is registered"})
        except BadRequest as bad:
            return json_response(400, {"error": bad.error, "details": bad.details})
        except ValidationError as bad:
            details = [{"field": ".".join(map(str, each["loc"])), "error": each["msg"]} for each in bad.errors()]
            return json_response(400, {"error": "Invalid body", "details": details})

    async def _index(self, request: Request) -> Response:
        return json_response(200, {"service": "sandbox", "paths": ROUTES_HELP})

    async def _health(self, request: Request) -> Response:
        return json_response(200, {"status": "healthy", "accounts": len(self._parts.accounts.by_tenant)})

    async def _list_accounts(self, request: Request) -> Response:
        secret = {"access_token", "app_secret", "verify_token", "genesys"}
        accounts = [
            {
                **each.model_dump(by_alias=True, exclude=secret),
                "genesys": each.genesys.model_dump(by_alias=True, exclude={"client_secret", "webhook_secret"}),
            }
            for each in self._parts.accounts.by_tenant.values()
        ]
        return json_response(200, {"accounts": accounts})

    async def _put_accounts(self, request: Request) -> Response:
        data = _json(request)
        accounts = [Account.model_validate(each) for each in (data if isinstance(data, list) else [data])]
        try:
            new = self._parts.accounts.put(*accounts)
        except Taken as taken:
            return json_response(409, {"error": str(taken)})
        return json_response(201 if new else 200, {"tenants": [each.tenant_id for each in accounts], "new": new})

    async def _send(self, request: Request) -> Response:
        order = SendOrder.model_validate(_json(request))
        account = self._account(order.tenantId)
        since = self._parts.log.last_seq
        return json_response(200, {**await self._parts.senders.send(account, order), "since": since})

    async def _handshake(self, request: Request) -> Response:
        account = self._account(str(_object(_json(request)).get("tenantId", "")))
        challenge = str(secrets.randbelow(10**10))
        query = {
            "hub.mode": "subscribe",
            "hub.challenge": challenge,
            "hub.verify_token": self._parts.meta_app.verify_token_of(account),
        }
        status, text = await self._parts.get(whatsapp_path(account), query)
        return json_response(200, {"verified": status == 200 and text == challenge, "status": status})

    async def _events(self, request: Request) -> Response:
        since = _number(request, "since", 0)
        deadline = time.monotonic() + min(_number(request, "wait", 0), LONGEST_WAIT_MS) / 1000
        wanted = _filter(request)
        log = self._parts.log
        seen = since
        while not any(True for _ in log.since(seen, wanted)):
            seen = max(seen, log.last_seq)
            left = deadline - time.monotonic()
            if left <= 0 or not await log.wait(left):
                break
        bodies = request.query("bodies") in ("1", "true")
        found = [event.as_json(bodies) for event in log.since(since, wanted)][:EVENTS_AT_ONCE]
        return json_response(
            200, {"events": found, "lastSeq": found[-1]["seq"] if found else log.last_seq, "firstSeq": log.first_seq}
        )

    async def _records(self, request: Request) -> Response:
        lines = [event.as_record() for event in self._parts.log.since(_number(request, "since", 0), _filter(request))]
        return Response(200, b"\n".join([*lines, b""]), b"application/x-ndjson")

    async def _stats(self, request: Request) -> Response:
        parts = self._parts
        return json_response(
            200,
            {
                "startedAt": round(self._started * 1000, 3),
                "counts": dict(sorted(parts.log.counts.items())),
                "lastSeq": parts.log.last_seq,
                "firstSeq": parts.log.first_seq,
                "inFlight": parts.in_flight.now,
                "maxInFlight": parts.in_flight.most,
                "webhooksPending": parts.sender.pending,
                "tokensLive": parts.genesys.live_tokens,
            },
        )

    async def _list_conversations(self, request: Request) -> Response:
        account = self._account(request.query("tenantId"))
        found = self._parts.conversations.of_tenant(account.tenant_id)
        return json_response(200, {"conversations": [each.as_json() for each in found]})

    async def _show_faults(self, request: Request) -> Response:
        return json_response(200, {"faults": self._parts.faults.shown()})

    async def _set_faults(self, request: Request) -> Response:
        data = dict(_object(_json(request)))
        clear, expire = data.pop("clear", False), data.pop("expire_tokens", False)
        revoke = data.pop("revoke_tokens", False)
        switches = Switches.model_validate(data)
        if clear:
            self._parts.faults.clear(switches)
            self._parts.graph.restore_tokens()
        else:
            self._parts.faults.set(switches)
        if expire or revoke:
            self._end_tokens(switches)
        return await self._show_faults(request)

    def _end_tokens(self, switches: Switches) -> None:
        """Genesys' tokens unless Meta is named: Meta's do not come back by asking for a fresh one."""
        if switches.cloud == "meta":
            self._parts.graph.expire_tokens(switches.tenantId)
        else:
            self._parts.genesys.revoke_tokens(switches.tenantId)

    async def _reset(self, request: Request) -> Response:
        parts = self._parts
        parts.log.clear()
        parts.conversations.clear()
        parts.limiters.clear()
        parts.in_flight.most = parts.in_flight.now
        return json_response(200, {"lastSeq": parts.log.last_seq})

    def _account(self, tenant_id: str) -> Account:
        account = self._parts.accounts.by_tenant.get(tenant_id)
        if account is None:
            raise NoSuchTenant(tenant_id)
        return account


def _filter(request: Request) -> Callable[[Event], bool] | None:
    id = request.query("id")
    given = [(name.removesuffix("Id"), request.query(name)) for name in EVENT_FILTERS if request.query(name)]
    if not id and not given:
        return None
    return lambda event: (
        (not id or id in (event.id, event.ref)) and all(getattr(event, name) == value for name, value in given)
    )


def _json(request: Request) -> Any:
    try:
        return request.json()
    except ValueError:
        raise BadRequest("The body is not JSON") from None


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BadRequest("The body is not a JSON object")
    return data


def _number(request: Request, name: str, default: int) -> int:
    try:
        return int(request.query(name, str(default)))
    except ValueError:
        raise BadRequest(f"{name} is not a number") from None
