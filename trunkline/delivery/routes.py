"""What each direction makes of an envelope: the requests to send, and how to send one."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trunkline.envelope import Envelope
from trunkline.errors import Rejected
from trunkline.protocol.identity import genesys_sender
from trunkline.protocol.inbound import GenesysPost, convert_inbound
from trunkline.protocol.outbound import WhatsAppPost, convert_outbound
from trunkline.protocol.outcomes import GenesysAccepted
from trunkline.protocol.receipts import ReceiptDecision, convert_receipt, receipt_for
from trunkline.tenancy.tenant import GenesysAccess, WhatsAppAccess


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the far side called it."""

    wamid: str | None = None
    genesys_id: str | None = None
    genesys_conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The requests of one envelope, sent in their order; `refusal` says why there are none."""

    requests: Sequence[Callable[[], Awaitable[Accepted]]] = ()
    refusal: Rejected | None = None
    text: str | None = None
    # Run once the last request was accepted and stored.
    on_delivered: Callable[[], Awaitable[None]] | None = field(default=None)


class Genesys(Protocol):
    """The Open Messaging API."""

    async def post(self, access: GenesysAccess, post: GenesysPost) -> GenesysAccepted:
        """Make one call; raises what became of it."""


class WhatsApp(Protocol):
    """The Send API."""

    async def send(self, access: WhatsAppAccess, body: dict[str, Any]) -> str:
        """Send one message and return its wamid; raises what became of it."""


class SentMessage(Protocol):
    """An agent's message as receipts need it."""

    @property
    def message_id(self) -> str: ...
    @property
    def genesys_id(self) -> str: ...
    @property
    def wa_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def receipt(self) -> str | None: ...


class SentMessages(Protocol):
    """What is known of messages sent to WhatsApp."""

    async def find_outbound(self, tenant_id: str, wamid: str, callback: str | None) -> SentMessage | None:
        """The agent's message that a status speaks of."""

    async def adopt(self, tenant_id: str, message_id: str, wamid: str) -> None:
        """A status proves that a send of unknown outcome went out."""

    async def note_receipt(self, tenant_id: str, message_id: str, receipt: str) -> None:
        """Remember which receipt Genesys has."""


Access = GenesysAccess | WhatsAppAccess


class Route(Protocol):
    """One direction."""

    async def prepare(self, envelope: Envelope) -> Callable[[Access], Job] | None:
        """How the job that `envelope` is will be made; None when no call, and so no passage, is needed.

        Both steps raise Rejected when it cannot be converted.
        """


class InboundRoute:
    """A customer's message for Genesys."""

    def __init__(self, genesys: Genesys) -> None:
        self._genesys = genesys

    async def prepare(self, envelope: Envelope) -> Callable[[Access], Job] | None:
        """One request for each part of the message."""
        return lambda access: self._job(envelope, access)

    def _job(self, envelope: Envelope, access: Access) -> Job:
        assert isinstance(access, GenesysAccess)
        payload = envelope.payload
        posts = convert_inbound(
            payload["message"],
            payload.get("contact"),
            payload["phoneNumberId"],
            envelope.accepted_at,
            access.phone_with_plus,
        )
        return Job(
            [lambda post=post: self._post(access, post) for post in posts],  # type: ignore[misc]
            text=str(posts[0].body.get("text") or "") if posts else None,
        )

    async def _post(self, access: GenesysAccess, post: GenesysPost) -> Accepted:
        accepted = await self._genesys.post(access, post)
        return Accepted(genesys_id=accepted.message_id, genesys_conversation_id=accepted.conversation_id)


class OutboundRoute:
    """An agent's message for WhatsApp; events and receipts of Genesys need no call."""

    def __init__(self, whatsapp: WhatsApp) -> None:
        self._whatsapp = whatsapp

    async def prepare(self, envelope: Envelope) -> Callable[[Access], Job] | None:
        """One request for each WhatsApp message that it becomes."""
        posts = convert_outbound(envelope.payload)
        return (lambda access: self._job(envelope, posts, access)) if posts else None

    def _job(self, envelope: Envelope, posts: Sequence[WhatsAppPost], access: Access) -> Job:
        assert isinstance(access, WhatsAppAccess)
        text = envelope.payload.get("text")
        bodies = [{**post.body, "biz_opaque_callback_data": envelope.message_id} for post in posts]
        conversation = envelope.payload.get("conversationId")
        conversation_id = conversation if isinstance(conversation, str) and conversation else None
        return Job(
            [lambda body=body: self._send(access, body, conversation_id) for body in bodies],  # type: ignore[misc]
            text=text if isinstance(text, str) else None,
        )

    async def _send(self, access: WhatsAppAccess, body: dict[str, Any], conversation_id: str | None) -> Accepted:
        wamid = await self._whatsapp.send(access, body)
        return Accepted(wamid=wamid, genesys_conversation_id=conversation_id)


class StatusRoute:
    """A status, from WhatsApp or of a send that we gave up, that becomes a receipt in Genesys."""

    def __init__(self, genesys: Genesys, sent: SentMessages) -> None:
        self._genesys = genesys
        self._sent = sent

    async def prepare(self, envelope: Envelope) -> Callable[[Access], Job] | None:
        """The receipt, unless the message is not ours or Genesys knows already."""
        status = envelope.payload["status"]
        tenant_id = envelope.tenant_id
        callback = _uuid_or_none(status.get("biz_opaque_callback_data"))
        message = await self._sent.find_outbound(tenant_id, envelope.external_id, callback)
        if message is None:
            return None
        if message.status == "unknown" and status.get("id"):
            await self._sent.adopt(tenant_id, message.message_id, str(status["id"]))
        decision = receipt_for(status)
        # Nothing goes down after Delivered, and nothing follows a Failed.
        if decision is None or message.receipt is not None:
            return None
        return lambda access: self._job(envelope, message, decision, access)

    def _job(self, envelope: Envelope, message: SentMessage, decision: ReceiptDecision, access: Access) -> Job:
        assert isinstance(access, GenesysAccess)
        to = genesys_sender(message.wa_id, None, None, access.phone_with_plus)
        receipt = convert_receipt(
            message.genesys_id, {"id": to["id"], "idType": to["idType"]}, envelope.accepted_at, decision
        )

        async def post() -> Accepted:
            await self._genesys.post(access, receipt)
            return Accepted()

        async def note() -> None:
            await self._sent.note_receipt(envelope.tenant_id, message.message_id, decision.status)

        return Job([post], on_delivered=note)


def _uuid_or_none(text: Any) -> str | None:
    try:
        return str(uuid.UUID(text)) if isinstance(text, str) else None
    except ValueError:
        return None
