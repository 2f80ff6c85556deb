"""Times on the command line: so long ago, or an ISO time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(given: str | datetime) -> datetime:
    """`30m`, `2h` or `1d` ago, or an ISO time, which is UTC unless it names a zone; fails with the forms it takes."""
    text = str(given)
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time: write 45s, 30m, 2h or 1d ago, or a time like 2026-11-25T08:30 (UTC)"
        ) from None
