"""Retention: for how long a tenant's data is kept, and what a run of the job removed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Keeping:
    """A tenant whose data has reached its age; None for what belongs to no tenant.

    What was accepted, or given up, before these times goes. `is_over`: the tenant was deleted so long ago that all of
    it goes.
    """

    tenant_id: str | None
    content_before: datetime
    metadata_before: datetime
    conversations_before: datetime
    files_before: datetime
    audit_before: datetime
    is_over: bool = False

    def of_all(self) -> Keeping:
        """Nothing is kept, whatever its age and state, but what the audit log says."""
        end = datetime.max.replace(tzinfo=UTC)
        return replace(self, content_before=end, metadata_before=end, conversations_before=end, files_before=end)


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """One run: `ended_at` is None while it lasts, and of one that was broken off. `removed` counts by kind."""

    began_at: datetime
    ended_at: datetime | None
    removed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RetentionState:
    """The last run that came to its end, and the one that is under way.

    `behind_s`: everything whose time had come so many seconds ago has gone; None when no run has ended yet.
    """

    last: RetentionRun | None
    running: RetentionRun | None
    behind_s: float | None
