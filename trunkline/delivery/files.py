"""Files of messages, moved with the tenant's credentials; what a cloud refuses is told to the tenant."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Protocol
from weakref import WeakValueDictionary

from trunkline.delivery.held import LaneHeld
from trunkline.envelope import Envelope
from trunkline.errors import CredentialsRefused, Rejected, StoreUnavailable, Throttled
from trunkline.protocol.media import AgentFile, Attachable, CustomerFile, Unattachable, UploadedFile, customer_file
from trunkline.protocol.media import agent_files as files_of_agent
from trunkline.tenancy.tenant import Cloud, Credentials, Gone, WhatsAppAccess

log = logging.getLogger(__name__)

REFUSED_CHECK_S = 1.0
THROTTLED_TRIES = 3
LONGEST_THROTTLE_S = 10.0
# Files of one tenant that a process moves at once; the others' do not wait for them.
MOVED_AT_ONCE = 8


class Tenants(Protocol):
    """The tenants' cells; every call raises Unavailable while its cell cannot be reached."""

    async def credentials(self, tenant_id: str) -> Credentials | Gone:
        """What moving the tenant's files needs."""

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        """The cloud refused a call for its credentials."""

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        """The cloud asked to wait."""


class InboundMedia(Protocol):
    """Customers' files on their way to Genesys."""

    async def attach(
        self, tenant_id: str, access: WhatsAppAccess, file: CustomerFile, message_id: str
    ) -> Attachable | Unattachable:
        """Keep the message's file where Genesys can fetch it; raises CredentialsRefused or Throttled."""


class OutboundMedia(Protocol):
    """Agents' files on their way to WhatsApp."""

    async def upload(
        self, tenant_id: str, whatsapp: WhatsAppAccess, region: str, genesys_token: str | None, file: AgentFile
    ) -> UploadedFile:
        """Move the file; raises Rejected, Unavailable, Throttled or CredentialsRefused."""


class Fetches(Protocol):
    """The list of files that are still to be fetched."""

    async def done(self, tenant_id: str, media_id: str) -> None:
        """The file is kept."""


class Turns:
    """So many files at once for each tenant."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant_id: str) -> asyncio.Semaphore:
        """To be held while a file of this tenant is moved."""
        turn = self._turns.get(tenant_id) or asyncio.Semaphore(MOVED_AT_ONCE)
        return self._turns.setdefault(tenant_id, turn)


class CustomerFiles:
    """Fetches what customers send. What cannot be had becomes a text, for their words must not wait for it."""

    def __init__(self, tenants: Tenants, media: InboundMedia, fetches: Fetches) -> None:
        self._tenants = tenants
        self._media = media
        self._fetches = fetches
        self._turns = Turns()

    async def of(self, envelope: Envelope) -> Attachable | Unattachable | None:
        """The message's file where Genesys can fetch it, or why not; None for a message without one."""
        file = customer_file(envelope.payload["message"])
        credentials = await self._tenants.credentials(envelope.tenant_id) if file else None
        if file is None or not isinstance(credentials, Credentials):
            return None
        # The number that the message came to, which is another one since if the tenant's account has changed.
        access = replace(credentials.whatsapp, phone_number_id=envelope.payload["phoneNumberId"])
        async with self._turns.of(envelope.tenant_id):
            attached = await self._attach(envelope, access, file)
        if attached is None:
            return Unattachable("could not be loaded")  # and stays on the list: a replay will find it
        await self._forget(envelope, file.media_id)
        return attached

    async def _attach(
        self, envelope: Envelope, access: WhatsAppAccess, file: CustomerFile
    ) -> Attachable | Unattachable | None:
        for _ in range(THROTTLED_TRIES):
            try:
                return await self._media.attach(envelope.tenant_id, access, file, envelope.message_id)
            except Throttled as error:
                await asyncio.sleep(min(error.retry_after_s, LONGEST_THROTTLE_S))
            except CredentialsRefused as error:
                used = access.access_token
                await self._tenants.refused(envelope.tenant_id, Cloud.WHATSAPP, used, error.detail, expired=False)
                break
        return None

    async def _forget(self, envelope: Envelope, media_id: str) -> None:
        try:
            await self._fetches.done(envelope.tenant_id, media_id)
        except StoreUnavailable as error:
            log.info("media.still_listed", extra={**_named(envelope), "error": str(error)})  # found kept, later


class AgentFiles:
    """Uploads what agents send, before anything of the message leaves."""

    def __init__(self, tenants: Tenants, media: OutboundMedia) -> None:
        self._tenants = tenants
        self._media = media
        self._turns = Turns()

    async def of(self, envelope: Envelope) -> dict[str, UploadedFile]:
        """The message's files as WhatsApp has them, by their URLs at Genesys.

        Raises Rejected, Unavailable, or LaneHeld when nothing may go to WhatsApp.
        """
        files = files_of_agent(envelope.payload)
        credentials = await self._tenants.credentials(envelope.tenant_id) if files else None
        if not isinstance(credentials, Credentials):
            return {}
        if credentials.whatsapp_held is not None:
            raise LaneHeld(credentials.whatsapp_held.reason, credentials.whatsapp_held.retry_after_s)
        async with self._turns.of(envelope.tenant_id):
            uploaded = {file.url: await self._upload(envelope, credentials, file) for file in files}
        return {url: file for url, file in uploaded.items() if file is not None}

    async def _upload(self, envelope: Envelope, credentials: Credentials, file: AgentFile) -> UploadedFile | None:
        tenant_id, access = envelope.tenant_id, credentials.whatsapp
        try:
            return await self._media.upload(
                tenant_id, access, credentials.genesys_region, credentials.genesys_token, file
            )
        except Rejected as error:
            if file.required:
                raise
            log.info("media.left_out", extra={**_named(envelope), "error": str(error)})
            return None
        except CredentialsRefused as error:
            used = access.access_token
            await self._tenants.refused(tenant_id, Cloud.WHATSAPP, used, error.detail, expired=False)
            raise LaneHeld(error.detail, REFUSED_CHECK_S) from error
        except Throttled as error:
            await self._tenants.throttled(tenant_id, Cloud.WHATSAPP, error.detail, error.retry_after_s, error.code)
            raise LaneHeld(error.detail, error.retry_after_s) from error


def _named(envelope: Envelope) -> dict[str, str]:
    """What a log line says of the message."""
    return {"tenant": envelope.tenant_id, "message_id": envelope.message_id}
