"""Errors of the Graph API in their exact shape."""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.http import Headers, Response, json_response

# code: (HTTP status, title, what error_data.details says when the caller gives nothing better)
ERRORS: dict[int, tuple[int, str, str]] = {
    0: (401, "AuthException", "We were unable to authenticate the app user"),
    1: (400, "API Unknown", "Invalid request or possible server error"),
    2: (503, "API Service", "Temporary due to downtime or due to being overloaded"),
    4: (400, "API Too Many Calls", "The app has reached its API call rate limit"),
    10: (403, "Application does not have permission for this action", "Permission is either not granted or removed"),
    33: (400, "Parameter value is not valid", "The business phone number has been deleted"),
    100: (400, "Invalid parameter", "Parameter value is not valid"),
    368: (403, "Temporarily blocked for policies violations", "The account has been restricted or disabled"),
    80007: (400, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit"),
    130429: (400, "Rate limit hit", "Cloud API message throughput has been reached."),
    131000: (500, "Something went wrong", "Message failed to send due to an unknown error"),
    131005: (403, "Access denied", "Permission is either not granted or removed"),
    131008: (400, "Required parameter is missing", "The request is missing a required parameter"),
    131009: (400, "Parameter value is not valid", "One or more parameter values are invalid"),
    131016: (503, "Service unavailable", "A service is temporarily unavailable"),
    131021: (400, "Recipient cannot be sender", "Sender and recipient phone number is the same"),
    131026: (400, "Message undeliverable", "Unable to deliver message"),
    131031: (403, "Account has been locked", "The account has been restricted or disabled"),
    131047: (
        400,
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    131051: (400, "Unsupported message type", "Unsupported message type"),
    131053: (400, "Media upload error", "Unable to upload the media used in the message"),
    131056: (
        429,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Too many messages to the same number in a short period.",
    ),
    131057: (503, "Account in maintenance mode", "Business Account is in maintenance mode"),
    132001: (404, "Template does not exist", "The template does not exist in the specified language"),
    132012: (400, "Template parameter format mismatch", "Variable parameter values formatted incorrectly"),
}
BY_STATUS = {401: 190, 403: 10, 404: 132001, 429: 130429, 500: 131000, 503: 131016}
TRANSIENT = frozenset({1, 2, 131000, 131016, 131057})
EXPIRED_SESSION = 463


class Refused(Exception):
    """The Graph API says no."""

    def __init__(self, code: int, details: str | None = None, subcode: int | None = None) -> None:
        super().__init__(code, details, subcode)
        self.code = code
        self.details = details
        self.subcode = subcode

    def response(self) -> Response:
        """The error as the Graph API answers it."""
        if self.code == 190:
            return bad_token(self.details or "Session has expired", self.subcode)
        return error_response(self.code, self.details, subcode=self.subcode)


def error_response(
    code: int,
    details: str | None = None,
    *,
    status: int | None = None,
    subcode: int | None = None,
    headers: Headers = (),
) -> Response:
    """An error answer with this code."""
    usual_status, title, usual_details = ERRORS.get(code, (400, "Something went wrong", ""))
    error: dict[str, Any] = {
        "message": f"(#{code}) {title}",
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details or usual_details},
    }
    if subcode is not None:
        error["error_subcode"] = subcode
    if code in TRANSIENT:
        error["is_transient"] = True
    return _response(status or usual_status, error, headers)


def bad_token(why: str, subcode: int | None = EXPIRED_SESSION, headers: Headers = ()) -> Response:
    """The answer to an access token that does not hold; it has no error_data."""
    error: dict[str, Any] = {
        "message": f"Error validating access token: {why}",
        "type": "OAuthException",
        "code": 190,
    }
    if subcode is not None:
        error["error_subcode"] = subcode
    return _response(401, error, headers)


def status_error(code: int) -> dict[str, Any]:
    """The same error as an element of `errors` of a failed status."""
    _, title, details = ERRORS.get(code, (400, "Something went wrong", "Something went wrong"))
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": details},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }


def _response(status: int, error: dict[str, Any], headers: Headers) -> Response:
    error["fbtrace_id"] = "A" + secrets.token_hex(6)
    return json_response(status, {"error": error}, headers)
