"""Customers write on their phones: messages of every kind, and the webhooks in which Meta tells of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sandbox.accounts import Account
from sandbox.calls import as_dict
from sandbox.conversations import Conversation, Conversations, Message
from sandbox.files import Files
from sandbox.given_files import CustomerFile
from sandbox.graph import text_of
from sandbox.graph_media import GraphMedia
from sandbox.kinds import EXAMPLES, FILES, WITHOUT_CONTACT, Scene, customer_message, file_message
from sandbox.limits import Limiters
from sandbox.media import FROM_CUSTOMERS_S, Media, MediaLibrary
from sandbox.media_rules import bare_mime
from sandbox.meta_app import MetaApp
from sandbox.orders import SendOrder, Written
from sandbox.payloads import inbound_wamid, message, meta_body, outbound_wamid, sign_meta
from sandbox.statuses import whatsapp_path
from sandbox.webhooks import Item, Webhook

# what does not open the customer service window anew
SILENT = frozenset({"number_change", "user_id_change", "identity_change", "request_welcome", "edit", "revoke", "value"})
CAPTIONED = frozenset({"image", "video", "document"})


class Customers:
    """Makes customers' messages."""

    def __init__(
        self,
        conversations: Conversations,
        limiters: Limiters,
        meta_app: MetaApp,
        files: Files,
        library: MediaLibrary,
        graph_media: GraphMedia,
    ) -> None:
        self._conversations = conversations
        self._limiters = limiters
        self._meta_app = meta_app
        self._files = files
        self._library = library
        self._graph_media = graph_media

    async def write(
        self, account: Account, conversation: Conversation, order: SendOrder, texts: Sequence[str | None]
    ) -> Written:
        """One webhook with a message for each text; raises BadContent."""
        if order.kind == "value":
            return self._wrap(account, conversation, order, as_dict(order.content), [], [])
        at = int(time.time()) if order.timestamp is None else order.timestamp
        person = order.person(conversation.customer, conversation.name)
        if person.user_id and conversation.customer.isdigit() and (order.userId or person.number is None):
            self._conversations.introduce(account, person.user_id, conversation.customer)
        if order.kind not in SILENT:
            conversation.customer_wrote(at)
        window = self._limiters.whatsapp_number(account.phone_number_id, account.limits.whatsapp_messages_per_second)
        messages, shown, files = [], [], []
        for text in texts:
            window.count(time.monotonic())  # a number's throughput counts both ways; what comes in is never refused
            content, media = await self._content(account, conversation, order, text)
            made = message(person, inbound_wamid(conversation.customer), at, content)
            messages.append(made)
            files.append([] if media is None else [media.as_json()])
            shown.append(self._show(conversation, order, made, files[-1], at))
        value: dict[str, Any] = {} if order.kind in WITHOUT_CONTACT else {"contacts": [person.contact()]}
        return self._wrap(account, conversation, order, {**value, "messages": messages}, shown, files)

    async def _content(
        self, account: Account, conversation: Conversation, order: SendOrder, text: str | None
    ) -> tuple[dict[str, Any], Media | None]:
        media = None
        scene = self._scene(account, conversation)
        if order.kind == "text":
            content: dict[str, Any] = {"type": "text", "text": {"body": text}}
        elif order.kind in FILES:
            content, media = await self._file(account, order, text)
        else:
            content = customer_message(order.kind, order.content, scene)
        if order.context is not None:
            author = {"from": account.display_phone_number} if "id" in order.context else {}
            content = {**content, "context": {**content.get("context", author), **order.context}}
        if order.referral is not None:
            content = {**content, "referral": order.referral or EXAMPLES["referral"]}
        if order.groupId is not None:
            content = {**content, "group_id": order.groupId}
        return content, media

    async def _file(self, account: Account, order: SendOrder, text: str | None) -> tuple[dict[str, Any], Media]:
        given = CustomerFile.model_validate(order.content or {})
        mime = given.mime or FILES[order.kind][1]
        content = await given.content(mime, self._files)
        media = self._library.keep(account.phone_number_id, content, bare_mime(mime) or mime, FROM_CUSTOMERS_S)
        facts = {"mime_type": mime, "sha256": media.base64_hash, "id": media.id}
        if given.url:
            facts["url"] = self._graph_media.new_link("", media)
        more = given.model_dump(include={"caption", "filename", "voice", "animated"}, exclude_none=True)
        if text and order.kind in CAPTIONED:
            more.setdefault("caption", text)
        return file_message(order.kind, facts, more), media

    def _scene(self, account: Account, conversation: Conversation) -> Scene:
        latest = {each.author: each.id for each in conversation.phone}
        customer = conversation.customer
        return Scene(
            account.display_phone_number,
            customer,
            conversation.name,
            latest.get("agent") or outbound_wamid(customer),
            latest.get("customer") or inbound_wamid(customer),
        )

    def _show(
        self, conversation: Conversation, order: SendOrder, made: dict[str, Any], files: list[dict[str, Any]], at: int
    ) -> Message:
        shown = self._conversations.show(
            conversation.phone, str(made["id"]), "customer", text_of(made), "sent", float(at), kind=order.kind
        )
        shown.files = files or None
        return shown

    def _wrap(
        self,
        account: Account,
        conversation: Conversation,
        order: SendOrder,
        value: dict[str, Any],
        shown: list[Message],
        files: list[list[dict[str, Any]]],
    ) -> Written:
        body = meta_body(account, value, order.field)
        signature = sign_meta(self._meta_app.secret_of(account), body)
        key = f"{account.phone_number_id}|{conversation.customer}"
        items = tuple(Item(each.id, key, each.text) for each in shown) or (Item("", key, f"[{order.field}]"),)

        def ended(taken: bool) -> None:
            for each in shown:
                if each.state == "sent":
                    each.state = "delivered" if taken else "failed"

        path = whatsapp_path(account)
        webhook = Webhook("meta", "meta_message", account.tenant_id, path, body, signature, items, ended)
        return Written(tuple(item.id for item in items), webhook, tuple(files) or ([],))
