"""What verbs change on the machine itself, past the admin API, in the audit log."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

from trunkline.stores.audit import append_if_kept
from trunkline.tenancy.audit import Actor, AuditRecord


def note_locally(
    database_url: str,
    action: str,
    subject: str | None,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Note what the user of this machine has done; nothing where the database keeps no audit log (yet)."""
    record = AuditRecord(Actor(f"local:{_user()}", "local"), action, None, subject, before, after)
    asyncio.run(append_if_kept(database_url, record))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "unknown"
