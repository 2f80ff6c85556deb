"""Files on their way between the clouds, through the disk and never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from trunkline.errors import Rejected, Unavailable
from trunkline.media_links import MediaLink
from trunkline.protocol.file_types import UNKNOWN_TYPE, bare_mime, extension
from trunkline.protocol.media import (
    GENESYS_LIMIT_BYTES,
    WHATSAPP_LIMIT_BYTES,
    AgentFile,
    Attachable,
    CustomerFile,
    Unattachable,
    UploadedFile,
    attachment_name,
    file_name,
    sendable,
)
from trunkline.tenancy.tenant import WhatsAppAccess

log = logging.getLogger(__name__)

Sink = Callable[[bytes], Awaitable[None]]

# Waits between the tries to load a customer's file; then a text takes its place.
FETCH_WAITS_S = (1.0, 2.0, 4.0, 8.0)
COULD_NOT_BE_LOADED = "could not be loaded"
TOO_LARGE = f"is larger than {GENESYS_LIMIT_BYTES // 2**20} MB"


class Kept(Protocol):
    """A file that is here."""

    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...


class Writer(Protocol):
    """Takes a file's bytes."""

    @property
    def path(self) -> Path: ...

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes."""

    async def flush(self) -> None:
        """Write what has gathered."""


class Files(Protocol):
    """Where the bytes of files are kept."""

    async def find(self, tenant_id: str, media_id: str) -> Kept | None:
        """The file, if it is here."""

    def writing(self, tenant_id: str, media_id: str) -> AbstractAsyncContextManager[Writer]:
        """Write the file; raises StoreUnavailable."""

    def spool(self) -> AbstractAsyncContextManager[Writer]:
        """A file for as long as this lasts; raises StoreUnavailable."""


class MediaFacts(Protocol):
    """What came from WhatsApp."""

    @property
    def mime(self) -> str | None: ...
    @property
    def sha256(self) -> str | None: ...


class WhatsAppMedia(Protocol):
    """Files of WhatsApp."""

    async def fetch(
        self, access: WhatsAppAccess, phone_number_id: str, media_id: str, sink: Sink, limit_bytes: int
    ) -> MediaFacts:
        """Write the file into `sink`; raises Rejected, CredentialsRefused, Throttled or Unavailable."""

    async def upload(self, access: WhatsAppAccess, path: Path, mime: str, filename: str) -> str:
        """The id under which WhatsApp has the file; raises Rejected, CredentialsRefused, Throttled or Unavailable."""


class Fetched(Protocol):
    """What came from Genesys."""

    @property
    def mime(self) -> str | None: ...
    @property
    def size(self) -> int: ...
    @property
    def head(self) -> bytes: ...


class GenesysMedia(Protocol):
    """Files of Genesys."""

    async def fetch(self, region: str, token: str | None, url: str, sink: Sink, limit_bytes: int) -> Fetched:
        """Write the file into `sink`; raises Rejected or Unavailable."""


class Links(Protocol):
    """Links of ours, under which Genesys fetches files."""

    def url(self, link: MediaLink) -> str:
        """Where the file can be fetched from now on."""


class Keeper:
    """Loads customers' files into the store, each once at a time."""

    def __init__(self, files: Files, whatsapp: WhatsAppMedia) -> None:
        self._files = files
        self._whatsapp = whatsapp
        self._under_way: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def keep(self, tenant_id: str, access: WhatsAppAccess, media_id: str) -> tuple[Kept, str | None]:
        """The file, and its type if WhatsApp was asked; raises Rejected, CredentialsRefused, Throttled, Unavailable."""
        lock = self._under_way.get((tenant_id, media_id)) or asyncio.Lock()
        async with self._under_way.setdefault((tenant_id, media_id), lock):
            kept, mime = await self._files.find(tenant_id, media_id), None
            if kept is None:
                mime = await self._load(tenant_id, access, media_id)
                kept = await self._files.find(tenant_id, media_id)
        if kept is None:
            raise Unavailable("the file was removed as soon as it was there")
        return kept, mime

    async def _load(self, tenant_id: str, access: WhatsAppAccess, media_id: str) -> str | None:
        digest = hashlib.sha256()
        async with self._files.writing(tenant_id, media_id) as writer:

            async def sink(chunk: bytes) -> None:
                digest.update(chunk)
                await writer.write(chunk)

            facts = await self._whatsapp.fetch(access, access.phone_number_id, media_id, sink, WHATSAPP_LIMIT_BYTES)
            if facts.sha256 and facts.sha256 != digest.hexdigest():
                raise Unavailable("the file is not the one that WhatsApp announced: its hash differs")
        return facts.mime


class InboundMedia:
    """Customers' files, kept where Genesys can fetch them."""

    def __init__(self, keeper: Keeper, links: Links, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._keeper = keeper
        self._links = links
        self._sleep = sleep

    async def attach(
        self, tenant_id: str, access: WhatsAppAccess, file: CustomerFile, message_id: str
    ) -> Attachable | Unattachable:
        """The file of the message as Genesys can have it, or why it cannot; raises CredentialsRefused or Throttled."""
        facts = {"tenant": tenant_id, "message_id": message_id}
        for wait_s in (*FETCH_WAITS_S, None):
            try:
                kept, told = await self._keeper.keep(tenant_id, access, file.media_id)
            except Rejected as error:
                log.warning("media.lost", extra={**facts, "error": str(error)})
                return Unattachable(COULD_NOT_BE_LOADED)
            except Unavailable as error:
                log.info("media.waits", extra={**facts, "error": str(error), "wait_s": wait_s})
                if wait_s is not None:
                    await self._sleep(wait_s)
                continue
            return self._attached(tenant_id, access, file, kept.size, file.mime or bare_mime(told) or UNKNOWN_TYPE)
        return Unattachable(COULD_NOT_BE_LOADED)

    def _attached(
        self, tenant_id: str, access: WhatsAppAccess, file: CustomerFile, size: int, mime: str
    ) -> Attachable | Unattachable:
        name = attachment_name(file, mime)
        url = self._links.url(MediaLink(tenant_id, file.media_id, access.phone_number_id, mime, name))
        return Unattachable(TOO_LARGE, url) if size > GENESYS_LIMIT_BYTES else Attachable(url, mime, name)


class OutboundMedia:
    """Agents' files, uploaded to WhatsApp."""

    def __init__(self, files: Files, genesys: GenesysMedia, whatsapp: WhatsAppMedia) -> None:
        self._files = files
        self._genesys = genesys
        self._whatsapp = whatsapp

    async def upload(
        self, tenant_id: str, whatsapp: WhatsAppAccess, region: str, genesys_token: str | None, file: AgentFile
    ) -> UploadedFile:
        """The file as WhatsApp has it; raises Rejected, Unavailable, Throttled or CredentialsRefused."""
        sendable(file.mime, None, b"", file.size or 1)  # what is too large by its own account is not even loaded
        async with self._files.spool() as spool:
            fetched = await self._genesys.fetch(region, genesys_token, file.url, spool.write, WHATSAPP_LIMIT_BYTES)
            await spool.flush()
            how = sendable(file.mime, fetched.mime, fetched.head, fetched.size)
            name = file_name(file.filename)
            upload_name = name or f"{how.kind}.{extension(how.mime)}"
            media_id = await self._whatsapp.upload(whatsapp, spool.path, how.mime, upload_name)
        return UploadedFile(media_id, how.kind, name or None)
