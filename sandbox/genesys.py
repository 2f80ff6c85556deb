"""The simulated Genesys Cloud: OAuth, and the Open Messaging endpoints that take what customers write."""

from __future__ import annotations

import base64
import binascii
import math
import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from sandbox.accounts import Account, Accounts
from sandbox.calls import Call, Outcome, as_dict, as_text
from sandbox.conversations import Conversations
from sandbox.faults import Faults
from sandbox.genesys_rules import CHECKS, BadBody
from sandbox.http import Headers, Request, Response, json_response
from sandbox.limits import Limiters
from sandbox.payloads import correlation_id, genesys_id, published_receipt, sign_genesys
from sandbox.tokens import Tokens
from sandbox.webhooks import Item, Webhook

TOKEN_PATH = "/genesys/login/oauth/token"
INBOUND = re.compile(r"^/genesys/api/api/v2/conversations/messages/([^/]+)/inbound/open/(message|receipt|event)$")
TOKEN_TTL_S = 86_399
WEBHOOK_PATH = "/webhook/genesys"

# status: (code, message)
ERRORS: dict[int, tuple[str, str]] = {
    400: ("bad.request", "The request could not be understood by the server due to malformed syntax."),
    401: ("bad.credentials", "Invalid login credentials."),
    403: (
        "missing.permissions",
        "Unable to perform the requested action. You are missing the following permission(s): "
        "conversation:message:receive",
    ),
    404: ("not.found", "The requested resource was not found."),
    408: ("request.timeout", "The client did not produce a request within the server timeout limit."),
    409: ("conflict", "The request conflicts with the current state of the resource."),
    413: ("request.entity.too.large", "The request is over the size limit."),
    415: ("unsupported.media.type", "Unsupported Media Type - Unsupported or incorrect media type"),
    429: ("too.many.requests", "Rate limit exceeded the maximum. Retry the request in [{retry_after}] seconds"),
    500: ("internal.server.error", "The server encountered an unexpected condition."),
    502: ("bad.gateway", "Bad Gateway"),
    503: ("service.unavailable", "Service Unavailable"),
    504: ("authentication.request.timeout", "Authentication service timed out"),
}
RETRY_AFTER_S = 5


class GenesysCloud:
    """Genesys Cloud's login and API hosts."""

    def __init__(
        self,
        accounts: Accounts,
        conversations: Conversations,
        limiters: Limiters,
        faults: Faults,
        post: Callable[[Webhook], None],
        tokens: Tokens,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._limiters = limiters
        self._faults = faults
        self._post = post
        self._now = now
        self._tokens = tokens

    @property
    def live_tokens(self) -> int:
        """Number of tokens that still hold."""
        return self._tokens.live

    def revoke_tokens(self, tenant_id: str | None) -> None:
        """End the tokens of one tenant, or of all."""
        if tenant_id is None:
            self._tokens.revoke(None)
        elif (account := self._accounts.by_tenant.get(tenant_id)) is not None:
            self._tokens.revoke(account.genesys.client_id)

    def understand(self, request: Request) -> Call:
        """What the request is about; never fails."""
        if request.path == TOKEN_PATH:
            client, _ = _basic(request)
            return Call(request, "genesys", "token", client, self._accounts.by_client.get(client), id=client)
        found = INBOUND.match(request.path)
        if found is None or request.method != "POST":
            return Call(request, "genesys", "genesys_other", request.path)
        integration, what = found.groups()
        try:
            body = request.json()
        except ValueError:
            body = None
        shown = as_dict(body)
        channel = as_dict(shown.get("channel"))
        person = as_text(as_dict(channel.get("to" if what == "receipt" else "from")).get("id"))
        return Call(
            request,
            "genesys",
            f"genesys_{what}",
            integration,
            self._accounts.by_integration.get(integration),
            body,
            id=as_text(shown.get("id")) if what == "receipt" else as_text(channel.get("messageId")),
            conversation=f"{integration}|{person}",
            text=as_text(shown.get("status")) if what == "receipt" else as_text(shown.get("text")),
        )

    def answer(self, call: Call) -> Outcome:
        """The true answer, with all its effects but the webhooks."""
        if call.kind == "token":
            return self._issue_token(call)
        client = self._tokens.client_of(call.request.bearer())
        if client is None:
            return self._refuse(call, 401)
        caller = self._accounts.by_client.get(client)
        if caller is None:
            return self._refuse(call, 401)
        wait = self._limiters.genesys_client(client, caller.limits.genesys_requests_per_minute).take(self._now())
        if wait > 0:
            return Outcome(self.failure(429, None, wait), ERRORS[429][0])
        if call.account is None or call.account is not caller:
            return self._refuse(call, 404)
        if not call.request.header(b"content-type").lower().startswith("application/json"):
            return self._refuse(call, 415)
        return self._accept(call, caller)

    def failure(self, status: int, code: int | None, retry_after_s: float | None) -> Response:
        """An answer with this status in Genesys Cloud's own error shape."""
        if retry_after_s is None and status == 429:
            retry_after_s = RETRY_AFTER_S
        return _error(status, retry_after_s=retry_after_s)

    def _issue_token(self, call: Call) -> Outcome:
        request = call.request
        client, secret = _basic(request)
        form = parse_qs(request.body.decode("utf-8", "replace"))
        account = self._accounts.by_client.get(client)
        if request.method != "POST":
            return Outcome(_error(404), "not.found")
        if form.get("grant_type") != ["client_credentials"]:
            return _oauth_refusal(400, "unsupported_grant_type", "grant_type must be client_credentials")
        if account is None:
            return _oauth_refusal(400, "invalid_client", "client not found: invalid client_id")
        if not secrets.compare_digest(secret.encode(), account.genesys.client_secret.encode()):
            return _oauth_refusal(401, "invalid_client", "authentication failed")
        ttl: int = self._faults.switch("token_ttl_s", "genesys", account.tenant_id, "token") or TOKEN_TTL_S
        token = self._tokens.issue(client, ttl)
        return Outcome(json_response(200, {"access_token": token, "token_type": "bearer", "expires_in": ttl}))

    def _refuse(self, call: Call, status: int) -> Outcome:
        if status == 401 and not call.request.bearer():
            message = "No authentication bearer token specified in authorization header."
            return Outcome(_error(401, message, "authentication.required"), "authentication.required")
        return Outcome(_error(status), ERRORS[status][0])

    def _accept(self, call: Call, account: Account) -> Outcome:
        what = call.kind.removeprefix("genesys_")
        try:
            if call.body is None:
                raise BadBody("JSON validation failed: body is not valid JSON")
            CHECKS[what](call.body)
        except BadBody as bad:
            details = [{"errorCode": "bad.request", "fieldName": bad.field}] if bad.field else []
            return Outcome(_error(400, bad.message, details=details), "bad.request")
        if what == "message":
            return self._take_message(call, account)
        if what == "receipt":
            return self._take_receipt(call, account)
        return Outcome(_ok({"id": genesys_id(), "channel": _echo(call, account), "type": "Event"}))

    def _take_message(self, call: Call, account: Account) -> Outcome:
        body = call.body
        person = body["channel"]["from"]
        conversation = self._conversations.find_or_make(account, person["id"], person.get("nickname") or "")
        call.ref = genesys_id()
        # a repeated channel.messageId is shown a second time: nothing promises otherwise
        self._conversations.show(conversation.desktop, call.ref, "customer", call.text, "arrived")
        answer = {"id": call.ref, "channel": _echo(call, account), "type": "Text", "text": call.text}
        if not body.get("text"):
            del answer["text"]
        for name in ("content", "metadata"):
            if body.get(name):
                answer[name] = body[name]
        if call.request.query("prefetchConversationId") == "true":
            answer["conversationId"] = conversation.genesys_id
        then = None
        if self._faults.switch("agent_receipts", "genesys", account.tenant_id, call.kind):
            then = self._publisher(account, person, call)
        return Outcome(_ok(answer), then=then)

    def _publisher(self, account: Account, person: dict[str, Any], call: Call) -> Callable[[], None]:
        receipt = published_receipt(account, person, call.ref, call.id)
        signature = sign_genesys(account.genesys.webhook_secret, receipt)
        item = Item(call.ref, call.conversation, "Published")
        webhook = Webhook("genesys", "genesys_published", account.tenant_id, WEBHOOK_PATH, receipt, signature, (item,))
        return lambda: self._post(webhook)

    def _take_receipt(self, call: Call, account: Account) -> Outcome:
        body = call.body
        answer: dict[str, Any] = {
            "id": body["id"],
            "channel": _echo(call, account),
            "type": "Receipt",
            "status": body["status"],
            "isFinalReceipt": body.get("isFinalReceipt", True),
            "direction": "Outbound",
        }
        message = self._conversations.message(body["id"])
        if message is None:
            answer["status"] = "Failed"
            answer["reasons"] = [{"code": "UnknownMessage", "message": "The message does not exist"}]
            return Outcome(_ok(answer), "unknown.message")
        message.state = body["status"].lower()
        return Outcome(_ok(answer))


def _echo(call: Call, account: Account) -> dict[str, Any]:
    integration = account.genesys.integration_id
    given = call.body["channel"]
    channel: dict[str, Any] = {"id": integration, "platform": "Open", "type": "Private"}
    channel |= {name: given[name] for name in ("messageId", "to", "from", "time", "metadata") if name in given}
    if "to" not in given:
        channel["to"] = {"id": integration}
    return channel


def _ok(answer: dict[str, Any]) -> Response:
    return json_response(200, answer, _correlation())


def _correlation() -> Headers:
    return ((b"inin-correlation-id", correlation_id().encode()),)


def _error(
    status: int,
    message: str | None = None,
    code: str | None = None,
    details: list[dict[str, str]] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    usual_code, usual_message = ERRORS.get(status, ERRORS[500] if status >= 500 else ERRORS[400])
    headers = _correlation()
    if retry_after_s is not None:
        seconds = math.ceil(retry_after_s)
        headers = (*headers, (b"retry-after", b"%d" % seconds))
        usual_message = usual_message.replace("{retry_after}", str(seconds))
    body = {
        "message": message or usual_message,
        "code": code or usual_code,
        "status": status,
        "messageParams": {},
        "contextId": correlation_id(),
        "details": details or [],
        "errors": [],
    }
    return json_response(status, body, headers)


def _oauth_refusal(status: int, error: str, why: str) -> Outcome:
    return Outcome(json_response(status, {"error": error, "description": why, "error_description": why}), error)


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.header(b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret
