"""The API's own description: every answer that a route gives, errors included, who may call it, and examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from trunkline.tenancy.access import Role
from trunkline.web.auth import KEYS, TENANT_HEADER, tenant_in_scope
from trunkline.web.bodies import METHODS_WITH_BODY
from trunkline.web.error_answers import ANSWERS, ErrorAnswer

_EXAMPLES: dict[str, dict[str, Any]] = orjson.loads(files(__package__).joinpath("openapi_examples.json").read_bytes())
# A tenant's key opens another tenant nowhere, and Postgres and the limit stand before every route.
_ALWAYS = (401, 404, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)
_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_HEADERS = {
    "X-RateLimit-Limit": ("requests per minute that the tenant may send; with a tenant's key only", "integer"),
    "X-RateLimit-Remaining": ("how many of them are left in this UTC minute", "integer"),
    "X-RateLimit-Reset": ("when the next minute begins, in epoch seconds", "integer"),
    "Retry-After": ("after so many seconds it may be tried again", "integer"),
    "WWW-Authenticate": ("how a key is to be sent", "string"),
}
_WORDS: dict[tuple[Role, ...], str] = {
    (Role.ADMIN,): "an admin's",
    (Role.ADMIN, Role.OPERATOR): "an admin's or operator's",
    tuple(Role): "an admin's, an operator's, or the tenant's own",
}


_DESCRIPTION = """
JSON in camelCase, times in UTC.

**Keys** come in `X-API-Key` or as a bearer token. One has the role `admin` (every tenant), `operator` (every tenant, no
secrets, no changes of keys or tenants) or `tenant` (its own tenant only). With an admin's or operator's key,
`X-Tenant-ID` names the tenant where a route needs one; a tenant's key needs no such header.

**Lists** come in pages of `limit` entries, 50 if not said otherwise. `nextCursor` of an answer is the `cursor` of the
next page, and null on the last one. A cursor is good for the list that it came from, with the same filters; what is
added or goes meanwhile does not shift it.

**Errors** are `{"error": "<text>", "code": "<CODE>", "details": ...}` on every route, also for paths and methods that
are not there (404, 405).

**Limit**: a tenant's keys share `rateLimit` requests in each UTC minute; `X-RateLimit-Limit`, `-Remaining` and `-Reset`
tell on every answer where they stand. A body may have 1,048,576 bytes and take 10 s to arrive.
"""


def describe(app: FastAPI, routes: list[Any]) -> Callable[[], dict[str, Any]]:
    """A function that answers the OpenAPI document of `routes`, made at its first call."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, routes)
        return app.openapi_schema

    return openapi


def _document(app: FastAPI, routes: list[Any]) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=routes)
    components = document["components"]
    components["headers"] = {name: _header(*said) for name, said in _HEADERS.items()}
    components["responses"] = {answer.name: _response(answer) for answer in ANSWERS.values()}
    # FastAPI's own, which no route of ours answers.
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    bodies = {answer.body for answer in ANSWERS.values()}
    components["schemas"] |= {body.__name__: body.model_json_schema(mode="serialization") for body in bodies}
    for route, operation in _operations(routes, document):
        _complete(route, operation)
    _drop_titles(document)
    return document


def _operations(routes: list[Any], document: dict[str, Any]) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in _methods(route):
                yield route, document["paths"][route.path_format][method.lower()]


def _methods(route: APIRoute) -> set[str]:
    return route.methods or set()


def _complete(route: APIRoute, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    example = _EXAMPLES.get(operation["operationId"], {})
    if "security" in operation:
        _complete_keyed(route, operation)
    for status in [status for status in responses if status.startswith("2")]:
        for content in responses[status].get("content", {}).values():
            content |= {"example": example["answered"]} if "answered" in example else {}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content |= {"example": example["asked"]} if "asked" in example else {}


def _complete_keyed(route: APIRoute, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    dependencies = list(_flat(route.dependant))
    rules = [KEYS[each.call] for each in dependencies if each.call in KEYS]
    keys = min(rules, key=len, default=tuple(Role))
    operation["description"] = f"{operation.get('description', '')}\n\nKey: {_WORDS[keys]}.".strip()
    statuses = {*_ALWAYS, *(int(status) for status in responses if int(status) in ANSWERS)}
    statuses |= {403} if keys != tuple(Role) else set()
    statuses |= set(_WITH_BODY) if _methods(route) & METHODS_WITH_BODY else set()
    statuses |= {400} if any(_may_be_bad(each) for each in dependencies) else set()
    for status, response in responses.items():
        if status.startswith("2"):
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMIT_HEADERS}
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/{ANSWERS[status].name}"}


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _flat(each)


def _may_be_bad(dependant: Dependant) -> bool:
    """Whether something that this reads of the request can be wrong and not just missing."""
    headers = [header for header in dependant.header_params if header.alias != TENANT_HEADER]
    limited = [
        path for path in dependant.path_params if path.field_info.annotation is not str or path.field_info.metadata
    ]
    return bool(dependant.query_params or headers or limited or dependant.call is tenant_in_scope)


def _drop_titles(part: Any) -> None:
    """Take the titles away that pydantic makes of names: `Messageid` says less than `messageId`."""
    if isinstance(part, list):
        for each in part:
            _drop_titles(each)
    elif isinstance(part, dict):
        if isinstance(part.get("title"), str) and {"type", "anyOf", "allOf", "$ref", "enum"} & part.keys():
            del part["title"]
        for each in part.values():
            _drop_titles(each)


def _response(answer: ErrorAnswer) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{answer.body.__name__}"}, "example": answer.example}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers}
    return {
        "description": answer.description,
        "content": {"application/json": content},
        **({"headers": headers} if headers else {}),
    }


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}
