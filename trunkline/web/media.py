"""`GET /media/{token}`: customers' files for Genesys, and for agents where they are too large for it. No key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse

from trunkline.errors import CredentialsRefused, NotFound, Rejected, Throttled, Unavailable
from trunkline.web.admin_ports import MediaSource
from trunkline.web.errors import ApiError, not_found

router = APIRouter()

RETRY_AFTER_S = 5
# Nothing that a customer sends may run in the browser of whoever opens it.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
}


@router.api_route("/media/{token}", methods=["GET", "HEAD"], response_class=FileResponse, include_in_schema=False)
async def get_media(request: Request, token: Annotated[str, Path(max_length=4096)]) -> FileResponse:
    """A customer's file, as a whole or in ranges."""
    media: MediaSource = request.app.state.services.media
    try:
        link, kept = await media.open(token)
    except (NotFound, Rejected) as error:
        raise not_found("Media") from error
    except (Unavailable, Throttled, CredentialsRefused) as error:
        raise ApiError(
            503, "The file cannot be loaded now", "UNAVAILABLE", headers={"Retry-After": str(RETRY_AFTER_S)}
        ) from error
    return FileResponse(kept.path, media_type=link.mime, filename=link.filename, headers=HEADERS)
