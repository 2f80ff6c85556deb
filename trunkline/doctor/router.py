"""What the admin API says: of the platform, its queues, actors, tenants and dead letters."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from trunkline.cli.api import LARGEST_PAGE, CommandFailed
from trunkline.doctor.facts import ASK_WITHIN_S, NO_ROUTER, Facts, Look, Unseen, at_once
from trunkline.doctor.logbook import LOGBOOK

# Lists are read page by page for so long; what is left out is said.
READ_FOR_S = 2.0
LETTERS_SINCE = timedelta(days=1)
MOST_LETTERS = 2000
# Tenants of whom something is known that may be trouble are asked one by one, this many at most.
MOST_SUSPECTS = 24
SUSPECT_SINCE = timedelta(minutes=15)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answering:
    """Whether a Trunkline answers at the URL, and what its /health says; `error` when it does not."""

    health: Row | None
    error: str | None = None

    def component(self, name: str) -> Row:
        """A component's row of /health; raises Unseen when nothing answers."""
        if self.health is None:
            raise Unseen(NO_ROUTER)
        row: Row = self.health["components"].get(name, {})
        return row


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a list; `complete` unless there was no time for all of them."""

    rows: tuple[Row, ...]
    complete: bool = True


def _look_at_health(facts: Facts) -> Answering:
    try:
        health = facts.scene.api.call("GET", "/health", also=(503,))
    except CommandFailed as error:
        return Answering(None, error.text)
    except ValueError:
        return Answering(None, f"what answers at {facts.scene.url} is not Trunkline")
    if not isinstance(health, dict) or not isinstance(health.get("components"), dict):
        return Answering(None, f"what answers at {facts.scene.url} is not Trunkline")
    return Answering(health)


def _look_at_key(facts: Facts) -> str | None:
    """Why the key opens nothing; None when it does."""
    try:
        facts.scene.api.call("GET", "/pools", also=(503,))
    except CommandFailed as error:
        if error.body is None:
            raise
        return error.text
    return None


def _look_at_pools(facts: Facts) -> dict[str, Row]:
    pools: dict[str, Row] = facts.scene.api.call("GET", "/pools")
    return pools


def _look_at_actors(facts: Facts) -> tuple[Row, ...]:
    return tuple(facts.scene.api.call("GET", "/actors")["actors"])


def _look_at_queues(facts: Facts) -> Rows:
    """Queues in use; of one tenant, or when nobody says which are in use, all."""
    if facts.scene.tenant is None:
        with suppress(CommandFailed):
            return _read(facts, "/queues", "queues", inUse=True)
    return _read(facts, "/queues", "queues")


def _look_at_tenants(facts: Facts) -> Rows:
    """Every tenant, or the one that is examined; no row when there is none of that id."""
    tenant = facts.scene.tenant
    if tenant is None:
        return _read(facts, "/tenants", "tenants")
    try:
        return Rows((facts.scene.api.call("GET", f"/tenants/{tenant}", tenant=tenant),))
    except CommandFailed as error:
        if error.body is None or error.body.get("code") != "NOT_FOUND":
            raise
        return Rows(())


def _look_at_letters(facts: Facts) -> Rows:
    """Dead letters of the last day."""
    found = _read(facts, "/dead-letters", "deadLetters", MOST_LETTERS)
    since = facts.scene.now - LETTERS_SINCE
    recent = tuple(row for row in found.rows if moment(row["createdAt"]) >= since)
    return Rows(recent, found.complete or len(recent) < len(found.rows))


def _look_at_suspects(facts: Facts) -> dict[str, Row]:
    """The status of each tenant that may be in trouble, by its id."""

    def ask(tenant: str) -> Row | None:
        with suppress(CommandFailed):  # deleted meanwhile, or its cell does not answer: others tell of that
            status: Row = facts.scene.api.call("GET", f"/tenants/{tenant}/status", tenant=tenant)
            return status
        return None

    facts.of(HEALTH).component("tenants")
    names = [facts.scene.tenant] if facts.scene.tenant else _suspects(facts)
    found = at_once({name: partial(ask, name) for name in names}, ASK_WITHIN_S + 0.5)
    return {name: status for name, status in found.items() if status is not None}


def _suspects(facts: Facts) -> list[str]:
    names: dict[str, None] = {}
    with suppress(Unseen):
        old = [row for row in facts.of(QUEUES).rows if (row["oldestAgeSeconds"] or 0) > facts.scene.max_age_s]
        names |= dict.fromkeys(row["tenantId"] for row in sorted(old, key=lambda row: -row["oldestAgeSeconds"]))
    with suppress(Unseen):
        since = facts.scene.now - SUSPECT_SINCE
        names |= dict.fromkeys(line.tenant for line in facts.of(LOGBOOK).lines if line.tenant and line.at >= since)
    with suppress(Unseen):
        names |= dict.fromkeys(row["tenantId"] for row in facts.of(LETTERS).rows if row["tenantId"])
    return list(names)[:MOST_SUSPECTS]


def _read(facts: Facts, path: str, field: str, most: int | None = None, **query: Any) -> Rows:
    rows: list[Row] = []
    cursor: str | None = None
    ends_at = time.monotonic() + READ_FOR_S
    while time.monotonic() < ends_at and (most is None or len(rows) < most):
        asked = {**query, "limit": LARGEST_PAGE, "cursor": cursor}
        page = facts.scene.api.call("GET", path, tenant=facts.scene.tenant, query=asked)
        rows += page[field]
        cursor = page.get("nextCursor")
        if cursor is None:
            return Rows(tuple(rows))
    return Rows(tuple(rows), complete=False)


def moment(text: str) -> datetime:
    """A time as the admin API writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


HEALTH: Look[Answering] = Look("health", _look_at_health)
KEY: Look[str | None] = Look("key", _look_at_key)
POOLS: Look[dict[str, Row]] = Look("pools", _look_at_pools)
ACTORS: Look[tuple[Row, ...]] = Look("actors", _look_at_actors)
QUEUES: Look[Rows] = Look("queues", _look_at_queues)
TENANTS: Look[Rows] = Look("tenants", _look_at_tenants)
LETTERS: Look[Rows] = Look("dead letters", _look_at_letters)
SUSPECTS: Look[dict[str, Row]] = Look("tenants' status", _look_at_suspects, after=(HEALTH, QUEUES, LETTERS, LOGBOOK))
