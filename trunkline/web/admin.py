"""The admin HTTP API, assembled: its routers, its errors, and the key before all of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Security

from trunkline.web import (
    admin_apps,
    admin_conversations,
    admin_keys,
    admin_messages,
    admin_tenants,
    admin_token,
    health,
)
from trunkline.web.admin_ports import AdminServices
from trunkline.web.auth import Authentication, api_key_header, bearer
from trunkline.web.errors import ErrorBody, install_error_handlers

DESCRIPTION = """
Keys come in `X-API-Key` or as a bearer token. With an admin or operator key, `X-Tenant-ID` names the tenant where a
route needs one; a tenant's key needs no such header.
"""

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request cannot be served: `code` says why, `details` per field"},
    "5XX": {"model": ErrorBody, "description": "Something that Trunkline needs is away, or it has a bug"},
}


def build_admin(services: AdminServices) -> FastAPI:
    """The admin API as an ASGI application."""
    app = FastAPI(
        title="Trunkline",
        version=services.version,
        description=DESCRIPTION,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.health = health.Health(services)
    app.include_router(health.router)
    keyed = APIRouter(dependencies=[Security(api_key_header), Security(bearer)], responses=_ERRORS)
    for part in (admin_tenants, admin_keys, admin_apps, admin_token, admin_conversations, admin_messages):
        keyed.include_router(part.router)
    app.include_router(keyed)
    app.add_middleware(Authentication, services=services)
    install_error_handlers(app)
    return app


__all__ = ["AdminServices", "build_admin"]
