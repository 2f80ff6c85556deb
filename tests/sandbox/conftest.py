"""Fixtures of the sandbox's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sandbox.server import Server, listen
from tests.sandbox.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A sandbox with the accounts alder and birch."""
    made = World(tmp_path / "files")
    yield made
    await made.sandbox.close()
    assert made.files == 0


@pytest.fixture
async def address(world: World) -> AsyncIterator[tuple[str, int]]:
    """The sandbox behind its server, on a free port."""
    bound = listen("127.0.0.1", 0)
    server = Server(world.sandbox)
    await server.start(bound)
    yield bound.getsockname()
    await server.close()


@pytest.fixture
async def http(address: tuple[str, int]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of that server."""
    async with aiohttp.ClientSession(f"http://{address[0]}:{address[1]}") as session:
        yield session
