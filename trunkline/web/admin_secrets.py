"""Routes about secrets at rest: which key has sealed them, and sealing them anew under the first."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import Field, StringConstraints, TypeAdapter

from trunkline.tenancy.seals import SealsPage
from trunkline.web.admin_models import Answer, Asked, Cursor, Limit, decode_cursor, encode_cursor
from trunkline.web.auth import Acting, Services, keyed_router, require_admin

log = logging.getLogger(__name__)

router = keyed_router(tag="secrets")

_AFTER = TypeAdapter(
    tuple[Literal["meta_apps", "tenant_credentials"], Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,63}$")]]
)


class RotateOrder(Asked):
    """Which rows come next, and how many of them."""

    cursor: str | None = Field(None, max_length=500, description="`nextCursor` of the answer before")
    limit: int = Field(50, ge=1, le=200, description="how many tenants and Meta apps at most")


class SealingKeyShown(Answer):
    """One of CREDENTIALS_KEYS, in their order."""

    key: int = Field(description="its number, from 1; the first seals, all open")
    fingerprint: str = Field(description="the first digits of its SHA-256", examples=["1f0c2a9e"])
    secrets: int = Field(description="how many secrets it has sealed")


class UnopenedShown(Answer):
    """A secret that none of the keys opens."""

    table: str
    id: str
    column: str


class SealsShown(Answer):
    """How the secrets of some tenants and Meta apps are sealed."""

    keys: list[SealingKeyShown]
    unopened: list[UnopenedShown]
    checked: int
    total: int
    next_cursor: str | None


class Rotated(SealsShown):
    """The same, once all of them that can be opened are sealed under the first key."""

    resealed: int = Field(description="how many were not sealed under the first key before")


@router.get("/secrets", dependencies=[Depends(require_admin)])
async def show_seals(services: Services, limit: Limit = 50, cursor: Cursor = None) -> SealsShown:
    """Which of CREDENTIALS_KEYS has sealed how many secrets; a page of tenants and Meta apps at a time."""
    page = await services.seals.look(limit, decode_cursor(cursor, _AFTER))
    return SealsShown(**_shown(page))


@router.post("/secrets/rotate", dependencies=[Depends(require_admin)])
async def rotate_secrets(body: RotateOrder, actor: Acting, services: Services) -> Rotated:
    """Seal the secrets of the next tenants and Meta apps under the first of CREDENTIALS_KEYS, while all goes on."""
    page = await services.seals.reseal(body.limit, decode_cursor(body.cursor, _AFTER), actor)
    log.info("secrets.resealed", extra={"resealed": page.resealed, "checked": page.checked, "key": actor.key_id})
    return Rotated(**_shown(page), resealed=page.resealed)


def _shown(page: SealsPage) -> dict[str, object]:
    keys = zip(page.keys, page.sealed_by, strict=True)
    return {
        "keys": [
            SealingKeyShown(key=number, fingerprint=mark, secrets=count)
            for number, (mark, count) in enumerate(keys, start=1)
        ],
        "unopened": [UnopenedShown(table=each.table, id=each.id, column=each.column) for each in page.unopened],
        "checked": page.checked,
        "total": page.total,
        "next_cursor": encode_cursor(*page.reached) if page.reached else None,
    }
