"""An agent's message, or sign of life, on its way to WhatsApp; and what Genesys reports of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from trunkline.attempt import Callback
from trunkline.delivery.routes import Accepted, Access, Job, Prepared, is_sign_of_life
from trunkline.envelope import Direction, Envelope
from trunkline.protocol.media import UploadedFile
from trunkline.protocol.outbound import WhatsAppPost, convert_outbound, is_typing, readdress, typing_body
from trunkline.tenancy.tenant import WhatsAppAccess

RECEIPT_KIND = "receipt"


def is_claimed(envelope: Envelope) -> bool:
    """Whether it is claimed before it is delivered, and so has a row; reports and signs of life are not."""
    is_report = envelope.direction is Direction.OUTBOUND and envelope.kind == RECEIPT_KIND
    return not is_report and not is_sign_of_life(envelope)


class WhatsApp(Protocol):
    """The Send API."""

    async def send(self, access: WhatsAppAccess, body: dict[str, Any]) -> str:
        """Send one message and return its wamid; raises what became of it."""

    async def mark(self, access: WhatsAppAccess, body: dict[str, Any]) -> None:
        """Mark a customer's message as read, or show that somebody types; raises what became of it."""


class Files(Protocol):
    """Agents' files."""

    async def of(self, envelope: Envelope) -> Mapping[str, UploadedFile]:
        """The message's files as WhatsApp has them, by their URLs at Genesys.

        Raises Rejected, Unavailable, or LaneHeld when nothing may go to WhatsApp.
        """


class Addresses(Protocol):
    """Where addresses of people are kept."""

    async def address(self, tenant_id: str, identity: str) -> str | None:
        """Where the person has moved to, if they have."""


class CustomersMessages(Protocol):
    """What is known of customers' messages."""

    async def last_inbound(self, tenant_id: str, wa_id: str) -> str | None:
        """The wamid of the customer's latest message, if it is not too old to be marked as read."""


class Reports(Protocol):
    """Where it is kept what Genesys says of customers' messages."""

    async def note(self, receipt: Envelope) -> None:
        """Write down a receipt of Genesys with the message that it speaks of."""


class OutboundRoute:
    """An agent's message for WhatsApp."""

    def __init__(
        self, whatsapp: WhatsApp, files: Files, addresses: Addresses, customers: CustomersMessages, reports: Reports
    ) -> None:
        self._whatsapp = whatsapp
        self._files = files
        self._addresses = addresses
        self._customers = customers
        self._reports = reports

    async def prepare(self, envelope: Envelope) -> Prepared | None:
        """One request for each WhatsApp message that it becomes, its files uploaded."""
        if is_sign_of_life(envelope):
            return await self._typing(envelope)
        if envelope.kind == RECEIPT_KIND:
            await self._reports.note(envelope)
            return None
        posts = convert_outbound(envelope.payload, await self._files.of(envelope))
        address = await self._addresses.address(envelope.tenant_id, envelope.conversation)
        address = address or envelope.conversation
        return Prepared(
            lambda access: self._job(envelope, posts, address, access),
            is_free_form=any(post.body.get("type") != "template" for post in posts),
        )

    async def _typing(self, envelope: Envelope) -> Prepared | None:
        if not is_typing(envelope.payload):
            return None
        wamid = await self._customers.last_inbound(envelope.tenant_id, envelope.conversation)
        return Prepared(lambda access: Job([partial(self._mark, access, wamid)])) if wamid else None

    def _job(self, envelope: Envelope, posts: Sequence[WhatsAppPost], address: str, access: Access) -> Job:
        assert isinstance(access, WhatsAppAccess)
        text = envelope.payload.get("text")
        conversation = envelope.payload.get("conversationId")
        conversation_id = conversation if isinstance(conversation, str) and conversation else None
        bodies = [
            {
                **readdress(post.body, address),
                "biz_opaque_callback_data": str(Callback(envelope.message_id, part, len(posts))),
            }
            for part, post in enumerate(posts, start=1)
        ]
        return Job(
            [partial(self._send, access, body, conversation_id) for body in bodies],
            text=text if isinstance(text, str) else None,
        )

    async def _send(self, access: WhatsAppAccess, body: dict[str, Any], conversation_id: str | None) -> Accepted:
        wamid = await self._whatsapp.send(access, body)
        return Accepted(wamid=wamid, genesys_conversation_id=conversation_id)

    async def _mark(self, access: Access, wamid: str) -> Accepted:
        assert isinstance(access, WhatsAppAccess)
        await self._whatsapp.mark(access, typing_body(wamid))
        return Accepted()
