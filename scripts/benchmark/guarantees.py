"""That nothing was switched off for speed: how the stores are set, and what Postgres has of every message."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from sandbox.accounts import Account
from scripts.benchmark.stage import Stage, StageFailed

# What makes a commit of Postgres outlive a loss of power.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

WRITTEN_WITHIN_S = 15.0
POLL_S = 0.5

_WRITTEN = """
SELECT count(*),
       count(*) FILTER (WHERE status = 'delivered' AND attempts > 0 AND claimed_at IS NOT NULL),
       count(*) FILTER (WHERE unknowns > 0)
FROM messages WHERE tenant_id = ANY(%s) AND direction <> 'status'
"""
_MARKED = """
SELECT count(*) FROM messages m JOIN seen s ON s.tenant_id = m.tenant_id AND s.key_hash = m.message_id
WHERE m.tenant_id = ANY(%s) AND m.direction <> 'status'
"""
_LEFT = """
SELECT (SELECT count(*) FROM intake_spool) + (SELECT count(*) FROM dead_letters)
"""


def examine(stage: Stage, accounts: Sequence[Account], accepted: int) -> dict[str, Any]:
    """What holds after a round in which so many messages were accepted; raises StageFailed if anything does not."""
    tenants = [account.tenant_id for account in accounts]
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    with psycopg.connect(stage.environment["DATABASE_URL"], connect_timeout=5, autocommit=True) as connection:
        found = _found(connection, stage, tenants, accepted)
        # Outcomes are written in groups, after the arrivals.
        while complaints(found) and time.monotonic() < deadline:
            time.sleep(POLL_S)
            found = _found(connection, stage, tenants, accepted)
    for complaint in complaints(found):
        raise StageFailed(complaint)
    return found


def complaints(found: Mapping[str, Any]) -> list[str]:
    """What does not hold, in words."""
    said = [
        f"PostgreSQL runs with {name} = {found['postgres'][name]}, so it does not wait for the disk"
        for name, wanted in DURABLE.items()
        if found["postgres"][name] != wanted
    ]
    accepted = found["accepted"]
    for name, what in (
        ("written", "written down"),
        ("claimed_and_delivered", "claimed before they were sent, and delivered"),
        ("marked_as_seen", "marked against repetition"),
    ):
        if found[name] != accepted:
            said.append(f"{found[name]:,} of {accepted:,} accepted messages are {what}")
    if found["spooled_or_dead"]:
        said.append(f"{found['spooled_or_dead']:,} messages are spooled or dead letters")
    return said


def _found(connection: psycopg.Connection[Any], stage: Stage, tenants: Sequence[str], accepted: int) -> dict[str, Any]:
    written, claimed, unknown = connection.execute(_WRITTEN, [tenants]).fetchone() or (0, 0, 0)
    return {
        "postgres": {name: _one(connection, f"SHOW {name}") for name in DURABLE},
        "queues": stage.environment.get("TRUNKLINE_QUEUE_TYPE") or "classic",
        "accepted": accepted,
        "written": written,
        "claimed_and_delivered": claimed,
        "marked_as_seen": _one(connection, _MARKED, [tenants]),
        "unknown_outcomes": unknown,
        "spooled_or_dead": _one(connection, _LEFT),
    }


def _one(connection: psycopg.Connection[Any], query: Any, parameters: Sequence[Any] = ()) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
