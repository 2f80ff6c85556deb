"""Routes about the audit log: what was done by whom, and whether the log itself is whole."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import Field, StringConstraints, TypeAdapter

from trunkline.tenancy.audit import AuditEntry, Place, Verified
from trunkline.tenancy.record import TENANT_ID_PATTERN
from trunkline.web.admin_models import Answer, Cursor, Limit, Time, decode_cursor, encode_cursor, page_of
from trunkline.web.auth import Services, keyed_router, require_staff
from trunkline.web.errors import bad_request, not_found

router = keyed_router(tag="audit")

# As large as a number of Postgres can be.
LARGEST_ID = 2**63 - 2

TenantQuery = Annotated[
    Annotated[str, StringConstraints(pattern=TENANT_ID_PATTERN)] | None, Query(description="only what concerns it")
]
ActionQuery = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,50}\.[a-z_]{1,50}$")] | None,
    Query(description="only this, e.g. `key.revoked`"),
]
Step = Annotated[int, Query(ge=1, le=10_000, description="how many entries to check at most")]
EntryId = Annotated[int, Path(ge=1, le=LARGEST_ID)]

_BEFORE = TypeAdapter(tuple[Annotated[int, Field(ge=1, le=LARGEST_ID)]])
_AFTER = TypeAdapter(
    tuple[Annotated[int, Field(ge=0, le=LARGEST_ID)], Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]]
)


class ActorShown(Answer):
    """Who acted: the key, its role, and the address that the request came from; null for what acts by itself."""

    key_id: str
    role: str
    address: str | None


class EntryShown(Answer):
    """What was done, with what was there before and after; secrets are masked."""

    id: str
    at: Time
    actor: ActorShown
    action: str
    tenant_id: str | None
    subject: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str = Field(description="of this entry and all before it, SHA-256 in hexadecimal digits")


class EntryPage(Answer):
    """A page of the log, newest first."""

    entries: list[EntryShown]
    next_cursor: str | None


class PlaceShown(Answer):
    """An entry of the chain, by its number and hash."""

    id: str
    hash: str


class BreachShown(Answer):
    """The first entry that does not fit, and why."""

    id: str
    reason: str


class VerifiedShown(Answer):
    """How far the chain holds; `broken` names the first entry that does not fit."""

    checked: int = Field(description="entries that were checked now, those that retention has removed among them")
    removed: int = Field(description="how many of them retention has removed")
    total: int = Field(description="entries there are to check, from the oldest that was not removed with all before")
    reached: PlaceShown
    head: PlaceShown = Field(description="the newest entry; noted elsewhere, it shows later that nothing was cut off")
    broken: BreachShown | None
    next_cursor: str | None = Field(description="to go on with; null when all is checked, or something is broken")


@router.get("/audit", dependencies=[Depends(require_staff)])
async def list_entries(
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
    tenant: TenantQuery = None,
    action: ActionQuery = None,
) -> EntryPage:
    """Who did what: every change, reveal, purge, replay and erasure, newest first."""
    before = decode_cursor(cursor, _BEFORE)
    rows = await services.audit.entries(limit + 1, before[0] if before else None, tenant, action)
    page, next_cursor = page_of(rows, limit, lambda entry: (entry.id,))
    return EntryPage(entries=[_shown(entry) for entry in page], next_cursor=next_cursor)


@router.get("/audit/verify", dependencies=[Depends(require_staff)])
async def verify_chain(services: Services, limit: Step = 1000, cursor: Cursor = None) -> VerifiedShown:
    """Check the next part of the chain: changed, removed, inserted and reordered entries are found."""
    after = decode_cursor(cursor, _AFTER)
    found = await services.audit.verify(limit, Place(after[0], bytes.fromhex(after[1])) if after else None)
    if after is not None and after[0] > found.head.id:
        raise bad_request({"cursor": "not a cursor of this log"})
    return _shown_verified(found)


@router.get("/audit/{id}", dependencies=[Depends(require_staff)])
async def show_entry(id: EntryId, services: Services) -> EntryShown:
    """One entry."""
    found = await services.audit.entries(1, id + 1)
    if not found or found[0].id != id:
        raise not_found("Entry")
    return _shown(found[0])


def _shown(entry: AuditEntry) -> EntryShown:
    record = entry.record
    return EntryShown(
        id=str(entry.id),
        at=entry.at,
        actor=ActorShown(key_id=record.actor.key_id, role=record.actor.role, address=record.actor.address),
        action=record.action,
        tenant_id=record.tenant_id,
        subject=record.subject,
        before=record.before,
        after=record.after,
        hash=entry.hash.hex(),
    )


def _shown_verified(found: Verified) -> VerifiedShown:
    breach = found.breach
    return VerifiedShown(
        checked=found.checked,
        removed=found.removed,
        total=found.head.id - found.start.id,
        reached=_shown_place(found.reached),
        head=_shown_place(found.head),
        broken=BreachShown(id=str(breach.id), reason=breach.reason) if breach else None,
        next_cursor=None if found.is_done else encode_cursor(found.reached.id, found.reached.hash.hex()),
    )


def _shown_place(place: Place) -> PlaceShown:
    return PlaceShown(id=str(place.id), hash=place.hash.hex())
