"""Routes about the queues: what waits in each tenant's, for how long and why, and purging."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field, StringConstraints, TypeAdapter

from trunkline.delivery.queues import LaneState, Purged
from trunkline.envelope import Direction
from trunkline.tenancy.audit import AuditRecord
from trunkline.tenancy.record import TENANT_ID_PATTERN
from trunkline.web.admin_models import Answer, Cursor, decode_cursor, encode_cursor
from trunkline.web.admin_ports import AdminServices
from trunkline.web.auth import Acting, Services, TenantOrAll, find_tenant, keyed_router, require_admin, require_staff
from trunkline.web.errors import bad_request, not_found

router = keyed_router(tag="queues")

LARGEST_PAGE = 1000

QueueName = Annotated[
    Annotated[str, StringConstraints(max_length=200)] | None,
    Query(description="only this one's: one of the three names, alone or with `.<tenant id>`"),
]
InUse = Annotated[bool, Query(alias="inUse", description="only those that are being read or have something spooled")]
PageSize = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="how many at most")]
_AFTER = TypeAdapter(
    tuple[Annotated[str, StringConstraints(pattern=TENANT_ID_PATTERN)], Direction],
)


class QueueShown(Answer):
    """A tenant's queue. Null stands for what could not be found out in time; `missing` then says why."""

    queue: str = Field(description="one of the three names")
    name: str = Field(description="its name in RabbitMQ")
    tenant_id: str
    messages: int | None = Field(description="all that wait: in the queue, received and not acknowledged, spooled")
    unacked: int | None = Field(description="of these, received by its transformer and not acknowledged")
    spooled: int | None = Field(description="of these, in Postgres instead of the queue")
    consumers: int | None
    oldest_age_seconds: float | None = Field(
        description="since the oldest of these was accepted; null if there is none"
    )
    reader: str | None = Field(description="the transformer that reads it; null while it is not in use")
    held: str | None = Field(description="why its reader lets it wait as a whole")


class QueuesShown(Answer):
    """Queues that have carried something, in order of tenant and direction."""

    queues: list[QueueShown]
    missing: dict[str, str] = Field(description="who did not answer in time, with the reason")
    next_cursor: str | None


class PurgeShown(Answer):
    """How many messages were purged; `failed`, if there is any, says why a tenant's were not, or not all."""

    purged: int
    failed: dict[str, str] | None = None


@router.get("/queues", dependencies=[Depends(require_staff)])
async def list_queues(
    services: Services,
    tenant_id: TenantOrAll,
    queue: QueueName = None,
    in_use: InUse = False,
    limit: PageSize = LARGEST_PAGE,
    cursor: Cursor = None,
) -> QueuesShown:
    """What waits in each tenant's queues, for how long, and who reads them; who is silent is waited for 3 s."""
    directions = list(Direction)
    if queue is not None:
        direction, named = _direction_of(queue, services.lanes.names)
        if direction is None:
            raise bad_request({"queue": _known(services.lanes.names)})
        directions = [direction]
        tenant_id = await _agreed(services, named, tenant_id, "queue")
    after = decode_cursor(cursor, _AFTER)
    now = services.now()
    if tenant_id is not None:
        found = await services.lanes.of_tenant(tenant_id, directions)
        shown = [_shown(state, now) for state in found.lanes]
        return QueuesShown(queues=shown, missing=found.missing, next_cursor=None)
    list_lanes = services.lanes.in_use if in_use else services.lanes.page
    page = await list_lanes(directions, limit, (after[0], after[1].value) if after else None)
    last = page.lanes[-1] if len(page.lanes) == limit else None
    return QueuesShown(
        queues=[_shown(state, now) for state in page.lanes],
        missing=page.missing,
        next_cursor=encode_cursor(last.tenant_id, last.direction.value) if last else None,
    )


@router.post("/queues/{queue}/purge", dependencies=[Depends(require_admin)], response_model_exclude_none=True)
async def purge_queue(queue: str, actor: Acting, services: Services, tenant_id: TenantOrAll) -> PurgeShown:
    """Remove all that waits: in every tenant's queue, or with `X-Tenant-ID`, or as `<queue>.<tenant id>`, in one's.

    What is being sent is finished first, what comes in meanwhile stays, and each message's trace says `purged`.
    """
    direction, named = _direction_of(queue, services.lanes.names)
    if direction is None:
        raise not_found("Queue", {"queue": _known(services.lanes.names)})
    tenant_id = await _agreed(services, named, tenant_id, "X-Tenant-ID")
    name = services.lanes.names[direction]
    await services.audit.record(AuditRecord(actor, "queue.purge_begun", tenant_id, name))
    if tenant_id is None:
        purged = await services.lanes.purge_all(direction, actor.key_id)
    else:
        purged = Purged(await services.lanes.purge(tenant_id, direction, actor.key_id))
    after = {"purged": purged.count, "failed": sorted(purged.failed)}
    await services.audit.record(AuditRecord(actor, "queue.purged", tenant_id, name, after=after))
    return PurgeShown(purged=purged.count, failed=purged.failed or None)


def _direction_of(queue: str, names: Mapping[Direction, str]) -> tuple[Direction | None, str | None]:
    """The direction that a queue's name means, and the tenant if it names one."""
    name, dot, tenant_id = queue.partition(".")
    direction = next((direction for direction, known in names.items() if known == name), None)
    return direction, tenant_id if dot else None


async def _agreed(services: AdminServices, named: str | None, tenant_id: str | None, field: str) -> str | None:
    """The tenant that the queue's name or the header names; both must not name different ones."""
    if named is None:
        return tenant_id
    if tenant_id not in (None, named):
        raise bad_request({field: "the queue's name and X-Tenant-ID name different tenants"})
    return (await find_tenant(services, named)).tenant_id


def _known(names: Mapping[Direction, str]) -> str:
    return f"known are {', '.join(names.values())}, each alone or with .<tenant id>"


def _shown(state: LaneState, now: datetime) -> QueueShown:
    age_s = None if state.oldest_at is None else round(max(0.0, now.timestamp() - state.oldest_at), 1)
    return QueueShown(
        queue=state.queue, name=state.name, tenant_id=state.tenant_id, messages=state.messages, unacked=state.unacked,
        spooled=state.spooled, consumers=state.consumers, oldest_age_seconds=age_s, reader=state.reader,
        held=state.held,
    )  # fmt: skip
