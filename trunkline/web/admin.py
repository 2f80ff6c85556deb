"""The admin HTTP API, assembled: its routers, its errors, and the key before all of them."""

from __future__ import annotations

from fastapi import FastAPI

from trunkline.web import (
    admin_apps,
    admin_conversations,
    admin_dead_letters,
    admin_keys,
    admin_messages,
    admin_pools,
    admin_tenants,
    admin_token,
    health,
    media,
)
from trunkline.web.admin_ports import AdminServices
from trunkline.web.auth import Authentication
from trunkline.web.errors import install_error_handlers

DESCRIPTION = """
Keys come in `X-API-Key` or as a bearer token. With an admin or operator key, `X-Tenant-ID` names the tenant where a
route needs one; a tenant's key needs no such header.
"""

_PARTS = (
    health,
    admin_tenants,
    admin_keys,
    admin_apps,
    admin_token,
    admin_conversations,
    admin_messages,
    admin_dead_letters,
    admin_pools,
    media,
)


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
    # The routes themselves, not the routers: including those would build every route anew at its first request.
    app.state.routes = [route for part in _PARTS for route in part.router.routes]
    app.router.routes.extend(app.state.routes)
    app.add_middleware(Authentication, services=services)
    install_error_handlers(app)
    return app


__all__ = ["AdminServices", "build_admin"]
