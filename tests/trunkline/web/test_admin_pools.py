"""Pools and restarts over HTTP: who may, what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.admin_app import AdminApp
from trunkline.errors import Unavailable
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services

ONE = {"size": 1, "running": 1, "min": 1, "max": 1, "changing": False}
IDLE: dict[str, Any] = {"state": "idle", "steps": [], "error": None}
RUNNING = {"state": "running", "steps": [{"name": "cell:0", "state": "running", "seconds": None}], "error": None}


async def test_pools_are_shown_to_staff(admin: AdminApp) -> None:
    for key in (await admin.operator_key(), None):
        async with admin.client(key) if key else admin.client() as client:
            answer = await client.get("/pools")
        assert (answer.status_code, answer.json()) == (
            200,
            {"inbound": ONE, "outbound": {"size": 2, "running": 1, "min": 2, "max": 4, "changing": True}},
        )


@pytest.mark.parametrize(
    ("body", "bounds"),
    [({"size": 3}, (3, 3)), ({"size": 64}, (64, 64)), ({"min": 2, "max": 5}, (2, 5)), ({"min": 1, "max": 1}, (1, 1))],
)
async def test_a_pool_is_fixed_or_bounded_by_an_operator_too(
    admin: AdminApp, body: dict[str, int], bounds: tuple[int, int]
) -> None:
    async with admin.client(await admin.operator_key()) as client:
        answer = await client.patch("/pools/inbound", json=body)
    assert answer.status_code == 200
    assert admin.actors.bounds["inbound"] == bounds
    shown = answer.json()["inbound"]
    assert (shown["size"], shown["min"], shown["max"]) == (bounds[0], *bounds)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "body", id="nothing"),
        pytest.param({"size": 0}, "size", id="none"),
        pytest.param({"size": 65}, "size", id="too many"),
        pytest.param({"size": "3"}, "size", id="text"),
        pytest.param({"size": True}, "size", id="truth"),
        pytest.param({"min": 1}, "body", id="min alone"),
        pytest.param({"max": 1}, "body", id="max alone"),
        pytest.param({"min": 3, "max": 2}, "body", id="crossed"),
        pytest.param({"size": 2, "min": 1, "max": 3}, "body", id="both ways"),
        pytest.param({"size": 2, "max": 3}, "body", id="half of both"),
        pytest.param({"size": None}, "body", id="null"),
        pytest.param({"sizes": 2}, "sizes", id="unknown name"),
    ],
)
async def test_a_size_that_no_pool_can_have_is_refused_and_changes_nothing(
    admin: AdminApp, body: dict[str, Any], field: str
) -> None:
    async with admin.client() as client:
        answer = await client.patch("/pools/inbound", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert field in answer.json()["details"]
    assert admin.actors.bounds["inbound"] == (1, 1)


async def test_a_pool_that_is_not_there_is_refused(admin: AdminApp) -> None:
    async with admin.client() as client:
        answer = await client.patch("/pools/sideways", json={"size": 2})
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["pool"])


async def test_a_tenant_neither_sees_nor_changes_pools_nor_restarts(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client(await admin.key_of(tenant)) as client:
        answers = [
            await client.get("/pools"),
            await client.patch("/pools/inbound", json={"size": 2}),
            await client.get("/restart"),
            await client.post("/restart"),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "FORBIDDEN")] * 4
    assert (admin.actors.bounds["inbound"], admin.actors.restarted) == ((1, 1), 0)


async def test_an_admin_begins_a_restart_and_staff_follow_it(admin: AdminApp) -> None:
    failed = {**RUNNING, "state": "failed", "error": "cell:0: it did not come back"}
    admin.actors.restarts = [IDLE, RUNNING, failed]
    async with admin.client() as client:
        begun = await client.post("/restart")
    assert (begun.status_code, begun.json()) == (202, RUNNING)
    async with admin.client(await admin.operator_key()) as client:
        assert (await client.post("/restart")).status_code == 403
        followed = await client.get("/restart")
    assert (followed.status_code, followed.json()["error"]) == (200, "cell:0: it did not come back")
    assert admin.actors.restarted == 1


async def test_without_a_supervisor_nobody_can_tell(admin: AdminApp) -> None:
    admin.actors.failure = Unavailable("supervisor did not answer within 10 s")
    async with admin.client() as client:
        for path in ("/pools", "/restart"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
            assert answer.headers["Retry-After"] == "1"
