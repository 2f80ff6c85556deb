"""Routes about tenants and their credentials."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from typing import Any

from fastapi import Depends
from pydantic import TypeAdapter
from starlette.responses import Response

from trunkline.errors import NotFound
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.record import DEFAULT_META_APP, TenantRecord
from trunkline.web.admin_models import Cursor, Limit, decode_cursor, page_of
from trunkline.web.admin_ports import AdminServices
from trunkline.web.admin_tenant_models import (
    GenesysAsked,
    GenesysCredentials,
    NewTenant,
    TenantChanges,
    TenantMade,
    TenantPage,
    TenantShown,
    WhatsAppAsked,
    WhatsAppCredentials,
    changed,
    genesys_of,
    record_of,
    shown,
    shown_genesys,
    shown_made,
    shown_whatsapp,
    whatsapp_of,
)
from trunkline.web.auth import (
    Acting,
    OwnTenant,
    Services,
    TenantForAdmin,
    TenantForStaff,
    keyed_router,
    require_admin,
    require_staff,
)
from trunkline.web.error_answers import may_answer
from trunkline.web.errors import bad_request, not_found
from trunkline.web.regions import REGIONS
from trunkline.web.reveals import note_reveal
from trunkline.web.tenant_status import status_of
from trunkline.web.tenant_status_models import TenantStatusShown

log = logging.getLogger(__name__)

router = keyed_router(tag="tenants")

_AFTER = TypeAdapter(tuple[str])


@router.post("/tenants", status_code=201, dependencies=[Depends(require_admin)], responses=may_answer(409))
async def create_tenant(body: NewTenant, actor: Acting, services: Services) -> TenantMade:
    """Make a tenant; the answer holds its first key, shown this once."""
    record = record_of(body, f"t-{secrets.token_hex(6)}", services.default_region, services.now())
    _check_region(services, body.genesys.region, "genesys.region")
    await _check_app(services, body.whatsapp.app, "whatsapp.app")
    key_id, key = await services.tenants.create(record, actor)
    _tell("tenant.created", record.tenant_id, actor)
    return shown_made(record, key_id, key)


@router.get("/tenants", dependencies=[Depends(require_staff)])
async def list_tenants(services: Services, limit: Limit = 50, cursor: Cursor = None) -> TenantPage:
    """The tenants, in order of their ids."""
    after = decode_cursor(cursor, _AFTER)
    if after is not None and "\0" in after[0]:
        raise bad_request({"cursor": "not a cursor of this list"})
    rows = await services.tenants.list_tenants(limit + 1, after[0] if after else None)
    page, next_cursor = page_of(rows, limit, lambda record: (record.tenant_id,))
    return TenantPage(tenants=[shown(record) for record in page], next_cursor=next_cursor)


@router.get("/tenants/{tenant_id}")
async def show_tenant(tenant: OwnTenant) -> TenantShown:
    """One tenant."""
    return shown(tenant)


@router.patch("/tenants/{tenant_id}", responses=may_answer(409))
async def update_tenant(tenant: TenantForAdmin, body: TenantChanges, actor: Acting, services: Services) -> TenantShown:
    """Change any subset of a tenant; in force within a second. A masked secret stays as it is."""
    if body.genesys is not None:
        _check_region(services, body.genesys.region, "genesys.region")
    if body.whatsapp is not None:
        await _check_app(services, body.whatsapp.app, "whatsapp.app")
    updated = await _update(services, tenant, lambda record: changed(record, body, services.default_region), actor)
    _tell("tenant.updated", tenant.tenant_id, actor, fields=sorted(body.model_fields_set))
    return shown(updated)


@router.delete("/tenants/{tenant_id}", status_code=204, response_class=Response)
async def delete_tenant(tenant: TenantForAdmin, actor: Acting, services: Services) -> None:
    """Delete a tenant: its keys die, its webhooks belong to nobody, its number and integration are free."""
    if not await services.tenants.delete(tenant.tenant_id, actor):
        raise not_found("Tenant")
    _tell("tenant.deleted", tenant.tenant_id, actor)


@router.get("/tenants/{tenant_id}/credentials/genesys")
async def show_genesys(tenant: TenantForStaff, actor: Acting, services: Services) -> GenesysCredentials:
    """The Genesys credentials, secrets masked."""
    await note_reveal(services, actor, "credentials.shown", tenant.tenant_id, "genesys")
    return shown_genesys(tenant.genesys)


@router.put("/tenants/{tenant_id}/credentials/genesys", responses=may_answer(409))
async def replace_genesys(
    tenant: TenantForAdmin, body: GenesysAsked, actor: Acting, services: Services
) -> GenesysCredentials:
    """Replace all Genesys credentials; a masked secret stays as it is."""
    _check_region(services, body.region, "region")
    updated = await _update(
        services,
        tenant,
        lambda record: dataclasses.replace(record, genesys=genesys_of(body, record.genesys, services.default_region)),
        actor,
    )
    _tell("tenant.credentials_replaced", tenant.tenant_id, actor, side="genesys")
    return shown_genesys(updated.genesys)


@router.get("/tenants/{tenant_id}/whatsapp")
async def show_whatsapp(tenant: TenantForStaff, actor: Acting, services: Services) -> WhatsAppCredentials:
    """The WhatsApp credentials, the access token masked."""
    await note_reveal(services, actor, "credentials.shown", tenant.tenant_id, "whatsapp")
    return shown_whatsapp(tenant.whatsapp)


@router.put("/tenants/{tenant_id}/whatsapp", responses=may_answer(409))
async def replace_whatsapp(
    tenant: TenantForAdmin, body: WhatsAppAsked, actor: Acting, services: Services
) -> WhatsAppCredentials:
    """Replace all WhatsApp credentials; a masked access token stays as it is."""
    await _check_app(services, body.app, "app")
    updated = await _update(
        services, tenant, lambda record: dataclasses.replace(record, whatsapp=whatsapp_of(body, record.whatsapp)), actor
    )
    _tell("tenant.credentials_replaced", tenant.tenant_id, actor, side="whatsapp")
    return shown_whatsapp(updated.whatsapp)


@router.get("/tenants/{tenant_id}/status")
async def show_status(tenant: OwnTenant, services: Services) -> TenantStatusShown:
    """How the tenant does, in words and numbers; what cannot be found out within a second is told under `missing`."""
    return TenantStatusShown.model_validate(await status_of(services, tenant))


async def _update(services: AdminServices, tenant: TenantRecord, change: Any, actor: Actor) -> TenantRecord:
    try:
        return await services.tenants.update(tenant.tenant_id, change, actor)
    except NotFound:
        raise not_found("Tenant") from None


def _check_region(services: AdminServices, region: str | None, field: str) -> None:
    """The region decides where credentials are sent: only Genesys' own, unless all calls go elsewhere anyway."""
    if region is None or services.allow_any_region or region in REGIONS:
        return
    raise bad_request({field: f"not a region of Genesys Cloud; known are {', '.join(sorted(REGIONS))}"})


async def _check_app(services: AdminServices, app: str | None, field: str) -> None:
    if app is None or app == DEFAULT_META_APP or await services.tenants.has_app(app):
        return
    raise bad_request({field: f"there is no Meta app {app!r}: make it with POST /meta-apps"})


def _tell(event: str, tenant_id: str, actor: Actor, **facts: Any) -> None:
    log.info(event, extra={"tenant": tenant_id, "key": actor.key_id, **facts})
