"""The API where nothing is connected: enough for its description, and for what it refuses by itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from redis.asyncio import Redis

from tests.trunkline.admin_app import AdminApp
from trunkline.stores.database import open_pool


def unconnected() -> AdminApp:
    """An API whose stores are away."""
    pool = open_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0, max_size=1)
    return AdminApp(pool, Redis.from_url("redis://127.0.0.1:1"))


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    made: dict[str, Any] = unconnected().app.openapi()
    return made
