"""A file on its way into the sandbox, as its control API takes it."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

from trunkline.cli.api import CommandFailed

# The sandbox takes 4 MiB, and a file is a third longer in base64.
LARGEST_BYTES = 3_000_000
KINDS = ("image", "video", "audio")


def from_customer(path: Path) -> dict[str, Any]:
    """The members of an order by which a customer sends the file."""
    file = _file(path)
    family = file["mime"].partition("/")[0]
    return {"kind": family if family in KINDS else "document", "content": file}


def from_agent(path: Path) -> dict[str, Any]:
    """The members of an order by which an agent attaches the file."""
    return {"kind": "attachments", "content": [_file(path)]}


def _file(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise CommandFailed(f"{path} has {len(content)} bytes, and the sandbox is given no more than {LARGEST_BYTES}")
    mime, _ = mimetypes.guess_type(path.name)
    return {
        "base64": base64.b64encode(content).decode(),
        "mime": mime or "application/octet-stream",
        "filename": path.name,
    }
