"""What every host of ours does alike: settings, log lines, and parts that are built inside the actor's loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from actors.exporting import export
from config.logs import configure_logging
from config.settings import Settings, load_settings
from trunkline.measuring import Recorder


class Startable(Protocol):
    """Parts with connections to make, and what they measure."""

    @property
    def recorder(self) -> Recorder: ...

    async def start(self) -> None:
        """Connect."""


GARBAGE_THRESHOLD = 20_000

Parts = TypeVar("Parts", bound=Startable)


class Started(Generic[Parts]):
    """Parts built and started on first use, since connections cannot travel and need the actor's own event loop."""

    def __init__(self, build: Callable[[Settings], Parts]) -> None:
        self._build = build
        self._starting: asyncio.Task[Parts] | None = None

    async def get(self) -> Parts:
        """The parts, started."""
        if self._starting is not None and self._starting.done() and self._starting.exception() is not None:
            self._starting = None
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    @property
    def ready(self) -> Parts | None:
        """The parts if they have been started."""
        done = self._starting is not None and self._starting.done() and self._starting.exception() is None
        return self._starting.result() if self._starting is not None and done else None

    async def _start(self) -> Parts:
        settings = load_settings()
        configure_logging(settings.log_level)
        parts = self._build(settings)
        await parts.start()
        self._exporting = asyncio.create_task(export(parts.recorder))
        _spare_collector()
        return parts


def _spare_collector() -> None:
    """Leave what was loaded at the start out of garbage collection, and collect less often: little of it has cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)
