"""Errors of the admin API: every one is `{"error", "code", "details"}`, and none repeats what was sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.errors import Conflict, NotFound, Rejected, Sealed, Unavailable

log = logging.getLogger(__name__)

TENANT_IDENTIFICATION_REQUIRED = "Tenant identification required"
RETRY_AFTER_S = 1

_CODES = {400: "BAD_REQUEST", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "PAYLOAD_TOO_LARGE"}
# Where the library's words do not say what to do.
_IN_WORDS = {
    "missing": "is missing: it is required",
    "extra_forbidden": "is not known here: leave it out; /docs lists the fields",
}
_TEXTS = {400: "The body is not JSON", 404: "Not found", 405: "Method not allowed"}


class ErrorBody(BaseModel):
    """What every error looks like, but for the one of the rate limit."""

    model_config = ConfigDict(extra="forbid")

    error: str
    code: str
    details: Any = None


class RateLimitedBody(BaseModel):
    """The error of a tenant that has used up its requests."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    error: str
    code: str
    limit: int
    retry_after: int


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self, status: int, error: str, code: str, details: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, error, code, details, headers)
        self.status = status
        self.error = error
        self.code = code
        self.details = details
        self.headers = headers

    def response(self) -> JSONResponse:
        """The error as it is answered."""
        return error_response(self.status, self.error, self.code, self.details, self.headers)


def error_response(
    status: int, error: str, code: str, details: Any = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error in the one shape that all have."""
    body = {"error": error, "code": code, "details": details}
    return JSONResponse(body, status, dict(headers) if headers else None)


def unauthorized() -> ApiError:
    """No key, or one that opens nothing."""
    return ApiError(401, TENANT_IDENTIFICATION_REQUIRED, "UNAUTHORIZED", headers={"WWW-Authenticate": "Bearer"})


def forbidden(needed: str) -> ApiError:
    """A good key without the right."""
    return ApiError(403, f"This needs {needed}", "FORBIDDEN")


def tenant_required() -> ApiError:
    """An admin or operator must say which tenant is meant."""
    return ApiError(400, TENANT_IDENTIFICATION_REQUIRED, "TENANT_REQUIRED", {"X-Tenant-ID": "name the tenant"})


def not_found(what: str, details: Mapping[str, str] | None = None) -> ApiError:
    """No such record, or none that this key may know of; `details` say which there are."""
    return ApiError(404, f"{what} not found", "NOT_FOUND", dict(details) if details else None)


def bad_request(details: Mapping[str, str]) -> ApiError:
    """A request that cannot be used; `details` say why per field."""
    return ApiError(400, "The request is not valid", "BAD_REQUEST", dict(details))


def details_of(error: ValidationError | RequestValidationError, *prefix: str) -> dict[str, str]:
    """What is wrong, per field, without the values: one of them may be a secret."""
    details: dict[str, str] = {}
    for issue in error.errors():
        place = [str(part) for part in issue["loc"]]
        if isinstance(error, RequestValidationError):
            place = ["body"] if issue["type"] == "json_invalid" else place[1:]
        field = ".".join([*prefix, *place]) or "body"
        details.setdefault(field, _IN_WORDS.get(issue["type"]) or str(issue["msg"]).removeprefix("Value error, "))
    return details


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of `app` answer in the one shape."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return bad_request(details_of(error)).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "ERROR")
    text = _TEXTS.get(error.status_code, error.detail)
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return error_response(error.status_code, text, code, headers=headers)


def _allowed(request: Request) -> str:
    """The methods of this path, of all its routes: the framework knows those of the first one only."""
    path = request.url.path
    routes = (route for route in request.app.routes if route.path_regex.match(path))
    return ", ".join(sorted({method for route in routes for method in route.methods}))


async def _not_found(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotFound)
    return not_found(error.what).response()


async def _conflict(_: Request, error: Exception) -> Response:
    assert isinstance(error, Conflict)
    return error_response(409, str(error), "CONFLICT", {error.field: "already taken"})


async def _rejected(_: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    return error_response(400, error.detail, "BAD_REQUEST")


async def _sealed(_: Request, error: Exception) -> Response:
    log.error("secret.sealed", extra={"error": str(error)})
    return error_response(500, str(error), "SEALED")


async def _unavailable(_: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return error_response(503, error.detail, "SERVICE_UNAVAILABLE", headers={"Retry-After": str(RETRY_AFTER_S)})


async def _unexpected(_: Request, error: Exception) -> Response:
    return error_response(500, "Internal error: the log says more", "INTERNAL_ERROR")


_HANDLERS = {
    ApiError: _api_error,
    RequestValidationError: _invalid,
    HTTPException: _http,
    NotFound: _not_found,
    Conflict: _conflict,
    Rejected: _rejected,
    Sealed: _sealed,
    Unavailable: _unavailable,
    Exception: _unexpected,
}
