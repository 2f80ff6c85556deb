"""Reading a webhook's body: any JSON that a cloud may sign, and nothing that is not JSON."""

from __future__ import annotations

import json
from typing import Any

import orjson

from trunkline.protocol.text import clean


class NotJson(ValueError):
    """The body is not UTF-8 JSON."""


# Valid JSON that nests deeper than any message does; it carries nothing for us.
TOO_DEEP: dict[str, Any] = {}


def read_json(body: bytes) -> Any:
    """The value in `body`, its strings free of what no store takes; raises NotJson."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_liberally(body)


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
