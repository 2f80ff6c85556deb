"""The admin HTTP API, assembled: its routers, its errors, and the key before all of them."""

from __future__ import annotations

from fastapi import FastAPI

from trunkline.web import (
    admin_apps,
    admin_audit,
    admin_cache,
    admin_conversations,
    admin_dead_letters,
    admin_keys,
    admin_messages,
    admin_people,
    admin_pools,
    admin_queues,
    admin_secrets,
    admin_tenants,
    admin_token,
    docs,
    health,
    media,
)
from trunkline.web.admin_ports import AdminServices
from trunkline.web.auth import Authentication
from trunkline.web.errors import install_error_handlers
from trunkline.web.openapi import describe
from trunkline.web.response_headers import ResponseHeaders

_PARTS = (
    health,
    admin_tenants,
    admin_keys,
    admin_apps,
    admin_token,
    admin_conversations,
    admin_messages,
    admin_dead_letters,
    admin_people,
    admin_pools,
    admin_queues,
    admin_cache,
    admin_audit,
    admin_secrets,
    media,
    docs,
)


def build_admin(services: AdminServices) -> FastAPI:
    """The admin API as an ASGI application."""
    app = FastAPI(
        title="Trunkline",
        version=services.version,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.health = health.Health(services)
    # The routes themselves, not the routers: including those would build every route anew at its first request.
    routes = [route for part in _PARTS for route in part.router.routes]
    app.router.routes.extend(routes)
    app.openapi = describe(app, routes)  # type: ignore[method-assign]
    app.add_middleware(Authentication, services=services)
    install_error_handlers(app)
    # Around everything, the answer to a bug included.
    app.middleware_stack = ResponseHeaders(app.build_middleware_stack())
    return app


__all__ = ["AdminServices", "build_admin"]
