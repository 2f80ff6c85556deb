"""The platform at a glance: components, pools, actors, queues and tenants in trouble, as `status` and `top` show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from trunkline.cli.api import CommandFailed, Router
from trunkline.cli.output import duration, fitted_table
from trunkline.cli.queues import COLUMNS as QUEUES
from trunkline.cli.queues import read_queues, table_rows

QUEUES_SHOWN = 10
TENANTS_SHOWN = 10
MEGABYTE = 2**20
# So long may the oldest message of a tenant wait before that is trouble.
LATE_S = 30.0

COMPONENTS = ("component", "status", "latencyMs", "reason")
POOLS = ("pool", "size", "running", "min", "max", "changing")
ACTORS = ("actor", "class", "pid", "memory", "holds", "state")
TENANTS = ("tenant", "waiting", "oldest", "why")


@dataclass(frozen=True, slots=True)
class Overview:
    """What was found out; `missing` says what was not, and why."""

    health: dict[str, Any]
    pools: dict[str, Any]
    actors: list[dict[str, Any]]
    queues: list[dict[str, Any]]
    tenants: list[dict[str, Any]]
    missing: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """All of it, with the health as it is answered."""
        return {
            **self.health,
            "pools": self.pools,
            "actors": self.actors,
            "queues": self.queues,
            "tenants": self.tenants,
            "missing": self.missing,
        }

    def tables(self) -> Iterator[tuple[str, list[dict[str, Any]], tuple[str, ...]]]:
        """What people are shown: titles, rows and columns."""
        yield "components", _components(self.health), COMPONENTS
        yield "pools", [{"pool": name, **pool} for name, pool in self.pools.items()], POOLS
        yield "actors", [_actor(actor) for actor in self.actors], ACTORS
        yield "queues", table_rows(self.queues[:QUEUES_SHOWN]), QUEUES
        shown = [{**each, "oldest": duration(each["oldestAgeSeconds"])} for each in self.tenants[:TENANTS_SHOWN]]
        yield "tenants in trouble", shown, TENANTS

    def fitted(self) -> Iterator[Table]:
        """The tables that have rows, for a terminal."""
        for title, rows, columns in self.tables():
            if rows:
                yield fitted_table(rows, columns, title)


def take(api: Router) -> Overview:
    """Look at everything at once; raises CommandFailed only when not even the health is answered."""
    missing: dict[str, str] = {}

    def ask(name: str, look: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return look()
        except CommandFailed as error:
            missing[name] = error.text
            return otherwise

    with ThreadPoolExecutor(4) as looking:
        health = looking.submit(api.call, "GET", "/health", also=(503,))
        pools = looking.submit(ask, "pools", lambda: api.call("GET", "/pools"), {})
        actors = looking.submit(ask, "actors", lambda: api.call("GET", "/actors")["actors"], [])
        queues = looking.submit(ask, "queues", lambda: read_queues(api, in_use=True), ([], {}))
    rows, silent = queues.result()
    waiting = [row for row in rows if row["messages"] != 0]
    return Overview(
        health.result(), pools.result(), actors.result(), waiting, _in_trouble(waiting), {**missing, **silent}
    )


def _in_trouble(queues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tenants whose messages wait for long, or as a whole; the oldest first."""
    by_tenant: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in queues:
        if row["held"] or (row["oldestAgeSeconds"] or 0) > LATE_S:
            by_tenant[row["tenantId"]].append(row)
    found = [
        {
            "tenant": tenant_id,
            "waiting": sum(row["messages"] or 0 for row in rows),
            "oldestAgeSeconds": max((row["oldestAgeSeconds"] or 0.0 for row in rows), default=None),
            "why": "; ".join(dict.fromkeys(_why(row) for row in rows)),
        }
        for tenant_id, rows in by_tenant.items()
    ]
    return sorted(found, key=lambda each: -each["oldestAgeSeconds"])


def _why(row: dict[str, Any]) -> str:
    if row["held"]:
        return str(row["held"])
    return "no transformer reads it" if row["consumers"] == 0 else "it is read more slowly than it fills"


def _components(health: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"component": name, **part} for name, part in health["components"].items()]


def _actor(actor: dict[str, Any]) -> dict[str, Any]:
    name = actor["name"].removeprefix("SERVE_REPLICA::")
    holds = actor.get("holds")
    held = f"{holds['count']} {holds['of']}" if holds else None
    return {**actor, "actor": name, "memory": _memory(actor), "holds": held}


def _memory(actor: dict[str, Any]) -> str | None:
    if actor["memoryBytes"] is None:
        return None
    used, limit = actor["memoryBytes"] / MEGABYTE, actor["memoryLimitBytes"] / MEGABYTE
    return f"{used:.0f} of {limit:.0f} MB"
