"""Routes about people's data: erased on request, and let go once it has been kept for long enough."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Depends
from pydantic import Field, model_validator

from trunkline.people import masked
from trunkline.tenancy.retention import RetentionRun
from trunkline.web.addresses import require_number, require_user_id
from trunkline.web.admin_models import Answer, Asked, Time
from trunkline.web.auth import Acting, Services, TenantForAdmin, keyed_router, require_staff

router = keyed_router(tag="people")


class PersonNamed(Asked):
    """Whom to erase: exactly one of the two; whoever is known by several addresses is erased under all of them."""

    whatsapp_number: str | None = Field(None, max_length=40, description="with or without its plus")
    user_id: str | None = Field(None, max_length=130, description="WhatsApp's id of somebody whose number is hidden")

    @model_validator(mode="after")
    def _exactly_one(self) -> PersonNamed:
        if (self.whatsapp_number is None) == (self.user_id is None):
            raise ValueError("give exactly one of whatsappNumber and userId")
        return self

    def address(self) -> str:
        """The address; raises ApiError 400 when it is none."""
        if self.user_id is not None:
            return require_user_id(self.user_id, "userId")
        return require_number(self.whatsapp_number or "", "whatsappNumber")


class PersonErased(Answer):
    """What was removed of a person, by place; everything accepted until `erasedAt`, and what still waits likewise."""

    tenant_id: str
    person: str = Field(description="the address that was named, its end only")
    erased_at: Time
    removed: dict[str, int]


class RunShown(Answer):
    """A run of the retention job; `removed` counts by kind."""

    began_at: Time
    ended_at: Time | None
    removed: dict[str, int]


class RetentionShown(Answer):
    """The last run that ended, and the one under way; what was due `behindSeconds` ago has gone."""

    last_run: RunShown | None
    running: RunShown | None
    behind_seconds: float | None


@router.post("/tenants/{tenant_id}/people/erase")
async def erase_person(tenant: TenantForAdmin, body: PersonNamed, by: Acting, services: Services) -> PersonErased:
    """Remove a person's content everywhere; what waits of it is purged, and nothing of it is delivered any more."""
    address = body.address()
    erased = await services.people.erase(tenant.tenant_id, address, by)
    return PersonErased(
        tenant_id=tenant.tenant_id,
        person=masked(address),
        erased_at=datetime.fromtimestamp(erased.erased_at, UTC),
        removed=erased.removed,
    )


@router.get("/retention", dependencies=[Depends(require_staff)])
async def show_retention(services: Services) -> RetentionShown:
    """When retention last ran, what it removed, and how far behind it is."""
    state = await services.retention.state()
    return RetentionShown(
        last_run=_shown(state.last), running=_shown(state.running), behind_seconds=_rounded(state.behind_s)
    )


def _shown(run: RetentionRun | None) -> RunShown | None:
    if run is None:
        return None
    return RunShown(began_at=run.began_at, ended_at=run.ended_at, removed=dict(run.removed))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
