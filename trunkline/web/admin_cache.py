"""Clearing what is cached of a tenant."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Depends
from pydantic import StringConstraints

from trunkline.tenancy.audit import AuditRecord
from trunkline.web.admin_models import Answer, Asked
from trunkline.web.auth import Acting, ScopedTenant, Services, keyed_router, require_staff

log = logging.getLogger(__name__)

router = keyed_router(tag="cache")

# Redis' own patterns have more to them; these two signs are what operators use.
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[A-Za-z0-9:._+*?-]+$")]


class CacheClearing(Asked):
    """Which keys: `*` stands for anything, `?` for one character; `oauth:*` means `tenant:<id>:oauth:*`."""

    pattern: Pattern | None = None


class CacheCleared(Answer):
    """How many keys were deleted."""

    cleared: int


@router.post("/cache/clear", dependencies=[Depends(require_staff)])
async def clear_cache(
    tenant: ScopedTenant, actor: Acting, services: Services, body: CacheClearing | None = None
) -> CacheCleared:
    """Delete what Redis keeps of the tenant, and have its actor forget as much: it is found again where it is kept."""
    pattern = body.pattern if body else None
    await services.audit.record(AuditRecord(actor, "cache.cleared", tenant.tenant_id, pattern))
    cleared = await services.cache.clear(tenant.tenant_id, pattern)
    await services.actors.clear_cache(tenant.tenant_id)
    log.info("cache.cleared", extra={"tenant": tenant.tenant_id, "count": cleared, "key": actor.key_id})
    return CacheCleared(cleared=cleared)
