"""What people do in the sandbox: a customer writes on the phone, an agent on the desktop."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.accounts import Account
from sandbox.agents import Agents
from sandbox.conversations import Conversation, Conversations
from sandbox.customers import Customers
from sandbox.faults import Faults
from sandbox.orders import SendOrder, Written
from sandbox.webhooks import Attempt, WebhookSender


class Senders:
    """Has messages written on both sides and posts their webhooks."""

    def __init__(
        self,
        sender: WebhookSender,
        conversations: Conversations,
        faults: Faults,
        customers: Customers,
        agents: Agents,
    ) -> None:
        self._sender = sender
        self._conversations = conversations
        self._faults = faults
        self._customers = customers
        self._agents = agents

    async def send(self, account: Account, order: SendOrder) -> dict[str, Any]:
        """Write and post; ids, times, files and the answer to the first try of each webhook. Raises BadContent."""
        conversation = self._conversations.find_or_make(account, order.customer, order.name)
        written = await self._write(account, conversation, order)
        sent = []
        for one, attempt in zip(written, await self._post(written), strict=True):
            sent += [
                {"id": id, **shown_attempt(attempt), "files": files}
                for id, files in zip(one.ids, one.files, strict=True)
            ]
        return {
            "as": order.as_,
            "tenantId": account.tenant_id,
            "customer": conversation.customer,
            "conversation": written[0].webhook.items[0].conversation,
            **sent[0],
            "messages": sent,
            "expect": self._expect(account, conversation, order, sent[0]["id"]),
        }

    async def _write(self, account: Account, conversation: Conversation, order: SendOrder) -> list[Written]:
        if order.as_ == "agent":
            return [await self._agents.write(account, conversation, order, text) for text in order.texts()]
        groups = [order.texts()] if order.batch else [[text] for text in order.texts()]
        return [await self._customers.write(account, conversation, order, group) for group in groups]

    async def _post(self, written: list[Written]) -> list[Attempt]:
        first = written[0].webhook
        if self._faults.switch("disordered_webhooks", first.cloud, first.tenant, first.kind):
            return list(await asyncio.gather(*(self._sender.send(one.webhook) for one in written)))
        return [await self._sender.send(one.webhook) for one in written]

    def _expect(self, account: Account, conversation: Conversation, order: SendOrder, first_id: str) -> dict[str, str]:
        if order.as_ == "customer":
            return {"kind": "genesys_message", "id": first_id}
        if order.kind == "typing":
            return {"kind": "graph_read", "conversation": account.phone_number_id}
        return {"kind": "graph_send", "conversation": f"{account.phone_number_id}|{conversation.customer}"}


def shown_attempt(attempt: Attempt) -> dict[str, Any]:
    """How a webhook left and was answered, as the control API tells it."""
    return {
        "sentAt": round(attempt.left_at * 1000, 3),
        "sentMonoNs": attempt.left_ns,
        "answeredAt": round(attempt.answered_at * 1000, 3),
        "status": attempt.status,
        "latencyMs": attempt.latency_ms,
        "repeating": attempt.repeating,
    }
