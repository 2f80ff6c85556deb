"""How the platform is: one look at every component, in under a second, whoever hangs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from trunkline.web.admin_models import Answer, Time
from trunkline.web.admin_ports import AdminServices, ComponentHealth, Probe, TenantActors
from trunkline.web.auth import Services

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"], generate_unique_id_function=lambda route: to_camel(route.name))

ANSWER_WITHIN_S = 0.9
ACTOR_COMPONENTS = ("ray", "inbound", "outbound", "tenants")
# Either stores webhooks: the broker, and while it is away, the spool in Postgres.
STORES_OF_WEBHOOKS = ("rabbitmq", "postgres")

_NAMES = {"postgres": "Postgres", "redis": "Redis", "rabbitmq": "RabbitMQ"}


class ComponentShown(Answer):
    """A component; `reason` says in a word why it is not well."""

    status: Literal["healthy", "degraded", "unhealthy"]
    latency_ms: float | None
    reason: str | None = None


class HealthShown(Answer):
    """Healthy, degraded (webhooks are stored, something else is not well) or unhealthy (they are not)."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: Time
    components: dict[str, ComponentShown]


class LiveShown(Answer):
    """This process answers."""

    status: Literal["alive"]


class ReadyShown(Answer):
    """Whether webhooks can be stored, and which of the stores that can take them are away."""

    status: Literal["ready", "not ready"]
    missing: list[str]


class Health:
    """Looks at the components; at most one look at each is under way, whoever else asks shares it."""

    def __init__(self, services: AdminServices) -> None:
        self._probes = services.probes
        self._actors = services.actors
        self._looks: dict[str, asyncio.Task[dict[str, ComponentHealth]]] = {}

    async def components(self) -> dict[str, ComponentHealth]:
        """Every component as it is; one that does not answer in time is unhealthy."""
        looks = {name: self._look(name, _probe(name, probe)) for name, probe in self._probes.items()}
        looks["actors"] = self._look("actors", _ask(self._actors))
        await asyncio.wait(looks.values(), timeout=ANSWER_WITHIN_S)
        found: dict[str, ComponentHealth] = {}
        for name, look in looks.items():
            names = ACTOR_COMPONENTS if name == "actors" else (name,)
            late = ComponentHealth("unhealthy", None, f"no answer within {ANSWER_WITHIN_S:g} s")
            found |= look.result() if look.done() else dict.fromkeys(names, late)
        return found

    def _look(
        self, name: str, look: Coroutine[Any, Any, dict[str, ComponentHealth]]
    ) -> asyncio.Task[dict[str, ComponentHealth]]:
        under_way = self._looks.get(name)
        if under_way is not None and not under_way.done():
            look.close()
            return under_way
        self._looks[name] = task = asyncio.create_task(look)
        return task


@router.get(
    "/health",
    response_model=HealthShown,
    responses={503: {"model": HealthShown, "description": "Webhooks cannot be stored"}},
)
async def show_health(request: Request, services: Services) -> Response:
    """How the platform is; 503 when webhooks cannot be stored."""
    components = await _health(request).components()
    status = _overall(components)
    shown = HealthShown(
        status=status,
        timestamp=services.now(),
        components={name: _shown(health) for name, health in components.items()},
    )
    return JSONResponse(
        shown.model_dump(mode="json", by_alias=True),
        503 if status == "unhealthy" else 200,
        {"Cache-Control": "no-store"},
    )


@router.get("/health/live")
async def show_live() -> LiveShown:
    """This process answers."""
    return LiveShown(status="alive")


@router.get(
    "/health/ready",
    response_model=ReadyShown,
    responses={503: {"model": ReadyShown, "description": "Webhooks cannot be stored"}},
)
async def show_ready(request: Request) -> Response:
    """Whether webhooks can be stored; what is missing although they can is told too."""
    components = await _health(request).components()
    missing = [name for name in STORES_OF_WEBHOOKS if components[name].status == "unhealthy"]
    ready = _can_store(components)
    shown = ReadyShown(status="ready" if ready else "not ready", missing=missing)
    return JSONResponse(shown.model_dump(mode="json", by_alias=True), 200 if ready else 503)


def _health(request: Request) -> Health:
    health: Health = request.app.state.health
    return health


def _overall(components: dict[str, ComponentHealth]) -> Literal["healthy", "degraded", "unhealthy"]:
    if not _can_store(components):
        return "unhealthy"
    return "healthy" if all(health.status == "healthy" for health in components.values()) else "degraded"


def _can_store(components: dict[str, ComponentHealth]) -> bool:
    return any(components[name].status != "unhealthy" for name in STORES_OF_WEBHOOKS)


def _shown(health: ComponentHealth) -> ComponentShown:
    latency_ms = None if health.latency_ms is None else round(health.latency_ms, 2)
    return ComponentShown(status=health.status, latency_ms=latency_ms, reason=health.reason)


async def _probe(name: str, probe: Probe) -> dict[str, ComponentHealth]:
    started = time.perf_counter()
    try:
        await probe()
    except Exception as error:
        # Anybody may ask: what exactly failed, and at which address, is for the log.
        log.warning("health.component_away", extra={"component": name, "error": str(error)})
        return {name: ComponentHealth("unhealthy", _since(started), f"Cannot connect to {_NAMES.get(name, name)}")}
    return {name: ComponentHealth("healthy", _since(started))}


async def _ask(actors: TenantActors) -> dict[str, ComponentHealth]:
    try:
        found = await actors.health()
    except Exception as error:
        log.warning("health.component_away", extra={"component": "actors", "error": str(error)})
        found = {}
    unknown = ComponentHealth("unhealthy", None, "the actors do not answer")
    return {name: found.get(name, unknown) for name in ACTOR_COMPONENTS}


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
