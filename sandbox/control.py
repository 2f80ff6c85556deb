"""The control API under /sandbox/. Bodies and answers are JSON; what is asked of an unknown tenant is answered 404.

POST /sandbox/accounts    one account or a list of them: see `sandbox.accounts.Account`
POST /sandbox/send        {"as": "customer"|"agent", "tenantId", "customer"?, "name"?, "kind"?, "text"?, "content"?, …}:
                          kinds of customers in `sandbox.kinds`, of agents in `sandbox.agent_kinds`, files in
                          `sandbox.given_files`, all members in `sandbox.orders.SendOrder`
POST /sandbox/files       {"tenantId", …AgentFile}: a file that Genesys Cloud keeps -> {"url", "sha256", "size"}
POST /sandbox/statuses    {"tenantId", "id", "status", "code"?, "customer"?, "callbackData"?}: one status of any message
POST /sandbox/media       {"tenantId"?, "mediaId"?, "expire"?: "links"|"media", "linkLifetimeS"?}: end them -> {"ended"}
POST /sandbox/templates   {"tenantId", "only"?, "templates": [{"name", "languages", "header"?, "body"?, "buttons"?}]}
POST /sandbox/handshake   {"tenantId"}: verify the router's webhook as Meta does
POST /sandbox/faults      switches and their scope: `sandbox.faults.Switches`; or clear, expire_tokens, revoke_tokens
POST /sandbox/reset       forget events, conversations, files and use of limits
GET  /sandbox/…           health, accounts, faults, and what `sandbox.observation` shows
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from sandbox.accounts import Account, Taken
from sandbox.faults import Switches
from sandbox.file_control import FileControl
from sandbox.http import Request, Response, json_response
from sandbox.kinds import BadContent
from sandbox.observation import Observation
from sandbox.orders import SendOrder, StatusOrder
from sandbox.parts import NoSuchTenant, Parts
from sandbox.requests import BadRequest, json_body, json_object
from sandbox.senders import shown_attempt
from sandbox.statuses import whatsapp_path
from sandbox.templates import TenantTemplates

ROUTES_HELP = {
    "GET /sandbox/health": "is it up",
    "GET, POST /sandbox/accounts": "the accounts both clouds know",
    "POST /sandbox/send": "write as a customer or as an agent, any kind of message",
    "POST /sandbox/files": "put a file at a download URL of Genesys Cloud",
    "POST /sandbox/statuses": "one status of any message",
    "POST /sandbox/media": "end media, or the links to them",
    "POST /sandbox/templates": "the templates that a tenant has",
    "POST /sandbox/handshake": "verify the router's webhook as Meta does",
    "GET /sandbox/events": "what arrived and left: since, id, kind, conversation, wait (ms), bodies",
    "GET /sandbox/records": "the same as compact JSON lines: since, kind",
    "GET /sandbox/stats": "counters",
    "GET /sandbox/conversations?tenantId=": "what the phone and the desktop show: customer",
    "GET, POST /sandbox/faults": "fault switches",
    "POST /sandbox/reset": "forget events, conversations, files and use of limits",
    "/graph/v25.0/…": "the simulated Graph API",
    "/genesys/login/…, /genesys/api/…": "the simulated Genesys Cloud",
}


class Control:
    """Answers under /sandbox/ and at the root."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        seen, files = Observation(parts), FileControl(parts)
        self._routes: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", "/"): self._index,
            ("GET", "/sandbox/health"): self._health,
            ("GET", "/sandbox/accounts"): self._list_accounts,
            ("POST", "/sandbox/accounts"): self._put_accounts,
            ("POST", "/sandbox/send"): self._send,
            ("POST", "/sandbox/files"): files.put,
            ("POST", "/sandbox/media"): files.end_media,
            ("POST", "/sandbox/statuses"): self._report,
            ("POST", "/sandbox/templates"): self._put_templates,
            ("POST", "/sandbox/handshake"): self._handshake,
            ("GET", "/sandbox/events"): seen.events,
            ("GET", "/sandbox/records"): seen.records,
            ("GET", "/sandbox/stats"): seen.stats,
            ("GET", "/sandbox/conversations"): seen.conversations,
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
        except BadContent as bad_content:
            return json_response(400, {"error": str(bad_content)})
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
        data = json_body(request)
        accounts = [Account.model_validate(each) for each in (data if isinstance(data, list) else [data])]
        try:
            new = self._parts.accounts.put(*accounts)
        except Taken as taken:
            return json_response(409, {"error": str(taken)})
        return json_response(201 if new else 200, {"tenants": [each.tenant_id for each in accounts], "new": new})

    async def _send(self, request: Request) -> Response:
        order = SendOrder.model_validate(json_body(request))
        account = self._parts.account(order.tenantId)
        since = self._parts.log.last_seq
        return json_response(200, {**await self._parts.senders.send(account, order), "since": since})

    async def _report(self, request: Request) -> Response:
        order = StatusOrder.model_validate(json_body(request))
        account = self._parts.account(order.tenantId)
        sent = order.sent(account, self._parts.conversations)
        attempt = await self._parts.statuses.report_one(sent, order.status, order.code)
        return json_response(200, shown_attempt(attempt))

    async def _put_templates(self, request: Request) -> Response:
        given = TenantTemplates.model_validate(json_body(request))
        self._parts.account(given.tenantId)
        self._parts.templates.put(given)
        return json_response(200, given.model_dump())

    async def _handshake(self, request: Request) -> Response:
        account = self._parts.account(str(json_object(request).get("tenantId", "")))
        challenge = str(secrets.randbelow(10**10))
        query = {
            "hub.mode": "subscribe",
            "hub.challenge": challenge,
            "hub.verify_token": self._parts.meta_app.verify_token_of(account),
        }
        status, text = await self._parts.get(whatsapp_path(account), query)
        return json_response(200, {"verified": status == 200 and text == challenge, "status": status})

    async def _show_faults(self, request: Request) -> Response:
        return json_response(200, {"faults": self._parts.faults.shown()})

    async def _set_faults(self, request: Request) -> Response:
        data = dict(json_object(request))
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
        parts.library.expire(None)
        parts.attachments.clear()
        parts.limiters.clear()
        parts.in_flight.most = parts.in_flight.now
        return json_response(200, {"lastSeq": parts.log.last_seq})
