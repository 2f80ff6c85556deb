"""Values in the form that Postgres takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import orjson

from trunkline.protocol.text import clean


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: None) -> None: ...
def storable(text: str | None) -> str | None:
    """The text without what a Postgres text cannot hold."""
    return None if text is None else clean(text)


def as_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as one parameter, for `json_to_recordset`: a list for each column costs ten times as much to send."""
    return orjson.dumps(rows).decode()


def as_json(detail: dict[str, Any]) -> str:
    """An object as jsonb takes it, which refuses a NUL even when it is escaped."""
    cleaned = {name: storable(value) if isinstance(value, str) else value for name, value in detail.items()}
    return orjson.dumps(cleaned).decode()
