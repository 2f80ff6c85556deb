"""Fetches customers' files whose messages wait for long: Meta keeps a file for 7 days only."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from trunkline.delivery.media import Kept
from trunkline.errors import Rejected, TrunklineError
from trunkline.media_fetch import DueFetch
from trunkline.tenancy.tenant import WhatsAppAccess

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
FETCHED_AT_ONCE = 8
SWEEP_EVERY_S = 600.0
# What was erased while it was being loaded is removed by a later look.
ERASED_LOOKED_BACK_S = 3600.0
ERASED_LOOKED_BACK_FIRST_S = 9 * 86_400.0
# Of tenants that are gone.
DEFAULT_DAYS = 7


class DueFetches(Protocol):
    """The list of files to fetch."""

    async def take_due(self, limit: int) -> Sequence[DueFetch]:
        """Files to be tried now, which nobody else tries; raises StoreUnavailable."""

    async def done(self, tenant_id: str, media_id: str) -> None:
        """The file is kept, or will never be; raises StoreUnavailable."""


class FileKeeper(Protocol):
    """Loads customers' files into the store."""

    async def keep(self, tenant_id: str, access: WhatsAppAccess, media_id: str) -> tuple[Kept, str | None]:
        """Load the file unless it is here; raises Rejected, CredentialsRefused, Throttled or Unavailable."""


class Sweepable(Protocol):
    """Where the bytes of files are kept."""

    async def remove(self, tenant_id: str, media_id: str) -> bool:
        """Whether the file was here; it is not any more."""

    async def sweep(self, days_of: Callable[[str], int]) -> Mapping[str, int]:
        """Remove what is older than its tenant keeps files, then the oldest until all fit.

        Answers how many files of each tenant had reached their age.
        """


class Accounts(Protocol):
    """What the store of tenants knows."""

    async def whatsapp_access(self, tenant_id: str) -> WhatsAppAccess | None:
        """How the tenant's files are fetched; None when there is no such tenant. Raises StoreUnavailable."""

    async def media_days(self) -> Mapping[str, int]:
        """How many days each tenant keeps files; raises StoreUnavailable."""

    async def note_removed(self, removed: Mapping[str, int]) -> None:
        """So many files of these tenants have reached their age and gone; raises StoreUnavailable."""


class ErasedFiles(Protocol):
    """Files of people who were erased."""

    async def erased(self, within_s: float) -> Sequence[tuple[str, str]]:
        """Those that were erased within the last seconds, as tenant and id; raises StoreUnavailable."""


class MediaKeeper:
    """Fetches what is due, and removes what is no longer kept."""

    def __init__(
        self, due: DueFetches, keeper: FileKeeper, files: Sweepable, accounts: Accounts, erased: ErasedFiles
    ) -> None:
        self._due = due
        self._erased = erased
        self._looked_back_s = ERASED_LOOKED_BACK_FIRST_S  # this node may have been away
        self._keeper = keeper
        self._files = files
        self._accounts = accounts

    async def run(self) -> None:
        """Do so again and again, until cancelled."""
        swept_at = 0.0
        while True:
            try:
                await self.fetch_due()
                await self.remove_erased()
                if time.monotonic() - swept_at > SWEEP_EVERY_S:
                    await self.sweep()
                    swept_at = time.monotonic()
            except TrunklineError as error:
                log.info("media.keeper_waits", extra={"error": str(error)})
            except OSError as error:
                log.error("media.not_swept", extra={"error": f"{type(error).__name__} {error.strerror}"})
            await asyncio.sleep(LOOK_EVERY_S)

    async def fetch_due(self) -> None:
        """Fetch what is due now; what fails is due again later. Raises StoreUnavailable."""
        await asyncio.gather(*(self._fetch(due) for due in await self._due.take_due(FETCHED_AT_ONCE)))

    async def remove_erased(self) -> None:
        """Remove what was erased, wherever in the cluster that was asked for; raises StoreUnavailable."""
        for tenant_id, media_id in await self._erased.erased(self._looked_back_s):
            await self._files.remove(tenant_id, media_id)
        self._looked_back_s = ERASED_LOOKED_BACK_S

    async def sweep(self) -> None:
        """Remove what is kept no longer; raises StoreUnavailable."""
        days = await self._accounts.media_days()
        removed = await self._files.sweep(lambda tenant_id: days.get(tenant_id, DEFAULT_DAYS))
        await self._accounts.note_removed(removed)

    async def _fetch(self, due: DueFetch) -> None:
        try:
            access = await self._accounts.whatsapp_access(due.tenant_id)
            if access is not None:
                number = WhatsAppAccess(due.phone_number_id, access.access_token)
                await self._keeper.keep(due.tenant_id, number, due.media_id)
        except Rejected as error:
            log.warning("media.lost", extra={"tenant": due.tenant_id, "error": str(error)})
        except TrunklineError as error:
            log.info("media.waits", extra={"tenant": due.tenant_id, "error": str(error)})
            return
        await self._due.done(due.tenant_id, due.media_id)
