"""Keeps a directory fresh: loads it in full on every connection, then follows Postgres' notifications."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import psycopg

from trunkline.errors import StoreUnavailable
from trunkline.stores.database import conninfo, translating

log = logging.getLogger(__name__)

CHANNEL = "trunkline_directory"
# A silent connection is asked for a sign of life this often.
QUIET_S = 15.0
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 3.0


class Directory(Protocol):
    """What is kept fresh."""

    async def reload(self) -> None:
        """Take over everything."""

    async def refresh(self, tenant_id: str) -> None:
        """Take over one tenant."""

    async def refresh_apps(self) -> None:
        """Take over the Meta apps."""


class DirectoryFeed:
    """Follows changes on a direct connection, for as long as the process lives."""

    def __init__(self, database_url: str, directory: Directory) -> None:
        self._database_url = database_url
        self._directory = directory
        self._follower: asyncio.Task[None] | None = None
        self.loaded = asyncio.Event()

    def start(self) -> None:
        """Begin following; `loaded` is set after the first full load."""
        self._follower = asyncio.create_task(self._follow(), name="directory-feed")

    async def close(self) -> None:
        """End following."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    async def _follow(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                with translating():
                    async with await psycopg.AsyncConnection.connect(
                        conninfo(self._database_url), autocommit=True
                    ) as listening:
                        await listening.execute(f"LISTEN {CHANNEL}")
                        # Listening first, so that no change falls between the load and the first notification.
                        await self._directory.reload()
                        self.loaded.set()
                        wait_s = FIRST_WAIT_S
                        await self._take_notifications(listening)
            except StoreUnavailable as error:
                log.warning("directory.stale", extra={"error": str(error), "wait_s": wait_s})
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _take_notifications(self, listening: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        while True:
            changed: set[str] = set()
            async for notification in listening.notifies(timeout=QUIET_S, stop_after=1):
                changed.add(notification.payload)
            if not changed:
                await listening.execute("SELECT 1")
            for payload in changed:
                kind, _, name = payload.partition(":")
                if kind == "app":
                    await self._directory.refresh_apps()
                else:
                    await self._directory.refresh(name)
