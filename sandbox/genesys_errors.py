"""Errors of Genesys Cloud in their exact shape, and what every answer of its API carries."""

from __future__ import annotations

import math
from typing import Any

from sandbox.calls import Outcome
from sandbox.http import Headers, Response, json_response
from sandbox.payloads import correlation_id

# status: (code, message)
ERRORS: dict[int, tuple[str, str]] = {
    400: ("bad.request", "The request could not be understood by the server due to malformed syntax."),
    401: ("bad.credentials", "Invalid login credentials."),
    403: (
        "missing.permissions",
        "Unable to perform the requested action. You are missing the following permission(s): "
        "conversation:message:receive",
    ),
    404: ("not.found", "The requested resource was not found."),
    408: ("request.timeout", "The client did not produce a request within the server timeout limit."),
    409: ("conflict", "The request conflicts with the current state of the resource."),
    413: ("request.entity.too.large", "The request is over the size limit."),
    415: ("unsupported.media.type", "Unsupported Media Type - Unsupported or incorrect media type"),
    429: ("too.many.requests", "Rate limit exceeded the maximum. Retry the request in [{retry_after}] seconds"),
    500: ("internal.server.error", "The server encountered an unexpected condition."),
    502: ("bad.gateway", "Bad Gateway"),
    503: ("service.unavailable", "Service Unavailable"),
    504: ("authentication.request.timeout", "Authentication service timed out"),
}


def ok_response(answer: dict[str, Any]) -> Response:
    """The answer to a call that was accepted."""
    return json_response(200, answer, _correlation())


def error_outcome(status: int) -> Outcome:
    """A refusal with this status in the usual words."""
    return Outcome(error_response(status), ERRORS[status][0])


def error_response(
    status: int,
    message: str | None = None,
    code: str | None = None,
    details: list[dict[str, str]] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    """An error answer with this status."""
    usual_code, usual_message = ERRORS.get(status, ERRORS[500] if status >= 500 else ERRORS[400])
    headers = _correlation()
    if retry_after_s is not None:
        seconds = math.ceil(retry_after_s)
        headers = (*headers, (b"retry-after", b"%d" % seconds))
        usual_message = usual_message.replace("{retry_after}", str(seconds))
    body = {
        "message": message or usual_message,
        "code": code or usual_code,
        "status": status,
        "messageParams": {},
        "contextId": correlation_id(),
        "details": details or [],
        "errors": [],
    }
    return json_response(status, body, headers)


def _correlation() -> Headers:
    return ((b"inin-correlation-id", correlation_id().encode()),)
