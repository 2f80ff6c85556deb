"""File servers: a cloud's own, and somebody else's on the same machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.trunkline.clients.file_server import FileServer, serving
from trunkline.clients.downloads import Downloads

IDLE_S = 1.0


@pytest.fixture
async def own() -> AsyncIterator[FileServer]:
    """A cloud's own host, as the settings name it."""
    async with serving() as server:
        yield server


@pytest.fixture
async def other() -> AsyncIterator[FileServer]:
    """Somebody else on this machine."""
    async with serving("127.0.0.2") as server:
        yield server


@pytest.fixture
async def downloads(own: FileServer) -> AsyncIterator[Downloads]:
    made = Downloads([f"{own.url}/v25.0", ""], IDLE_S)
    yield made
    await made.close()
