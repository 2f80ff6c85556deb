"""Fixtures of the sandbox's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A sandbox with the accounts alder and birch."""
    made = World()
    yield made
    await made.sandbox.close()
