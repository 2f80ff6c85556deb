"""The simulated Graph API: checks what a business sends, answers in Meta's words, and reports statuses later."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any

from sandbox.accounts import Account, Accounts
from sandbox.calls import Call, Outcome, as_dict, as_text
from sandbox.conversations import Conversations, customer_key
from sandbox.graph_errors import BY_STATUS, Refused, bad_token, error_response
from sandbox.graph_media import GraphMedia
from sandbox.graph_rules import check_message, check_read_mark, is_read_mark
from sandbox.http import Request, Response, json_response
from sandbox.limits import Limiters
from sandbox.payloads import outbound_wamid
from sandbox.statuses import SentMessage, StatusFeed
from sandbox.templates import Templates

MESSAGES = re.compile(r"^/graph/v[0-9]+\.[0-9]+/([^/]+)/messages$")
OBJECT = re.compile(r"^/graph/v[0-9]+\.[0-9]+/([^/]+)(?:/media)?$")
ABOUT_MEDIA = ("graph_media", "graph_delete")
SUPPORTED = "/graph/v25.0/"


class GraphApi:
    """Meta's side of the Send API and of media."""

    def __init__(
        self,
        accounts: Accounts,
        conversations: Conversations,
        limiters: Limiters,
        statuses: StatusFeed,
        media: GraphMedia,
        templates: Templates,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._limiters = limiters
        self._statuses = statuses
        self._media = media
        self._templates = templates
        self._now = now
        self._expired: set[str] = set()

    def expire_tokens(self, tenant_id: str | None) -> None:
        """End the access token of one tenant, or of all, until `restore_tokens` or another token is registered."""
        for account in self._accounts.by_tenant.values():
            if tenant_id in (None, account.tenant_id):
                self._expired.add(account.access_token)

    def restore_tokens(self) -> None:
        """Let every registered access token hold again."""
        self._expired.clear()

    def understand(self, request: Request) -> Call:
        """What the request is about; never fails."""
        found = MESSAGES.match(request.path)
        if found is None or request.method != "POST":
            return self._media.understand(request) or self._other(request)
        number = found[1]
        account = self._accounts.by_number.get(number)
        try:
            body = request.json()
        except ValueError:
            body = None
        if is_read_mark(body):
            id = as_text(body.get("message_id"))
            return Call(request, "meta", "graph_read", number, account, body, id=id, conversation=number)
        shown = as_dict(body)
        to = as_text(shown.get("to")) or as_text(shown.get("recipient"))
        return Call(
            request,
            "meta",
            "graph_send",
            number,
            account,
            body,
            ref=as_text(shown.get("biz_opaque_callback_data")),
            conversation=f"{number}|{customer_key(to)}",
            text=text_of(shown),
        )

    def answer(self, call: Call) -> Outcome:
        """The true answer, with all its effects but the statuses."""
        try:
            if call.kind == "graph_download":
                return self._media.download(call, self._is_known(call.request.bearer()))
            account = self._authorize(call)
            if call.kind == "graph_other":
                raise Refused(100, f"Unsupported request. Object with ID '{call.target}' does not exist", 33)
            if call.kind in ABOUT_MEDIA:
                return self._media.look_up(call, account)
            if call.kind == "graph_upload":
                return self._media.upload(call, account)
            if call.kind == "graph_read":
                return self._mark_read(call)
            return self._send(call, account)
        except Refused as refusal:
            return Outcome(refusal.response(), str(refusal.code))

    def failure(self, status: int, code: int | None, retry_after_s: float | None) -> Response:
        """An answer with this status in the Graph API's own error shape."""
        headers = () if retry_after_s is None else ((b"retry-after", b"%d" % math.ceil(retry_after_s)),)
        if status == 401 and code is None:
            return bad_token("Session has expired", headers=headers)
        code = code if code is not None else BY_STATUS.get(status, 100 if status < 500 else 131000)
        return error_response(code, status=status, headers=headers)

    def _other(self, request: Request) -> Call:
        found = OBJECT.match(request.path)
        target = found[1] if found else request.path
        account = self._accounts.by_number.get(target)
        return Call(request, "meta", "graph_other", target, account, conversation=target)

    def _authorize(self, call: Call) -> Account:
        token = call.request.bearer()
        if not call.request.path.startswith(SUPPORTED):
            raise Refused(100, "This version of the API is not supported")
        if not token or token in self._expired:
            raise Refused(190, None if token else "An access token is required", 463 if token else None)
        account = call.account
        if account is not None and account.access_token == token:
            return account
        if not self._is_known(token):
            raise Refused(190, "The access token could not be decrypted", None)
        if account is None or call.kind in ABOUT_MEDIA:
            method = call.request.method.lower()
            raise Refused(100, f"Unsupported {method} request. Object with ID '{call.target}' does not exist", 33)
        raise Refused(10)

    def _is_known(self, token: str) -> bool:
        if not token or token in self._expired:
            return False
        return any(each.access_token == token for each in self._accounts.by_tenant.values())

    def _mark_read(self, call: Call) -> Outcome:
        check_read_mark(call.body)
        message = self._conversations.message(call.id)
        if message is not None:
            message.state = "read"
            message.read_marks += 1
            message.typing_marks += "typing_indicator" in call.body
        return Outcome(json_response(200, {"success": True}))

    def _send(self, call: Call, account: Account) -> Outcome:
        body = call.body
        to = check_message(body)
        if to == account.display_phone_number.lstrip("+"):
            raise Refused(131021)
        files = self._media.files_of(body, account)
        if body["type"] == "template":
            self._templates.check(account.tenant_id, body["template"])
        self._check_limits(account, to)
        conversation = self._conversations.find_or_make(account, self._conversations.known_as(account, to))
        if body["type"] != "template" and conversation.window_is_closed(time.time()):
            raise Refused(131047)
        call.id = outbound_wamid(to)
        message = self._conversations.show(
            conversation.phone, call.id, "agent", call.text, "accepted", kind=body["type"], body=call.request.body
        )
        message.files = files or None
        sent = SentMessage(account, to, conversation.name, message, body.get("biz_opaque_callback_data"))
        identity = {"user_id": to} if "recipient" in body and "to" not in body else {"wa_id": to}
        answer = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": body.get("to") or body["recipient"], **identity}],
            "messages": [{"id": call.id}],
        }
        response = json_response(200, answer)
        if self._statuses.are_early(account):
            return Outcome(response, before=lambda: self._statuses.report_now(sent))
        return Outcome(response, then=lambda: self._statuses.accepted(sent))

    def _check_limits(self, account: Account, to: str) -> None:
        limits = account.limits
        now = self._now()
        window = self._limiters.whatsapp_number(account.phone_number_id, limits.whatsapp_messages_per_second)
        if window.take(now) > 0:
            raise Refused(130429)
        pairs = self._limiters.pairs
        if pairs.take(account.phone_number_id, to, limits.person_messages_per_minute, limits.person_burst, now) > 0:
            raise Refused(131056)


def text_of(body: dict[str, Any]) -> str:
    """What a person would read of a message, or the name of its kind."""
    kind = as_text(body.get("type"))
    content = as_dict(body.get(kind))
    for text in (content.get("body"), content.get("caption"), content.get("emoji")):
        if isinstance(text, str):
            return text
        if isinstance(text, dict):
            return as_text(text.get("text"))
    return f"[{kind}]"
