"""The simulated Genesys Cloud: OAuth, and the Open Messaging endpoints that take what customers write."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from sandbox.accounts import Account, Accounts
from sandbox.attachments import PREFIX, Attachments
from sandbox.calls import Call, Outcome, as_dict, as_text
from sandbox.conversations import Conversations
from sandbox.faults import Faults
from sandbox.fetches import Arrived, InboundFiles
from sandbox.genesys_errors import ERRORS, error_outcome, error_response, ok_response
from sandbox.genesys_login import TOKEN_PATH, basic_credentials, issue_token
from sandbox.genesys_rules import CHECKS, BadBody
from sandbox.http import Request, Response
from sandbox.limits import Limiters
from sandbox.payloads import genesys_id
from sandbox.tokens import Tokens

INBOUND = re.compile(
    r"^/genesys/api/api/v2/conversations/messages/([^/]+)/inbound/open/(message|receipt|event|structured/response)$"
)
RETRY_AFTER_S = 5


class GenesysCloud:
    """Genesys Cloud's login and API hosts."""

    def __init__(
        self,
        accounts: Accounts,
        conversations: Conversations,
        limiters: Limiters,
        faults: Faults,
        inbound_files: InboundFiles,
        attachments: Attachments,
        tokens: Tokens,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._limiters = limiters
        self._faults = faults
        self._inbound_files = inbound_files
        self._attachments = attachments
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
            client, _ = basic_credentials(request)
            return Call(request, "genesys", "token", client, self._accounts.by_client.get(client), id=client)
        if request.path.startswith(PREFIX):
            return self._understand_download(request)
        found = INBOUND.match(request.path)
        if found is None or request.method != "POST":
            return Call(request, "genesys", "genesys_other", request.path)
        integration, what = found[1], found[2].rpartition("/")[2]
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
            text=_text_of(what, shown),
        )

    def _understand_download(self, request: Request) -> Call:
        kept = self._attachments.find(request.path)
        if kept is None:
            return Call(request, "genesys", "genesys_download", request.path)
        return Call(
            request,
            "genesys",
            "genesys_download",
            kept.account.genesys.integration_id,
            kept.account,
            id=kept.key,
            ref=kept.content.sha256,
            text="with bearer" if request.bearer() else "without bearer",
        )

    def answer(self, call: Call) -> Outcome:
        """The true answer, with all its effects but the webhooks."""
        if call.kind == "token":
            return issue_token(call, self._accounts, self._tokens, self._faults)
        client = self._tokens.client_of(call.request.bearer())
        caller = self._accounts.by_client.get(client) if client is not None else None
        if call.kind == "genesys_download":
            return self._attachments.download(call, caller)
        if client is None or caller is None:
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
        return error_response(status, retry_after_s=retry_after_s)

    def _refuse(self, call: Call, status: int) -> Outcome:
        if status == 401 and not call.request.bearer():
            message = "No authentication bearer token specified in authorization header."
            return Outcome(error_response(401, message, "authentication.required"), "authentication.required")
        return error_outcome(status)

    def _accept(self, call: Call, account: Account) -> Outcome:
        what = call.kind.removeprefix("genesys_")
        try:
            if call.body is None:
                raise BadBody("JSON validation failed: body is not valid JSON")
            CHECKS[what](call.body)
            if what == "response" and self._conversations.message(call.body["originatingMessageId"]) is None:
                raise BadBody("originatingMessageId names no message", "originatingMessageId")
        except BadBody as bad:
            details = [{"errorCode": "bad.request", "fieldName": bad.field}] if bad.field else []
            return Outcome(error_response(400, bad.message, details=details), "bad.request")
        if what == "message":
            return self._take_message(call, account)
        if what == "response":
            return self._take_response(call, account)
        if what == "receipt":
            return self._take_receipt(call, account)
        return Outcome(ok_response({"id": genesys_id(), "channel": _echo(call, account), "type": "Event"}))

    def _take_message(self, call: Call, account: Account) -> Outcome:
        body = call.body
        person = body["channel"]["from"]
        conversation = self._conversations.find_or_make(account, person["id"], person.get("nickname") or "")
        call.ref = genesys_id()
        conversation.genesys_customer = {name: person[name] for name in ("id", "idType")}
        files = [dict(each["attachment"]) for each in body.get("content") or []]
        # a repeated channel.messageId is shown a second time: nothing promises otherwise
        message = self._conversations.show(
            conversation.desktop,
            call.ref,
            "customer",
            call.text,
            "arrived",
            kind="attachments" if files else "text",
            body=call.request.body,
        )
        message.files = files or None
        answer = {"id": call.ref, "channel": _echo(call, account), "type": "Text", "text": call.text}
        if not body.get("text"):
            del answer["text"]
        for name in ("content", "metadata"):
            if body.get(name):
                answer[name] = body[name]
        if call.request.query("prefetchConversationId") == "true":
            answer["conversationId"] = conversation.genesys_id
        publish = bool(self._faults.switch("agent_receipts", "genesys", account.tenant_id, call.kind))
        if not files and not publish:
            return Outcome(ok_response(answer))
        arrived = Arrived(account, person, call.ref, call.id, call.conversation, files, publish)
        return Outcome(ok_response(answer), then=lambda: self._inbound_files.take(arrived))

    def _take_response(self, call: Call, account: Account) -> Outcome:
        body = call.body
        conversation = self._conversations.find_or_make(account, body["channel"]["from"]["id"])
        call.ref = genesys_id()
        self._conversations.show(
            conversation.desktop,
            call.ref,
            "customer",
            call.text,
            "arrived",
            kind="structured_response",
            body=call.request.body,
        )
        answer = {
            "id": call.ref,
            "channel": _echo(call, account),
            "type": "Structured",
            "text": call.text,
            "content": [{"contentType": "ButtonResponse", "buttonResponse": body["buttonResponse"]}],
        }
        return Outcome(ok_response(answer))

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
            return Outcome(ok_response(answer), "unknown.message")
        message.state = body["status"].lower()
        message.receipts = [*(message.receipts or []), {name: body.get(name) for name in ("status", "reasons")}]
        return Outcome(ok_response(answer))


def _text_of(what: str, body: dict[str, Any]) -> str:
    match what:
        case "receipt":
            return as_text(body.get("status"))
        case "response":
            return as_text(as_dict(body.get("buttonResponse")).get("text"))
        case _:
            return as_text(body.get("text"))


def _echo(call: Call, account: Account) -> dict[str, Any]:
    integration = account.genesys.integration_id
    given = call.body["channel"]
    channel: dict[str, Any] = {"id": integration, "platform": "Open", "type": "Private"}
    channel |= {name: given[name] for name in ("messageId", "to", "from", "time", "metadata") if name in given}
    if "to" not in given:
        channel["to"] = {"id": integration}
    return channel
