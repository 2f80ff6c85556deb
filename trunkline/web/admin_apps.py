"""Routes about further Meta apps; the default one is in the settings."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Depends
from pydantic import AfterValidator, Field
from starlette.responses import Response

from trunkline.errors import Conflict
from trunkline.tenancy.record import DEFAULT_META_APP, MetaApp, Secret
from trunkline.web.admin_models import Answer, Asked, SecretText, is_mask
from trunkline.web.admin_tenant_models import AppName
from trunkline.web.auth import Acting, Services, keyed_router, require_admin, require_staff
from trunkline.web.error_answers import may_answer
from trunkline.web.errors import error_response, not_found

log = logging.getLogger(__name__)

router = keyed_router(tag="meta apps")


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _one_or_two(value: str) -> str:
    if is_mask(value):
        raise ValueError("is a mask, not a secret")
    if not 1 <= len(_parts(value)) <= 2:
        raise ValueError("must hold one value, or two separated by a comma while one replaces the other")
    return value


RotatingSecret = Annotated[SecretText, AfterValidator(_one_or_two)]


class NewApp(Asked):
    """A Meta app; both secrets may hold two values separated by a comma, both valid, for rotation."""

    app: AppName
    app_secret: RotatingSecret
    verify_token: RotatingSecret


class AppShown(Answer):
    """A Meta app, its secrets masked."""

    app: str
    app_secret: str = Field(examples=["****cdef"])
    verify_token: str = Field(examples=["****cdef"])


class AppList(Answer):
    """The further Meta apps."""

    meta_apps: list[AppShown]


@router.post("/meta-apps", status_code=201, dependencies=[Depends(require_admin)], responses=may_answer(409))
async def create_app(body: NewApp, actor: Acting, services: Services) -> AppShown:
    """Add a Meta app; its webhooks come to /webhook/whatsapp/{app}."""
    if body.app == DEFAULT_META_APP:
        raise Conflict("app", body.app)
    app = MetaApp(body.app, _secrets(body.app_secret), _secrets(body.verify_token))
    await services.tenants.create_app(app, actor)
    log.info("meta_app.created", extra={"app": body.app, "key": actor.key_id})
    return _shown(app)


@router.get("/meta-apps", dependencies=[Depends(require_staff)])
async def list_apps(services: Services) -> AppList:
    """The further Meta apps, secrets masked."""
    return AppList(meta_apps=[_shown(app) for app in await services.tenants.list_apps()])


@router.delete("/meta-apps/{app}", status_code=204, dependencies=[Depends(require_admin)], responses=may_answer(409))
async def delete_app(app: str, actor: Acting, services: Services) -> Response:
    """Remove a Meta app that no tenant's number belongs to."""
    if not app.isprintable():
        raise not_found("Meta app")
    owners = await services.tenants.tenants_of_app(app)
    if owners and app != DEFAULT_META_APP:
        return error_response(
            409, f"Numbers of tenants belong to the Meta app {app!r}", "CONFLICT", {"tenants": owners}
        )
    if not await services.tenants.delete_app(app, actor):
        raise not_found("Meta app")
    log.info("meta_app.deleted", extra={"app": app, "key": actor.key_id})
    return Response(status_code=204)


def _secrets(value: str) -> tuple[Secret, ...]:
    return tuple(Secret(part) for part in _parts(value))


def _shown(app: MetaApp) -> AppShown:
    return AppShown(
        app=app.app,
        app_secret=",".join(secret.masked() for secret in app.app_secrets),
        verify_token=",".join(token.masked() for token in app.verify_tokens),
    )
