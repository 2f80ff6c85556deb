"""Which files the Send API takes as which kind of message. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sandbox.graph_errors import Refused

MB = 1024 * 1024
MIME = re.compile(r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$")
OPUS = b"OpusHead"
HEAD_BYTES = 512  # as many first bytes as tell whether Ogg holds Opus

# kind of message: (MIME types, any if None; bytes)
ACCEPTED: dict[str, tuple[frozenset[str] | None, int]] = {
    "image": (frozenset({"image/jpeg", "image/png"}), 5 * MB),
    "video": (frozenset({"video/mp4", "video/3gpp"}), 16 * MB),
    "audio": (frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}), 16 * MB),
    "document": (None, 100 * MB),
    "sticker": (frozenset({"image/webp"}), 500 * 1024),
}


def media_parts(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and object of each file in a message that was checked: its own, its header's, its template's."""
    kind = body["type"]
    if kind in ACCEPTED:
        yield kind, body[kind]
    elif kind == "interactive":
        yield from _typed([body[kind].get("header", {})])
    elif kind == "template":
        for component in body[kind].get("components", []):
            yield from _typed(component.get("parameters", []))


def check_media(kind: str, part: dict[str, Any], mime: str, size: int, head: bytes) -> None:
    """Raise Refused unless a file like this may be sent as this kind."""
    mimes, limit = ACCEPTED[kind]
    if mimes is not None and mime not in mimes:
        raise Refused(131053, f"{mime} cannot be sent as {kind}")
    if size > limit:
        raise Refused(131053, f"The file is larger than the {limit} bytes allowed for {kind}")
    if kind == "audio" and mime == "audio/ogg" and OPUS not in head:
        raise Refused(131053, "audio/ogg is allowed with the Opus codec only")
    if kind == "audio" and part.get("voice") and mime != "audio/ogg":
        raise Refused(131053, "A voice message must be audio/ogg with the Opus codec")


def bare_mime(text: str) -> str:
    """The MIME type without parameters, in lower case; empty if it is none."""
    mime = text.partition(";")[0].strip().lower()
    return mime if MIME.match(mime) else ""


def _typed(parts: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in parts:
        if part.get("type") in ACCEPTED:
            yield part["type"], part[part["type"]]
