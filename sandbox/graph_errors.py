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
    3: (500, "API Method", "Capability or permissions issue"),
    4: (400, "API Too Many Calls", "The app has reached its API call rate limit"),
    10: (403, "Application does not have permission for this action", "Permission is either not granted or removed"),
    33: (400, "Parameter value is not valid", "The business phone number has been deleted"),
    100: (400, "Invalid parameter", "Parameter value is not valid"),
    200: (403, "API Permission", "Permission is either not granted or removed"),
    368: (403, "Temporarily blocked for policies violations", "The account has been restricted or disabled"),
    613: (400, "Calls to this api have exceeded the rate limit", "Too many calls"),
    80007: (400, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit"),
    130429: (400, "Rate limit hit", "Cloud API message throughput has been reached."),
    130472: (400, "User's number is part of an experiment", "Message was not sent as part of an experiment"),
    130497: (403, "Business account is restricted", "Restricted from messaging users in this country"),
    131000: (500, "Something went wrong", "Message failed to send due to an unknown error"),
    131005: (403, "Access denied", "Permission is either not granted or removed"),
    131008: (400, "Required parameter is missing", "The request is missing a required parameter"),
    131009: (400, "Parameter value is not valid", "One or more parameter values are invalid"),
    131016: (503, "Service unavailable", "A service is temporarily unavailable"),
    131021: (400, "Recipient cannot be sender", "Sender and recipient phone number is the same"),
    131026: (400, "Message undeliverable", "Unable to deliver message"),
    131030: (400, "Recipient phone number not in allowed list", "Add the number to the recipient list and try again"),
    131031: (403, "Account has been locked", "The account has been restricted or disabled"),
    131037: (400, "Display name approval needed", "The display name of this number is not approved"),
    131042: (400, "Business eligibility payment issue", "There was an error related to your payment method"),
    131044: (400, "Business eligibility payment issue", "The credit line is missing or used up"),
    131045: (500, "Incorrect certificate", "A phone number registration error"),
    131047: (
        400,
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    131048: (400, "Spam rate limit hit", "Many earlier messages were blocked or flagged as spam"),
    131049: (400, "Message was not delivered", "Not delivered to maintain healthy ecosystem engagement"),
    131050: (400, "User has stopped marketing messages", "The recipient does not want marketing messages"),
    131051: (400, "Unsupported message type", "Unsupported message type"),
    131052: (400, "Media download error", "Unable to download the media sent by the user"),
    131053: (400, "Media upload error", "Unable to upload the media used in the message"),
    131056: (
        429,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Too many messages to the same number in a short period.",
    ),
    131057: (503, "Account in maintenance mode", "Business Account is in maintenance mode"),
    131062: (400, "Business-scoped user id not supported", "This kind of message needs a phone number"),
    131063: (403, "Account messaging is restricted", "The account may not send messages"),
    131064: (400, "Messaging limit reached", "The messaging limit of the account has been reached"),
    132000: (400, "Number of parameters does not match the expected number of params", "Template parameters are wrong"),
    132001: (404, "Template does not exist", "The template does not exist in the specified language"),
    132005: (400, "Template hydrated text too long", "The translated text is too long"),
    132007: (400, "Template format character policy violated", "Template content violates a policy"),
    132008: (400, "Template parameter value is not valid", "A parameter value is invalid"),
    132012: (400, "Template parameter format mismatch", "Variable parameter values formatted incorrectly"),
    132015: (400, "Template is paused", "The template is paused due to low quality"),
    132016: (400, "Template is disabled", "The template was paused too often and is disabled"),
    132068: (400, "Flow is blocked", "The flow is in blocked state"),
    132069: (400, "Flow is throttled", "The flow is in throttled state"),
    133010: (400, "Phone number not registered", "The number is not registered on the platform"),
    133016: (400, "Account register deregister rate limit exceeded", "Too many registration attempts"),
    135000: (400, "Generic user error", "Message failed to send because of an unknown error with the parameters"),
    137000: (400, "Identity key mismatch", "The identity key of the recipient has changed"),
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
