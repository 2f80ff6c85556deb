"""A status, of WhatsApp or of a send that we gave up, on its way to become a receipt in Genesys."""

from __future__ import annotations

from typing import Protocol

from trunkline.attempt import Callback, ReceiptNote
from trunkline.delivery.routes import Accepted, Access, Genesys, Job, Prepared
from trunkline.envelope import Envelope
from trunkline.protocol.identity import genesys_sender
from trunkline.protocol.receipts import ReceiptDecision, convert_receipt, receipt_for
from trunkline.tenancy.tenant import GenesysAccess, Priority


class SentMessage(Protocol):
    """An agent's message as receipts need it; the status speaks of `part` of its `parts`."""

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
    @property
    def part(self) -> int: ...
    @property
    def parts(self) -> int: ...


class SentMessages(Protocol):
    """What is known of messages sent to WhatsApp."""

    async def find(self, tenant_id: str, wamid: str, callback: Callback | None = None) -> SentMessage | None:
        """The agent's message that a status speaks of."""

    async def adopt(self, tenant_id: str, part: Callback, wamid: str) -> None:
        """A status proves that a send went out whose outcome is not known, or not yet."""

    async def mark_delivered(self, tenant_id: str, part: Callback, wamid: str) -> bool:
        """Note that this part was delivered; whether all parts are."""

    async def park(self, status: Envelope) -> None:
        """Keep a status of a message that nobody here knows, or knows yet."""


class StatusRoute:
    """A status that becomes a receipt: Delivered once, Failed with its reason, never one after the other."""

    def __init__(self, genesys: Genesys, sent: SentMessages) -> None:
        self._genesys = genesys
        self._sent = sent

    async def prepare(self, envelope: Envelope) -> Prepared | None:
        """The receipt, unless the message is not ours, Genesys knows already, or other parts are still on their way."""
        status, tenant_id, wamid = envelope.payload["status"], envelope.tenant_id, envelope.external_id
        decision = receipt_for(status)
        message = await self._sent.find(tenant_id, wamid, Callback.read(status.get("biz_opaque_callback_data")))
        if message is None:
            if decision is not None:
                await self._sent.park(envelope)
            return None
        part = Callback(message.message_id, message.part, message.parts)
        if message.status in ("sending", "unknown") and status.get("id"):
            await self._sent.adopt(tenant_id, part, wamid)
        if decision is None or message.receipt is not None:
            return None
        is_part = decision.status == "Delivered" and part.parts > 1
        if is_part and not await self._sent.mark_delivered(tenant_id, part, wamid):
            return None
        failed = decision.status == "Failed"
        return Prepared(
            lambda access: self._job(envelope, message, decision, access),
            priority=Priority.FAILED_RECEIPT if failed else Priority.DELIVERED_RECEIPT,
        )

    def _job(self, envelope: Envelope, message: SentMessage, decision: ReceiptDecision, access: Access) -> Job:
        assert isinstance(access, GenesysAccess)
        to = genesys_sender(message.wa_id, None, None, access.phone_with_plus)
        receipt = convert_receipt(
            message.genesys_id, {"id": to["id"], "idType": to["idType"]}, envelope.accepted_at, decision
        )

        async def post() -> Accepted:
            await self._genesys.post(access, receipt)
            return Accepted()

        return Job([post], receipt=ReceiptNote(message.message_id, decision.status))
