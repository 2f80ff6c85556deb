"""Values in the form that Postgres takes them."""

from __future__ import annotations

from typing import overload

from trunkline.protocol.text import clean


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: None) -> None: ...
def storable(text: str | None) -> str | None:
    """The text without what a Postgres text cannot hold."""
    return None if text is None else clean(text)
