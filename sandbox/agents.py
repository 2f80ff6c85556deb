"""Agents write on their desktops: messages of every kind, and the webhooks in which Genesys Cloud tells of them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from sandbox.accounts import Account
from sandbox.agent_kinds import agent_message, text_message
from sandbox.attachments import Attachments
from sandbox.conversations import Conversation, Conversations
from sandbox.fetches import WEBHOOK_PATH
from sandbox.given_files import AgentFile
from sandbox.orders import SendOrder, Written
from sandbox.payloads import agent_message as webhook_body
from sandbox.payloads import genesys_id, sign_genesys
from sandbox.webhooks import Item, Webhook

AGENT_FILES = TypeAdapter(list[AgentFile])
USUAL_KIND = "genesys_structured"
WEBHOOK_KINDS = {"text": "genesys_text", "attachments": "genesys_text", "typing": "genesys_typing"}


class Agents:
    """Makes agents' messages."""

    def __init__(self, conversations: Conversations, attachments: Attachments) -> None:
        self._conversations = conversations
        self._attachments = attachments

    async def write(self, account: Account, conversation: Conversation, order: SendOrder, text: str | None) -> Written:
        """The webhook of one message; raises BadContent."""
        said, files = await self._said(account, order, text)
        id = genesys_id()
        customer = conversation.customer
        usual = {"id": customer, "idType": "Phone" if customer.isdigit() else "Opaque"}
        to = conversation.genesys_customer or usual  # exactly as the router named the customer
        body = webhook_body(account, to, id, said, conversation.genesys_id)
        signature = sign_genesys(account.genesys.webhook_secret, body)
        words = text or f"[{order.kind}]"
        item = Item(id, f"{account.genesys.integration_id}|{customer}", words)
        ended = None if order.kind == "typing" else self._show(conversation, order, id, words, body, files)
        kind = WEBHOOK_KINDS.get(order.kind, USUAL_KIND)
        webhook = Webhook("genesys", kind, account.tenant_id, WEBHOOK_PATH, body, signature, (item,), ended)
        return Written((id,), webhook, (files,))

    async def _said(
        self, account: Account, order: SendOrder, text: str | None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        if order.kind == "text":
            return text_message(text, []), []
        if order.kind != "attachments":
            return agent_message(order.kind, text, order.content), []
        given = AGENT_FILES.validate_python([{}] if order.content is None else order.content)
        kept = [await self._attachments.keep(account, each) for each in given]
        return text_message(text, [attachment for attachment, _ in kept]), [told for _, told in kept]

    def _show(
        self,
        conversation: Conversation,
        order: SendOrder,
        id: str,
        words: str,
        body: bytes,
        files: list[dict[str, Any]],
    ) -> Any:
        message = self._conversations.show(
            conversation.desktop, id, "agent", words, "pending", kind=order.kind, body=body
        )
        message.files = files or None

        def ended(taken: bool) -> None:
            if message.state == "pending":
                message.state = "sent" if taken else "failed"

        return ended
