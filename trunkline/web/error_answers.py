"""The errors that the admin API answers, as its description tells them: one for each status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from trunkline.web.bodies import LARGEST
from trunkline.web.errors import ErrorBody, RateLimitedBody


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error's name in the description, what it means, and what it looks like."""

    name: str
    description: str
    example: dict[str, Any]
    headers: tuple[str, ...] = ()
    body: type[BaseModel] = ErrorBody


def _error(text: str, code: str, details: Any = None) -> dict[str, Any]:
    return {"error": text, "code": code, "details": details}


ANSWERS = {
    400: ErrorAnswer(
        "BadRequest",
        "Something of the request cannot be used. `details` say per field what is wrong and what would be right, and "
        "never repeat the value: it may be a secret. Code `TENANT_REQUIRED`: an admin's or operator's key must name "
        "the tenant in `X-Tenant-ID`.",
        _error("The request is not valid", "BAD_REQUEST", {"rateLimit": "Input should be greater than or equal to 1"}),
    ),
    401: ErrorAnswer(
        "Unauthorized",
        "No key, or one that is unknown, revoked or expired.",
        _error("Tenant identification required", "UNAUTHORIZED"),
        ("WWW-Authenticate",),
    ),
    403: ErrorAnswer("Forbidden", "The key has not the right.", _error("This needs an admin key", "FORBIDDEN")),
    404: ErrorAnswer(
        "NotFound",
        "There is no such thing, or it is another tenant's: a tenant's key learns nothing of others, whether by path "
        "or by `X-Tenant-ID`.",
        _error("Tenant not found", "NOT_FOUND"),
    ),
    408: ErrorAnswer(
        "RequestTimeout",
        "The body took too long to arrive.",
        _error("The body did not arrive within 10 s", "REQUEST_TIMEOUT"),
    ),
    409: ErrorAnswer(
        "Conflict",
        "It cannot be done as things stand; `error` says why, and `details` name the field if one is to blame. Code "
        "`CONFLICT`, or `NOT_REPLAYABLE` for a dead letter that cannot be replayed.",
        _error(
            "whatsapp.phoneNumberId '106540352242922' is already taken",
            "CONFLICT",
            {"whatsapp.phoneNumberId": "already taken"},
        ),
    ),
    413: ErrorAnswer(
        "PayloadTooLarge",
        f"The body is larger than {LARGEST} bytes.",
        _error(f"The body is larger than {LARGEST} bytes", "PAYLOAD_TOO_LARGE"),
    ),
    415: ErrorAnswer(
        "UnsupportedMediaType",
        "The body is said to be something else than JSON.",
        _error("The body must be JSON", "UNSUPPORTED_MEDIA_TYPE", {"Content-Type": "must be application/json"}),
    ),
    429: ErrorAnswer(
        "RateLimited",
        "The tenant has used up its requests of this UTC minute (`rateLimit`, with its own keys only).",
        {"error": "Rate limit exceeded", "code": "RATE_LIMITED", "limit": 100, "retryAfter": 17},
        ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
        RateLimitedBody,
    ),
    500: ErrorAnswer(
        "InternalError",
        "A bug of Trunkline's, told in its log; or, code `SEALED`, a secret that none of `CREDENTIALS_KEYS` opens.",
        _error("Internal error: the log says more", "INTERNAL_ERROR"),
    ),
    502: ErrorAnswer(
        "TokenRefused",
        "Genesys gives no token; `details.reason` are its own words.",
        _error(
            "Failed to obtain OAuth token",
            "OAUTH_FAILED",
            {"reason": "Genesys refused the client credentials: 401 invalid_client"},
        ),
    ),
    503: ErrorAnswer(
        "Unavailable",
        "Something that the answer needs is away; `error` names it. Nothing was changed: try again.",
        _error("Connection pool timeout", "SERVICE_UNAVAILABLE"),
        ("Retry-After",),
    ),
}


def may_answer(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route that answers these errors besides those that every route may."""
    return {status: {"description": ANSWERS[status].description} for status in statuses}
