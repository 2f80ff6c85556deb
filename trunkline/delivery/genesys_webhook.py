"""A Genesys webhook before it is trusted. Pure."""

from __future__ import annotations

from typing import Any


def integration_id(webhook: Any) -> str | None:
    """The integration that a webhook names, if it names one."""
    channel = webhook.get("channel") if isinstance(webhook, dict) else None
    if not isinstance(channel, dict):
        return None
    sender = channel.get("from")
    for candidate in (channel.get("id"), sender.get("id") if isinstance(sender, dict) else None):
        if isinstance(candidate, str) and candidate:
            return candidate
    return None
