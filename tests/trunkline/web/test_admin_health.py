"""Health, for people and for probes."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import pytest
from redis.asyncio import Redis

from tests.trunkline.admin_app import AdminApp
from trunkline.errors import Unavailable
from trunkline.stores.database import Pool, open_pool
from trunkline.web.admin_ports import ComponentHealth

COMPONENTS = {"postgres", "redis", "rabbitmq", "ray", "inbound", "outbound", "tenants"}


@pytest.fixture
def admin() -> AdminApp:
    """No store is behind it: health asks its probes only."""
    return AdminApp(_no_pool(), Redis())


def _no_pool() -> Pool:
    return open_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0, max_size=1)


async def _away() -> None:
    raise ConnectionRefusedError("connect ECONNREFUSED 10.1.2.3:5672")


async def test_all_well(admin: AdminApp) -> None:
    async with admin.client(None) as client:
        answer = await client.get("/health")
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "healthy")
    assert set(body["components"]) == COMPONENTS
    assert datetime.fromisoformat(body["timestamp"]) == admin.now
    for component in body["components"].values():
        assert component["status"] == "healthy" and component["latencyMs"] >= 0


@pytest.mark.parametrize("component", ["rabbitmq", "postgres", "redis"])
async def test_a_store_that_is_away_is_named_but_not_its_address(admin: AdminApp, component: str) -> None:
    admin.probes[component] = _away
    async with admin.client(None) as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["components"][component]["status"] == "unhealthy"
        assert "Cannot connect to" in answer.json()["components"][component]["reason"]
        assert "10.1.2.3" not in answer.text
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


async def test_webhooks_cannot_be_stored_without_the_broker_and_postgres(admin: AdminApp) -> None:
    admin.probes["rabbitmq"] = admin.probes["postgres"] = _away
    async with admin.client(None) as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["rabbitmq", "postgres"])
        assert (await client.get("/health/live")).status_code == 200


async def test_a_pool_that_is_not_well_degrades_the_whole(admin: AdminApp) -> None:
    admin.actors.components["inbound"] = ComponentHealth("degraded", 1.0, "1 of 2 transformers")
    async with admin.client(None) as client:
        body = (await client.get("/health")).json()
    assert body["status"] == "degraded"
    assert body["components"]["inbound"] == {
        "status": "degraded",
        "latencyMs": 1.0,
        "reason": "1 of 2 transformers",
    }


@pytest.mark.parametrize("failure", [Unavailable("no supervisor"), RuntimeError("actor died")])
async def test_actors_that_do_not_answer_are_unhealthy(admin: AdminApp, failure: Exception) -> None:
    admin.actors.failure = failure
    async with admin.client(None) as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    for name in ("ray", "inbound", "outbound", "tenants"):
        assert answer.json()["components"][name]["status"] == "unhealthy"


async def test_who_hangs_delays_the_answer_by_less_than_a_second_and_is_asked_once(admin: AdminApp) -> None:
    asked: list[int] = []
    released = asyncio.Event()

    async def hang() -> None:
        asked.append(1)
        await released.wait()

    admin.probes["redis"] = hang
    async with admin.client(None) as client:
        started = time.monotonic()
        answers = await asyncio.gather(*(client.get("/health") for _ in range(5)))
        took = time.monotonic() - started
        assert took < 1.3  # a second, and what a busy machine adds
        assert {answer.json()["components"]["redis"]["status"] for answer in answers} == {"unhealthy"}
        assert len(asked) == 1
        released.set()
        assert (await client.get("/health")).json()["status"] == "healthy"
