"""Reading a webhook's body: any JSON that a cloud may sign, and nothing that is not JSON."""

from __future__ import annotations

import json
from typing import Any

import orjson

from trunkline.protocol.text import clean


class NotJson(ValueError):
    """The body is not UTF-8 JSON."""


# Valid JSON that nests too deep to be read at all; it carries nothing for us.
TOO_DEEP: dict[str, Any] = {}
# No message nests deeper; what does could be read but, once in an envelope, not be written again.
DEEPEST = 64
_ESCAPED_NUL = rb"\u0000"


def read_json(body: bytes) -> Any:
    """The value in `body`, free of strings that no store takes and of what nests too deep; raises NotJson."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _read_liberally(body)
    if _ESCAPED_NUL in body:
        value = _cleaned(value)
    # Fewer brackets than levels: no need to look.
    if body.count(b"{") + body.count(b"[") > DEEPEST and _is_deeper(value, DEEPEST):
        value = _pruned(value, DEEPEST)
    return value


def _read_liberally(body: bytes) -> Any:
    """JSON that the fast parser refuses: lone surrogates, huge numbers, deep nesting."""
    try:
        return _cleaned(json.loads(body.decode("utf-8"), parse_constant=_refuse, parse_int=_number))
    except RecursionError:
        return TOO_DEEP
    except (ValueError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from error


def _refuse(constant: str) -> Any:
    raise NotJson(f"{constant} is not JSON")


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= 18 else float(digits)


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in members)


def _pruned(value: Any, levels: int) -> Any:
    """The value with null in place of every array and object below so many levels."""
    match value:
        case list():
            return [_pruned(item, levels - 1) for item in value] if levels else None
        case dict():
            return {key: _pruned(item, levels - 1) for key, item in value.items()} if levels else None
        case _:
            return value


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case list():
            return [_cleaned(item) for item in value]
        case dict():
            return {clean(key): _cleaned(item) for key, item in value.items()}
        case float() if value in (float("inf"), float("-inf")):
            return None
        case _:
            return value
