"""A system in which nothing is wrong, as the doctor sees it, and ways to break it one fact at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from config.settings import Settings
from trunkline.cli.api import Router
from trunkline.doctor import guide
from trunkline.doctor.accepted import LAST_ACCEPTED, LastAccepted
from trunkline.doctor.cached import MAPPINGS, TOKENS, USE
from trunkline.doctor.chapters.authentication import TOKEN
from trunkline.doctor.chapters.webhooks import OWN_SIGNATURE
from trunkline.doctor.database import KEYLESS, SCHEMA, SESSIONS, TABLES, Schema, Sessions
from trunkline.doctor.facts import Facts, Look, Scene
from trunkline.doctor.logbook import LOGBOOK, Logbook
from trunkline.doctor.machine import DISKS, INSTANCE, MEDIA, PORTS, STRAIN, Disk, Instance, Listener, Strain
from trunkline.doctor.opinion import Finding, Verdict
from trunkline.doctor.outside import CLOCKS, PUBLIC_URL, Clock, PublicAddress
from trunkline.doctor.router import ACTORS, HEALTH, KEY, LETTERS, POOLS, QUEUES, SUSPECTS, TENANTS, Answering, Row, Rows
from trunkline.doctor.stores import POSTGRES, RABBITMQ, REDIS, StoreAnswer
from trunkline.logs import LogLine

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GB = 2**30
MB = 2**20
COMPONENTS = ("postgres", "redis", "rabbitmq", "ray", "inbound", "outbound", "tenants")


def health(**changes: Row) -> Answering:
    """A healthy platform's /health, some components changed."""
    rows = {
        name: {"status": "healthy", "latencyMs": 1.2, "reason": None, **changes.get(name, {})} for name in COMPONENTS
    }
    status = "healthy" if all(row["status"] == "healthy" for row in rows.values()) else "degraded"
    return Answering({"status": status, "components": rows})


def tenant(tenant_id: str = "acme", **changes: Any) -> Row:
    """A tenant as the admin API shows it."""
    return {
        "tenantId": tenant_id, "name": "Acme", "status": "active", "rateLimit": 100,
        "genesys": {"region": "mypurecloud.ie"}, "whatsapp": {"app": "default"}, **changes,
    }  # fmt: skip


def status(tenant_id: str = "acme", *, genesys: str | None = None, whatsapp: str | None = None, **more: Any) -> Row:
    """A tenant's status; `genesys` and `whatsapp` are why their circuits are open."""
    reasons = {"genesys": genesys, "whatsapp": whatsapp}
    circuits = {
        cloud: {"state": "open", "reason": reason, "words": f"open: {reason}; messages wait in order"}
        if reason
        else {"state": "closed", "reason": None, "words": "closed: calls leave as they come"}
        for cloud, reason in reasons.items()
    }
    limits = {"whatsappMessagesPerSecond": 80, "whatsappEffectiveMessagesPerSecond": 80.0}
    return {"tenantId": tenant_id, "tokenError": None, "circuits": circuits, "limits": limits, **more}


def queue(name: str = "inbound-whatsapp-messages", tenant_id: str = "acme", **changes: Any) -> Row:
    """A queue as GET /queues lists it."""
    counts = {"messages": 0, "unacked": 0, "spooled": 0, "consumers": 1, "oldestAgeSeconds": None}
    return {"queue": name, "tenantId": tenant_id, **counts, "reader": None, "held": None, **changes}


def letter(reason: str, direction: str = "inbound", *, age: timedelta = timedelta(minutes=5), **changes: Any) -> Row:
    """A dead letter."""
    row = {
        "id": "7", "reason": reason, "direction": direction, "tenantId": "acme", "answer": "400 bad",
        "createdAt": (NOW - age).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    return {**row, **changes}


def line(event: str, *, ago: timedelta = timedelta(minutes=10), tenant: str | None = None, **facts: Any) -> LogLine:
    """A line of the log."""
    return LogLine(NOW - ago, "WARNING", event, tenant, None, facts, "intake.log")


def redis_info(**changes: Any) -> dict[str, Any]:
    """What Redis tells of itself."""
    return {"used_memory": MB, "maxmemory": 0, "maxmemory_policy": "noeviction", "role": "master", **changes}


def pool(**changes: Any) -> Row:
    """A pool as GET /pools shows it."""
    return {"size": 1, "running": 1, "min": 1, "max": 1, "changing": False, **changes}


WELL: dict[Look[Any], Any] = {
    HEALTH: health(),
    KEY: None,
    POOLS: {"inbound": pool(), "outbound": pool()},
    ACTORS: ({"name": "cell:0", "class": "TenantCell", "pid": 7, "memoryBytes": 100 * MB,
              "memoryLimitBytes": 512 * MB, "state": "alive"},),
    QUEUES: Rows((queue(),)),
    TENANTS: Rows((tenant(),)),
    LETTERS: Rows(()),
    SUSPECTS: {"acme": status()},
    LOGBOOK: Logbook(()),
    LAST_ACCEPTED: LastAccepted({}, {}),
    OWN_SIGNATURE: 200,
    PUBLIC_URL: PublicAddress("https://router.example", False, True, None, NOW + timedelta(days=60)),
    TOKEN: None,
    CLOCKS: {"Postgres": Clock(0.1), "Genesys Cloud": Clock(-0.4)},
    TOKENS: (),
    MAPPINGS: (),
    USE: (),
    POSTGRES: StoreAnswer("127.0.0.1:5432", None, 1.0),
    REDIS: StoreAnswer("127.0.0.1:6379", None, 1.0, redis_info()),
    RABBITMQ: StoreAnswer("127.0.0.1:5672", None, 1.0, {"blocked": False}),
    SESSIONS: Sessions(20, 197, (("trunkline", 20),), 0),
    SCHEMA: Schema(("0001-tenants",), (), (), TABLES, ()),
    KEYLESS: (),
    PORTS: {3000: Listener(3000, 8, "haproxy"), 3001: None},
    INSTANCE: Instance(9, ()),
    DISKS: (Disk(Path("/srv"), 100 * GB, 200 * GB),),
    MEDIA: 5 * MB,
    STRAIN: Strain(2, 0.5, 8 * GB, 16 * GB),
}  # fmt: skip


def scene(**changes: Any) -> Scene:
    """A router with real clouds on this machine; nothing of it is asked."""
    settings = Settings(public_url="https://router.example")
    return replace(Scene(settings, cast(Router, None), settings.public_url, True, NOW), **changes)


def examined(changes: Mapping[Look[Any], Any], of: Scene | None = None) -> dict[str, Finding]:
    """What every check comes to in that system with these facts changed."""
    facts = Facts(of or scene(), {look.name: found for look, found in {**WELL, **changes}.items()})
    return {finding.check.id: finding for finding in guide.judge(guide.CHECKS, facts)}


def with_verdict(findings: Mapping[str, Finding], *verdicts: Verdict) -> set[str]:
    """Ids of the checks that came to one of these."""
    return {id for id, finding in findings.items() if finding.opinion.verdict in verdicts}
