"""Bodies of the admin API: read to their end within limits of size and time, and JSON that has one meaning."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope

from trunkline.web.errors import ApiError, bad_request

LARGEST = 1_048_576
# From the end of the headers on. Whoever sends a byte now and then must not keep a place that others need.
ARRIVES_WITHIN_S = 10.0
JSON = "application/json"
# Who types a request by hand says nothing, or, with `curl -d`, that it is a form. No browser adds a key to either.
TAKEN_FOR_JSON = frozenset({JSON, "", "application/x-www-form-urlencoded"})
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# What is left of a body that is refused is not read: the next request cannot be found in it.
_CLOSE = {"Connection": "close"}
_LONGEST_NAME = 100


async def read_body(scope: Scope, receive: Receive, within_s: float = ARRIVES_WITHIN_S) -> Receive:
    """The request with its whole body, to be received again; raises ApiError for one that cannot be used.

    Nothing is left to guess: a body that ends before it should, names a field twice or is said to be something else
    than JSON is refused, not taken for something else.
    """
    if scope["method"] not in METHODS_WITH_BODY:
        return receive
    headers = Headers(scope=scope)
    _check_length(headers)
    try:
        async with asyncio.timeout(within_s):
            body = await _read(receive)
    except TimeoutError:
        raise ApiError(
            408, f"The body did not arrive within {within_s:g} s", "REQUEST_TIMEOUT", headers=_CLOSE
        ) from None
    if body:
        _check_type(headers)
        _check_json(body)
        MutableHeaders(scope=scope)["Content-Type"] = JSON
    return _again(body, receive)


def _check_length(headers: Headers) -> None:
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > LARGEST:
        raise _too_large()


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            # An empty body would mean "all of them" to a replay.
            raise bad_request({"body": "the connection ended before it did"})
        body += message.get("body", b"")
        if len(body) > LARGEST:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> ApiError:
    return ApiError(413, f"The body is larger than {LARGEST} bytes", "PAYLOAD_TOO_LARGE", headers=_CLOSE)


def _check_type(headers: Headers) -> None:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in TAKEN_FOR_JSON:
        details = {"Content-Type": "must be application/json"}
        raise ApiError(415, "The body must be JSON", "UNSUPPORTED_MEDIA_TYPE", details)


def _check_json(body: bytes) -> None:
    """Raises ApiError 400 for what is not JSON, and for what readers of JSON understand in different ways."""
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise bad_request({"body": f"is not JSON: {error.msg} at {where}"}) from None
    except UnicodeDecodeError as error:
        raise bad_request({"body": f"is not UTF-8 at byte {error.start}: JSON must be"}) from None
    except RecursionError:
        raise bad_request({"body": "nests too deep: no object here has more than four levels"}) from None
    except ValueError:
        raise bad_request({"body": "holds a number too long to be read"}) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise bad_request({twice[:_LONGEST_NAME]: "is given more than once: leave one"})
    return found


def _refuse(constant: str) -> Any:
    raise bad_request({"body": f"holds {constant}, which JSON has not: leave it out, or give a number"})


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
