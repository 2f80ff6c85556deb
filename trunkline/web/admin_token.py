"""The route that shows a tenant's Genesys token, as far as it may be shown."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from fastapi import Query

from trunkline.errors import CredentialsRefused, StoreUnavailable, Throttled, Unavailable
from trunkline.tenancy.audit import AuditRecord
from trunkline.web.admin_models import Answer, Time
from trunkline.web.auth import Acting, ScopedTenant, Services, keyed_router
from trunkline.web.error_answers import may_answer
from trunkline.web.errors import ApiError
from trunkline.web.reveals import note_reveal

router = keyed_router(tag="token")

SHOWN_ENDS = 4


class TokenShown(Answer):
    """A tenant's token, its middle left out."""

    tenant_id: str
    token_type: str
    token: str
    expires_in: int
    expires_at: Time
    source: Literal["cache", "fresh"]


@router.get("/auth/token", responses=may_answer(502))
async def show_token(
    tenant: ScopedTenant,
    actor: Acting,
    services: Services,
    force: Annotated[bool, Query(description="ask Genesys for a fresh one")] = False,
) -> TokenShown:
    """Fetch or reuse the tenant's Genesys token."""
    try:
        view = await services.actors.token(tenant.tenant_id, force)
    except StoreUnavailable:
        raise
    except (CredentialsRefused, Unavailable) as error:
        raise _failed(error.detail) from None
    except Throttled as error:
        raise _failed(error.detail, math.ceil(error.retry_after_s)) from None
    if force:
        await services.audit.record(AuditRecord(actor, "token.forced", tenant.tenant_id, None))
    else:
        await note_reveal(services, actor, "token.shown", tenant.tenant_id)
    return TokenShown(
        tenant_id=tenant.tenant_id,
        token_type=view.token_type,
        token=_ends(view.access_token.reveal()),
        expires_in=max(0, int((view.expires_at - services.now()).total_seconds())),
        expires_at=view.expires_at,
        source=view.source,
    )


def _failed(words: str, retry_after_s: int | None = None) -> ApiError:
    headers = None if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return ApiError(502, "Failed to obtain OAuth token", "OAUTH_FAILED", {"reason": words}, headers)


def _ends(token: str) -> str:
    """The first and last characters, of a token long enough that they give nothing away."""
    return f"{token[:SHOWN_ENDS]}…{token[-SHOWN_ENDS:]}" if len(token) >= SHOWN_ENDS * 4 else "…"
