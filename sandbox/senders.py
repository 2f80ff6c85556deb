"""What people do in the sandbox: a customer writes on the phone, an agent on the desktop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox.accounts import Account
from sandbox.conversations import Conversation, Conversations, Message
from sandbox.faults import Faults
from sandbox.genesys import WEBHOOK_PATH
from sandbox.limits import Limiters
from sandbox.meta_app import MetaApp
from sandbox.payloads import (
    agent_text,
    contact,
    genesys_id,
    inbound_wamid,
    meta_body,
    sign_genesys,
    sign_meta,
    text_message,
)
from sandbox.statuses import whatsapp_path
from sandbox.webhooks import Attempt, Item, Webhook, WebhookSender

DEFAULT_CUSTOMER = "447700900123"


class SendOrder(BaseModel):
    """What shall be written, by whom, and how often."""

    model_config = ConfigDict(extra="forbid")

    as_: Literal["customer", "agent"] = Field(alias="as")
    tenantId: str
    customer: str = Field(DEFAULT_CUSTOMER, min_length=1, max_length=128)
    name: str = ""
    text: str = Field(min_length=1)
    count: int = Field(1, ge=1, le=1000)
    batch: bool = False  # all messages of a customer in one POST
    timestamp: int | None = Field(None, ge=0)  # when the customer wrote, Unix seconds


@dataclass(frozen=True, slots=True)
class _Written:
    ids: tuple[str, ...]
    webhook: Webhook


class Senders:
    """Writes messages on both sides and posts their webhooks."""

    def __init__(
        self,
        sender: WebhookSender,
        conversations: Conversations,
        limiters: Limiters,
        faults: Faults,
        meta_app: MetaApp,
    ) -> None:
        self._sender = sender
        self._conversations = conversations
        self._limiters = limiters
        self._faults = faults
        self._meta_app = meta_app

    async def send(self, account: Account, order: SendOrder) -> dict[str, Any]:
        """Write and post; ids, times and the answer to the first try of each webhook."""
        conversation = self._conversations.find_or_make(account, order.customer, order.name)
        texts = [order.text] if order.count == 1 else [f"{order.text} {n}" for n in range(1, order.count + 1)]
        groups = [texts] if order.as_ == "customer" and order.batch else [[text] for text in texts]
        written = [self._write(account, conversation, order, group) for group in groups]
        sent = []
        for one, attempt in zip(written, await self._post(written), strict=True):
            sent += [_shown(id, attempt) for id in one.ids]
        return {
            "as": order.as_,
            "tenantId": account.tenant_id,
            "customer": conversation.customer,
            "conversation": written[0].webhook.items[0].conversation,
            **sent[0],
            "messages": sent,
            "expect": self._expect(account, conversation, order, sent[0]["id"]),
        }

    async def _post(self, written: list[_Written]) -> list[Attempt]:
        first = written[0].webhook
        if self._faults.switch("disordered_webhooks", first.cloud, first.tenant, first.kind):
            return list(await asyncio.gather(*(self._sender.send(one.webhook) for one in written)))
        return [await self._sender.send(one.webhook) for one in written]

    def _write(self, account: Account, conversation: Conversation, order: SendOrder, texts: list[str]) -> _Written:
        if order.as_ == "customer":
            return self._customer_writes(account, conversation, texts, order.timestamp)
        return self._agent_writes(account, conversation, texts[0])

    def _customer_writes(
        self, account: Account, conversation: Conversation, texts: list[str], timestamp: int | None
    ) -> _Written:
        at = int(time.time()) if timestamp is None else timestamp
        who = conversation.customer
        conversation.customer_wrote(at)
        window = self._limiters.whatsapp_number(account.phone_number_id, account.limits.whatsapp_messages_per_second)
        shown: list[Message] = []
        for text in texts:
            window.count(time.monotonic())  # a number's throughput counts both ways; what comes in is never refused
            shown.append(
                self._conversations.show(conversation.phone, inbound_wamid(who), "customer", text, "sent", float(at))
            )
        value = {
            "contacts": [contact(who, conversation.name)],
            "messages": [text_message(who, message.id, message.text, at) for message in shown],
        }
        body = meta_body(account, value)
        signature = sign_meta(self._meta_app.secret_of(account), body)
        key = f"{account.phone_number_id}|{who}"
        items = tuple(Item(message.id, key, message.text) for message in shown)

        def ended(taken: bool) -> None:
            for message in shown:
                if message.state == "sent":
                    message.state = "delivered" if taken else "failed"

        webhook = Webhook(
            "meta", "meta_message", account.tenant_id, whatsapp_path(account), body, signature, items, ended
        )
        return _Written(tuple(message.id for message in shown), webhook)

    def _agent_writes(self, account: Account, conversation: Conversation, text: str) -> _Written:
        message = self._conversations.show(conversation.desktop, genesys_id(), "agent", text, "pending")
        body = agent_text(account, conversation.customer, message.id, text, conversation.genesys_id)
        signature = sign_genesys(account.genesys.webhook_secret, body)
        item = Item(message.id, f"{account.genesys.integration_id}|{conversation.customer}", text)

        def ended(taken: bool) -> None:
            if message.state == "pending":
                message.state = "sent" if taken else "failed"

        webhook = Webhook("genesys", "genesys_text", account.tenant_id, WEBHOOK_PATH, body, signature, (item,), ended)
        return _Written((message.id,), webhook)

    def _expect(self, account: Account, conversation: Conversation, order: SendOrder, first_id: str) -> dict[str, str]:
        if order.as_ == "customer":
            return {"kind": "genesys_message", "id": first_id}
        return {"kind": "graph_send", "conversation": f"{account.phone_number_id}|{conversation.customer}"}


def _shown(id: str, attempt: Attempt) -> dict[str, Any]:
    return {
        "id": id,
        "sentAt": round(attempt.left_at * 1000, 3),
        "sentMonoNs": attempt.left_ns,
        "answeredAt": round(attempt.answered_at * 1000, 3),
        "status": attempt.status,
        "latencyMs": attempt.latency_ms,
        "repeating": attempt.repeating,
    }
