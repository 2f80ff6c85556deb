"""Routes about what runs: the pools of transformers, the actors with their memory, and restarting everything."""

from __future__ import annotations

import dataclasses
import logging
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import Field, StrictInt, model_validator

from trunkline.delivery.pool_size import LARGEST, SMALLEST
from trunkline.tenancy.audit import AuditRecord
from trunkline.web.admin_models import Answer, Asked
from trunkline.web.admin_ports import ActorProcess
from trunkline.web.auth import Acting, Services, keyed_router, require_admin, require_staff

log = logging.getLogger(__name__)

router = keyed_router(tag="pools")

PoolName = Literal["inbound", "outbound"]
Count = Annotated[StrictInt, Field(ge=SMALLEST, le=LARGEST)]


class PoolChange(Asked):
    """Either `size`, which fixes the pool, or `min` and `max`, between which it finds its size by itself."""

    size: Count | None = None
    min: Count | None = None
    max: Count | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> PoolChange:
        bounds = (self.min, self.max)
        if (self.size is None) == (None in bounds) or (self.size is not None and bounds != (None, None)):
            raise ValueError("give either size, or both min and max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be larger than max")
        return self

    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest size."""
        low, high = (self.size, self.size) if self.size is not None else (self.min, self.max)
        assert low is not None and high is not None
        return low, high


class PoolShown(Answer):
    """A pool; `changing` until as many run as it should have, and none of the others is left."""

    size: int
    running: int
    min: int
    max: int
    changing: bool


class PoolsShown(Answer):
    """Both pools: `inbound` serves Genesys, `outbound` WhatsApp."""

    inbound: PoolShown
    outbound: PoolShown


class HoldingShown(Answer):
    """What a cell or a transformer looks after."""

    of: Literal["tenants", "lanes"]
    count: int
    names: list[str] = Field(description="the first hundred, in order")


class RunningActor(Answer):
    """An actor or a replica. One that is `silent` or `unreachable` does not tell what only it knows."""

    name: str
    kind: str = Field(alias="class")
    pid: int | None
    node: str | None
    memory_bytes: int | None = Field(description="resident memory of its process")
    memory_limit_bytes: int = Field(description="what it may have; `TRUNKLINE_ACTOR_MEMORY_MB`")
    state: Literal["alive", "silent", "unreachable"]
    holds: HoldingShown | None = Field(description="a cell's active tenants, the lanes that a transformer reads")


class ActorsShown(Answer):
    """Cells, transformers, the supervisor, and the replicas of the web edge."""

    actors: list[RunningActor]


class StepShown(Answer):
    """One step of a restart."""

    name: str
    state: Literal["waiting", "running", "done", "failed"]
    seconds: float | None


class RestartShown(Answer):
    """How the last restart stands; `error` says why it failed."""

    state: Literal["idle", "running", "done", "failed"]
    steps: list[StepShown]
    error: str | None


@router.get("/pools", dependencies=[Depends(require_staff)])
async def show_pools(services: Services) -> PoolsShown:
    """The pools' sizes."""
    return PoolsShown.model_validate(await services.actors.pools())


@router.get("/actors", dependencies=[Depends(require_staff)])
async def list_actors(services: Services) -> ActorsShown:
    """The actors and replicas, with their memory; answered within two seconds, whoever is silent."""
    return ActorsShown(actors=[_actor(each) for each in await services.actors.census()])


@router.patch("/pools/{pool}", dependencies=[Depends(require_staff)])
async def scale_pool(pool: PoolName, body: PoolChange, actor: Acting, services: Services) -> PoolsShown:
    """Give a pool another size; answers when the change has begun, and GET shows when it is done."""
    low, high = body.bounds()
    shown = await services.actors.scale(pool, low, high, actor)
    log.info("pool.scaled", extra={"pool": pool, "min": low, "max": high, "key": actor.key_id})
    return PoolsShown.model_validate(shown)


@router.post("/restart", status_code=202, dependencies=[Depends(require_admin)])
async def restart(actor: Acting, services: Services) -> RestartShown:
    """Begin to restart every actor and replica in turn, under load; one that has begun goes on."""
    if (await services.actors.restart_progress())["state"] != "running":
        await services.audit.record(AuditRecord(actor, "restart.begun", None, None))
    shown = await services.actors.restart()
    log.info("restart.asked", extra={"key": actor.key_id})
    return RestartShown.model_validate(shown)


@router.get("/restart", dependencies=[Depends(require_staff)])
async def show_restart(services: Services) -> RestartShown:
    """How the last restart stands."""
    return RestartShown.model_validate(await services.actors.restart_progress())


def _actor(process: ActorProcess) -> RunningActor:
    return RunningActor.model_validate(dataclasses.asdict(process))
