"""Routes about keys of the admin API."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import AwareDatetime, StringConstraints
from starlette.responses import Response

from trunkline.tenancy.access import ApiKey, Role
from trunkline.tenancy.audit import Actor
from trunkline.web.admin_models import Answer, Asked, Name, Time
from trunkline.web.auth import (
    Acting,
    Services,
    TenantForAdmin,
    TenantForStaff,
    keyed_router,
    require_admin,
    require_staff,
)
from trunkline.web.errors import bad_request, not_found

log = logging.getLogger(__name__)

router = keyed_router(tag="keys")

KeyId = Annotated[str, StringConstraints(max_length=100)]


class NewTenantKey(Asked):
    """A key for a tenant."""

    name: Name
    expires_at: AwareDatetime | None = None


class NewStaffKey(NewTenantKey):
    """A key for an admin or operator."""

    role: Literal["admin", "operator"]


class KeyMade(Answer):
    """A key just made: the only time that it is shown."""

    key_id: str
    api_key: str


class KeyShown(Answer):
    """A key without what opens; `lastUsedAt` lags at most a minute behind, null for one that was never used."""

    key_id: str
    name: str
    role: str
    tenant_id: str | None
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class KeyList(Answer):
    """Keys that are in force or have expired; revoked ones are left out."""

    api_keys: list[KeyShown]


@router.post("/tenants/{tenant_id}/api-keys", status_code=201)
async def create_tenant_key(tenant: TenantForAdmin, body: NewTenantKey, actor: Acting, services: Services) -> KeyMade:
    """Make a key for a tenant; it is shown this once."""
    _check_expiry(body.expires_at, services.now())
    key_id, key = await services.keys.create(Role.TENANT, tenant.tenant_id, body.name, actor, body.expires_at)
    log.info("key.created", extra={"tenant": tenant.tenant_id, "made": key_id, "key": actor.key_id})
    return KeyMade(key_id=key_id, api_key=key)


@router.get("/tenants/{tenant_id}/api-keys")
async def list_tenant_keys(tenant: TenantForStaff, services: Services) -> KeyList:
    """A tenant's keys."""
    return _shown(await services.keys.list_keys(tenant.tenant_id))


@router.delete("/tenants/{tenant_id}/api-keys/{key_id}", status_code=204, response_class=Response)
async def revoke_tenant_key(tenant: TenantForAdmin, key_id: KeyId, actor: Acting, services: Services) -> None:
    """Revoke a tenant's key; it opens nothing a second later."""
    await _revoke(services, tenant.tenant_id, key_id, actor)


@router.post("/api-keys", status_code=201, dependencies=[Depends(require_admin)])
async def create_staff_key(body: NewStaffKey, actor: Acting, services: Services) -> KeyMade:
    """Make a key for an admin or operator; it is shown this once."""
    _check_expiry(body.expires_at, services.now())
    key_id, key = await services.keys.create(Role(body.role), None, body.name, actor, body.expires_at)
    log.info("key.created", extra={"role": body.role, "made": key_id, "key": actor.key_id})
    return KeyMade(key_id=key_id, api_key=key)


@router.get("/api-keys", dependencies=[Depends(require_staff)])
async def list_staff_keys(services: Services) -> KeyList:
    """The keys of admins and operators; the first one is in the settings, not here."""
    return _shown(await services.keys.list_keys(None))


@router.delete("/api-keys/{key_id}", status_code=204, response_class=Response, dependencies=[Depends(require_admin)])
async def revoke_staff_key(key_id: KeyId, actor: Acting, services: Services) -> None:
    """Revoke an admin's or operator's key; it opens nothing a second later."""
    await _revoke(services, None, key_id, actor)


async def _revoke(services: Services, tenant_id: str | None, key_id: str, actor: Actor) -> None:
    if not key_id.isprintable() or not await services.keys.revoke(tenant_id, key_id, actor):
        raise not_found("API key")
    log.info("key.revoked", extra={"tenant": tenant_id, "revoked": key_id, "key": actor.key_id})


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise bad_request({"expiresAt": "is in the past"})


def _shown(keys: list[ApiKey]) -> KeyList:
    return KeyList(
        api_keys=[
            KeyShown(
                key_id=key.key_id,
                name=key.name,
                role=str(key.role),
                tenant_id=key.tenant_id,
                created_at=key.created_at,
                expires_at=key.expires_at,
                last_used_at=key.last_used_at,
            )
            for key in keys
        ]
    )
