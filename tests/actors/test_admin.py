"""What the actors say of a message that waits, for whoever asks for its trace: at once, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from actors import admin, directory
from actors.admin import ActorsForAdmin
from tests.trunkline.records import tenant_record
from trunkline.envelope import Direction
from trunkline.errors import Unavailable
from trunkline.tenancy.record import TenantRecord
from trunkline.tenancy.standing import UNKNOWN, Hindrance, Obstacle, Standing

TENANT = tenant_record("alder")
OBSTACLE = Obstacle(Hindrance.FAILING, "503", 12.0)
LANES = {"outbound-genesys-messages.alder": {"held": None}}

Answer = Callable[..., Awaitable[Any]]


async def _find(tenant_id: str) -> TenantRecord | None:
    return TENANT if tenant_id == TENANT.tenant_id else None


def _says(value: Any) -> Answer:
    async def answer(*asked: Any) -> Any:
        return value

    return answer


def _fails(*asked: Any) -> Awaitable[Any]:
    async def answer() -> Any:
        raise Unavailable("it is being restarted")

    return answer()


def _hangs(*asked: Any) -> Awaitable[Any]:
    return asyncio.Event().wait()


@pytest.mark.parametrize(
    ("cell", "supervisor", "standing"),
    [
        pytest.param(_says(OBSTACLE), _says(LANES), Standing(OBSTACLE, is_read=True), id="both answer"),
        pytest.param(_says(None), _says({}), Standing(None, is_read=False), id="nobody reads its lane"),
        pytest.param(_hangs, _says(LANES), Standing(None, is_read=True), id="the cell hangs"),
        pytest.param(_says(OBSTACLE), _fails, Standing(OBSTACLE), id="the supervisor is away"),
        pytest.param(_fails, _hangs, UNKNOWN, id="neither answers"),
    ],
)
async def test_what_is_not_said_at_once_is_left_out(
    cell: Answer, supervisor: Answer, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "STANDING_TIMEOUT_S", 0.01)
    asked = SimpleNamespace(obstacle=SimpleNamespace(remote=cell))
    monkeypatch.setattr(directory, "cell", lambda name: asked)
    monkeypatch.setattr(directory, "supervisor", lambda: SimpleNamespace(lanes=SimpleNamespace(remote=supervisor)))
    actors = ActorsForAdmin(_find, 1, 2**29)
    assert await actors.standing("alder", Direction.OUTBOUND, "447700900111") == standing
