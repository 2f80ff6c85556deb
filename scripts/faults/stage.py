"""The platform as `scripts/run` starts it, with stores that can be taken from it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import httpx

from scripts.faults.platform import Platform, free_pair
from scripts.faults.stores import Name, Stores
from scripts.faults.waiting import NotInTime, eventually

WELL_WITHIN_S = 60.0
# Until a call to a cloud is given up: the platform's own default, and less for the tests.
TIMEOUT_S, SHORT_TIMEOUT_S = 10.0, 3.0
STORES: tuple[Name, ...] = ("postgres", "redis", "rabbitmq")


class Stage:
    """Stores, and the platform on them. `short` scenarios are those of the tests."""

    def __init__(self, *, short: bool, seed: int = 0, settings: Mapping[str, str] | None = None) -> None:
        self.short = short
        self.random = random.Random(seed)
        self.cloud_timeout_s = SHORT_TIMEOUT_S if short else TIMEOUT_S
        self._settings = {"TRUNKLINE_CLOUD_TIMEOUT_S": f"{self.cloud_timeout_s:g}", **(settings or {})}
        self.stores: Stores
        self.platform: Platform

    def start(self) -> None:
        """Start everything; from the main thread, with which it ends."""
        port = free_pair()
        self.stores = Stores(port)
        try:
            self.stores.start()
            settings = {**self.stores.environment, **self._settings}
            options = ["--no-sandbox", "--no-dashboard"]
            self.platform = Platform(settings, port, options, self.stores.database_url)
            self.platform.start()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Stop everything and remove what it has written."""
        if platform := self.__dict__.pop("platform", None):
            platform.remove()
        if stores := self.__dict__.pop("stores", None):
            stores.remove()

    async def restart_platform(self) -> None:
        """SIGTERM, and start it again, beside other work of this loop; in the main thread."""
        await asyncio.to_thread(self.platform.stop)
        self.platform.spawn()
        await asyncio.to_thread(self.platform.wait_ready)

    def is_well(self) -> bool:
        """Whether every part answers."""
        try:
            return bool(self.platform.api.get("/health", timeout=5).json()["status"] == "healthy")
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    async def well(self, within_s: float = WELL_WITHIN_S) -> None:
        """Return when every part answers."""
        await eventually(self.is_well, within_s, "every part is well")

    async def mend(self) -> None:
        """Whatever a scenario has left behind: everything runs again, anew if it cannot be had otherwise."""
        try:
            await self.well(20.0)
        except NotInTime:
            self.remove()
            self.start()
