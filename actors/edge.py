"""The web edge on Serve's replicas: an ASGI application whose parts are started in the replica that serves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from actors.hosting import Started
from actors.loopback import keep_replica_on_loopback
from config.settings import Settings
from trunkline.measuring import Recorder

# Replicas import this module before they listen.
keep_replica_on_loopback()


class EdgeParts(Protocol):
    """An ASGI application, the connections it runs on, and what they measure."""

    application: Any

    @property
    def recorder(self) -> Recorder: ...

    async def start(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Finish and disconnect."""


class Edge:
    """Serves `build`'s application; nothing is answered before its parts have started."""

    def __init__(self, build: Callable[[Settings], EdgeParts]) -> None:
        self._parts: Started[EdgeParts] = Started(build)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take part in the replica's life, or answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        parts = self._parts.ready or await self._parts.get()
        await parts.application(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            parts = await self._parts.get()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await parts.close()
        await send({"type": "lifespan.shutdown.complete"})
