"""Customers' files behind the links that were given to Genesys."""

from __future__ import annotations

from typing import Protocol

from trunkline.delivery.media import Kept
from trunkline.errors import NotFound
from trunkline.media_links import MediaLink
from trunkline.tenancy.tenant import WhatsAppAccess


class Links(Protocol):
    """Links of ours."""

    def open(self, token: str) -> MediaLink:
        """What the token of a link names; raises NotFound."""


class Accounts(Protocol):
    """What the store of tenants knows."""

    async def whatsapp_access(self, tenant_id: str) -> WhatsAppAccess | None:
        """How the tenant's files are fetched; None when there is no such tenant."""


class ErasedFiles(Protocol):
    """Files of people who were erased."""

    async def is_erased(self, tenant_id: str, media_id: str) -> bool:
        """Whether nobody may load this file again; raises StoreUnavailable."""


class FileKeeper(Protocol):
    """Loads customers' files into the store."""

    async def keep(self, tenant_id: str, access: WhatsAppAccess, media_id: str) -> tuple[Kept, str | None]:
        """The file; raises Rejected, CredentialsRefused, Throttled or Unavailable."""


class LinkedMedia:
    """Opens links, and loads a file that is not here: another node may have fetched it first."""

    def __init__(self, links: Links, accounts: Accounts, erased: ErasedFiles, keeper: FileKeeper) -> None:
        self._links = links
        self._accounts = accounts
        self._erased = erased
        self._keeper = keeper

    async def open(self, token: str) -> tuple[MediaLink, Kept]:
        """The link and its file; raises NotFound, Unavailable, and what WhatsApp answers."""
        link = self._links.open(token)
        access = await self._accounts.whatsapp_access(link.tenant_id)
        if access is None or await self._erased.is_erased(link.tenant_id, link.media_id):
            raise NotFound("Media")
        number = WhatsAppAccess(link.phone_number_id, access.access_token)
        kept, _ = await self._keeper.keep(link.tenant_id, number, link.media_id)
        return link, kept
