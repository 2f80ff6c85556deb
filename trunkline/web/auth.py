"""Who may call the admin API: the key first, before anything of the request is read; then what its role allows."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic.alias_generators import to_camel
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.errors import StoreUnavailable
from trunkline.tenancy.access import Principal, Role, hash_key
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.record import TENANT_ID_PATTERN, TenantRecord
from trunkline.web.admin_ports import AdminServices
from trunkline.web.bodies import read_body
from trunkline.web.errors import ApiError, forbidden, not_found, tenant_required, unauthorized
from trunkline.web.request_limit import limit_headers, limited, with_headers

OPEN_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/docs", "/openapi.json"})
# A link to a file is a key by itself.
OPEN_PREFIXES = ("/media/", "/docs/")
TENANT_HEADER = "X-Tenant-ID"
LOOPBACK = ("127.0.0.1", "::1")
LONGEST_ADDRESS = 45
FIRST_ADMIN = Principal("first", Role.ADMIN)

# For the OpenAPI document only: keys are checked by the middleware below.
_SCHEMES = (
    APIKeyHeader(name="X-API-Key", auto_error=False, description="a key of the admin API"),
    HTTPBearer(auto_error=False, description="the same key as a bearer token"),
)


def keyed_router(*, tag: str, prefix: str = "") -> APIRouter:
    """A router whose routes are described as needing a key."""
    schemes = [Security(scheme) for scheme in _SCHEMES]
    return APIRouter(
        prefix=prefix, tags=[tag], dependencies=schemes, generate_unique_id_function=lambda route: to_camel(route.name)
    )


class Authentication:
    """ASGI middleware: no request gets past it without a key, nor a tenant's past its rate limit."""

    def __init__(self, app: ASGIApp, services: AdminServices) -> None:
        self._app = app
        self._services = services
        first = services.admin_api_key.reveal()
        self._first_key = hash_key(first) if first else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIXES):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._identify(Headers(scope=scope))
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self._within_limit(principal, scope, receive, send)

    async def _identify(self, headers: Headers) -> Principal:
        key = _key_of(headers)
        if key is None:
            raise unauthorized()
        principal = await self._find(key)
        if principal is None:
            raise unauthorized()
        return principal

    async def _find(self, key: str) -> Principal | None:
        if self._first_key is not None and hmac.compare_digest(hash_key(key), self._first_key):
            return FIRST_ADMIN
        try:
            return await self._services.keys.find(key)
        except StoreUnavailable:
            # A stranger may be asking, so the store's own words are not repeated.
            raise ApiError(
                503, "Keys cannot be checked: Postgres is away", "SERVICE_UNAVAILABLE", headers={"Retry-After": "1"}
            ) from None

    async def _within_limit(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        if principal.tenant_id is None or principal.rate_limit is None:
            await self._serve(principal, scope, receive, send)
            return
        now = self._services.now()
        count = await self._services.counter.add(principal.tenant_id, now)
        if count is None:
            await self._serve(principal, scope, receive, send)
            return
        headers = limit_headers(principal.rate_limit, count, now)
        if count > principal.rate_limit:
            await limited(principal.rate_limit, headers, now)(scope, receive, send)
        else:
            await self._serve(principal, scope, receive, with_headers(send, headers))

    async def _serve(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        named = Headers(scope=scope).get(TENANT_HEADER)
        try:
            if principal.role is Role.TENANT and named not in (None, principal.tenant_id):
                raise not_found("Tenant")
            receive = await read_body(scope, receive)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _key_of(headers: Headers) -> str | None:
    key = headers.get("X-API-Key")
    if key:
        return key
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def services_of(request: Request) -> AdminServices:
    """What the routes need."""
    services: AdminServices = request.app.state.services
    return services


def caller_of(request: Request) -> Principal:
    """Who calls."""
    principal: Principal = request.state.principal
    return principal


def actor_of(request: Request) -> Actor:
    """Who calls, as the audit log names them."""
    caller = caller_of(request)
    return Actor(caller.key_id, caller.role.value, _address(request))


def _address(request: Request) -> str | None:
    """Where the request came from, as far as proxies tell: each adds who called it behind what it was told.

    On one machine our own proxy is the only one that reaches us, so the last word is its own; of a proxy in front of
    that, the address is kept too.
    """
    hops = [request.client.host if request.client else ""]
    told = [each.strip()[:LONGEST_ADDRESS] for each in request.headers.get("X-Forwarded-For", "").split(",")]
    # The server may have taken the last word for the peer's address already.
    hops = [each for each in dict.fromkeys([*hops, *reversed(told)]) if each]
    if len(hops) > 1 and hops[0] in LOOPBACK:
        hops.pop(0)
    return " for ".join(hops[:2]) or None


Services = Annotated[AdminServices, Depends(services_of)]
Caller = Annotated[Principal, Depends(caller_of)]
Acting = Annotated[Actor, Depends(actor_of)]
TenantHeader = Annotated[
    str | None,
    Header(alias=TENANT_HEADER, description="the tenant that is meant; needed with an admin or operator key"),
]


def require_staff(caller: Caller) -> None:
    """Let admins and operators pass."""
    if caller.role is Role.TENANT:
        raise forbidden("an admin or operator key")


def require_admin(caller: Caller) -> None:
    """Let admins pass."""
    if caller.role is not Role.ADMIN:
        raise forbidden("an admin key")


# Whose keys pass each of these dependencies; for the API's description.
KEYS: dict[Callable[..., Any], tuple[Role, ...]] = {
    require_staff: (Role.ADMIN, Role.OPERATOR),
    require_admin: (Role.ADMIN,),
}


def tenant_in_path(allow: Callable[[Principal], None] | None) -> Callable[..., Awaitable[TenantRecord]]:
    """A dependency that answers the tenant of the path to whom `allow` lets pass, and to it itself if there is none.

    Another tenant's key learns nothing, not even that the tenant exists.
    """

    async def find(tenant_id: str, caller: Caller, services: Services) -> TenantRecord:
        if caller.role is Role.TENANT and caller.tenant_id != tenant_id:
            raise not_found("Tenant")
        if allow is not None:
            allow(caller)
        return await find_tenant(services, tenant_id)

    if allow is not None:
        KEYS[find] = KEYS[allow]
    return find


async def tenant_in_scope(caller: Caller, services: Services, named: TenantHeader = None) -> TenantRecord:
    """The tenant of the key, or the one that X-Tenant-ID names."""
    tenant_id = caller.tenant_id or named
    if tenant_id is None:
        raise tenant_required()
    return await find_tenant(services, tenant_id)


async def tenant_or_all(caller: Caller, services: Services, named: TenantHeader = None) -> str | None:
    """The tenant that limits the answer; None, with an admin or operator key that names none, for no limit."""
    if caller.tenant_id is not None:
        return caller.tenant_id
    return (await find_tenant(services, named)).tenant_id if named is not None else None


async def find_tenant(services: AdminServices, tenant_id: str) -> TenantRecord:
    """The tenant of this id; raises ApiError 404."""
    record = await services.tenants.get(tenant_id) if re.fullmatch(TENANT_ID_PATTERN, tenant_id) else None
    if record is None:
        raise not_found("Tenant")
    return record


OwnTenant = Annotated[TenantRecord, Depends(tenant_in_path(None))]
TenantForStaff = Annotated[TenantRecord, Depends(tenant_in_path(require_staff))]
TenantForAdmin = Annotated[TenantRecord, Depends(tenant_in_path(require_admin))]
ScopedTenant = Annotated[TenantRecord, Depends(tenant_in_scope)]
TenantOrAll = Annotated[str | None, Depends(tenant_or_all)]
