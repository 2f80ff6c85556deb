"""Times on the wire: WhatsApp's Unix seconds in, Genesys' ISO 8601 out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from trunkline.protocol.lenient import read_text

_MILLISECONDS = re.compile(r"[0-9]{13}")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
# What comes like a message and is none for WhatsApp's window; of reactions it is not known, so nothing relies on them.
_OPENS_NO_WINDOW = frozenset({"system", "request_welcome", "edit", "revoke", "reaction"})
_END_OF_TIME = 253_402_300_800.0  # the year 10000, which ISO 8601 with four digits cannot write


def iso_milliseconds(at: float) -> str:
    """Unix seconds as `2026-11-23T12:00:00.000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_seconds(timestamp: object, otherwise: float) -> float:
    """A WhatsApp `timestamp`, string or number, as Unix seconds; 13 digits are milliseconds, nonsense `otherwise`."""
    text = read_text(timestamp) or ""
    if _MILLISECONDS.fullmatch(text):
        seconds = int(text) / 1000
    elif _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        return otherwise
    return seconds if 0 < seconds < _END_OF_TIME else otherwise


def customer_time(message: Any, accepted_at: float) -> float:
    """When the customer sent `message`, WhatsApp's own JSON: as it says, not after it was accepted (Unix seconds)."""
    said = message.get("timestamp") if isinstance(message, dict) else None
    return min(unix_seconds(said, accepted_at), accepted_at)


def window_opened_at(message: Any, accepted_at: float) -> float | None:
    """From when `message`, WhatsApp's own JSON, opens the 24-hour window (Unix seconds); None when it does not."""
    kind = message.get("type") if isinstance(message, dict) else None
    if isinstance(kind, str) and kind in _OPENS_NO_WINDOW:
        return None
    return customer_time(message, accepted_at)
