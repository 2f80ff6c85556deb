"""What a customer's message says to an agent, and how its parts are put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Said:
    """The text, what goes along in `customAttributes`, and Genesys' `attachment`; the text may be empty beside one."""

    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    attachment: Mapping[str, str] | None = None


def said(text: str | None) -> Said | None:
    """What a text says; nothing if there is none."""
    return Said(text) if text else None


def quoting(wamid: str | None) -> dict[str, str]:
    """The attributes of what is about another message."""
    return {"wa_context_id": wamid} if wamid else {}


def lines(*parts: str | None) -> str:
    """The parts that there are, a line each."""
    return "\n".join(filter(None, parts))


def listed(*parts: str | None) -> str:
    """The parts that there are, in one line."""
    return ", ".join(filter(None, parts))
