"""The admin API over a database with a past: every route that reads asked some hundred times, one after the other."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from scripts.benchmark.figures import percentile
from scripts.benchmark.history import Past
from scripts.benchmark.stage import StageFailed

TIMEOUT_S = 30.0
# Asked before the clock counts: connections, caches and tenants' actors are there then, as they are in use.
WARM_UP = 5
DEMO_TENANT = "demo"
# What is slower than this on such a database is a fault.
LONGEST_MS = 100.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    path: str
    tenant_id: str | None = None
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A route, how it is asked beside the plain way, and the request for a draw of ids."""

    route: str
    how: str
    ask: Callable[[random.Random, Past], Asked]

    @property
    def method(self) -> str:
        """GET, or POST for what only looks."""
        return self.route.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Figures:
    """A question's times in milliseconds."""

    route: str
    how: str
    p50_ms: float
    p95_ms: float
    worst_ms: float


def _plain(path: str) -> Callable[[random.Random, Past], Asked]:
    return lambda draw, past: Asked(path)


def _of_tenant(path: str) -> Callable[[random.Random, Past], Asked]:
    return lambda draw, past: Asked(path.format(draw.choice(past.tenants)))


def _scoped(path: str) -> Callable[[random.Random, Past], Asked]:
    return lambda draw, past: Asked(path, draw.choice(past.tenants))


def _conversation(path: str) -> Callable[[random.Random, Past], Asked]:
    def ask(draw: random.Random, past: Past) -> Asked:
        tenant_id, conversation_id, wa_id = draw.choice(past.conversations)
        return Asked(path.format(id=conversation_id, wa_id=wa_id), tenant_id)

    return ask


def _trace(draw: random.Random, past: Past) -> Asked:
    tenant_id, message_id, _ = draw.choice(past.messages)
    return Asked(f"/messages/{message_id}/trace", tenant_id)


def _trace_by(part: int) -> Callable[[random.Random, Past], Asked]:
    return lambda draw, past: Asked(f"/messages/{draw.choice(past.messages)[part]}/trace")


def _letter(path: str, body: dict[str, Any] | None = None) -> Callable[[random.Random, Past], Asked]:
    return lambda draw, past: Asked(path.format(1 + draw.randrange(len(past.messages) // 25)), body=body)


TRACE = "GET /messages/{id}/trace"
LETTERS = "GET /dead-letters"
AUDIT = "GET /audit"
REPLAY = "POST /dead-letters/replay"
QUESTIONS: Sequence[Question] = (
    Question("GET /health", "", _plain("/health")),
    Question("GET /health/live", "", _plain("/health/live")),
    Question("GET /health/ready", "", _plain("/health/ready")),
    Question("GET /tenants", "", _plain("/tenants")),
    Question("GET /tenants", "200 of them", _plain("/tenants?limit=200")),
    Question("GET /tenants/{tenant_id}", "", _of_tenant("/tenants/{}")),
    Question("GET /tenants/{tenant_id}/credentials/genesys", "", _of_tenant("/tenants/{}/credentials/genesys")),
    Question("GET /tenants/{tenant_id}/whatsapp", "", _of_tenant("/tenants/{}/whatsapp")),
    Question("GET /tenants/{tenant_id}/status", "", _of_tenant("/tenants/{}/status")),
    Question("GET /tenants/{tenant_id}/api-keys", "", _of_tenant("/tenants/{}/api-keys")),
    Question("GET /api-keys", "", _plain("/api-keys")),
    Question("GET /meta-apps", "", _plain("/meta-apps")),
    Question("GET /auth/token", "", lambda draw, past: Asked("/auth/token", DEMO_TENANT)),
    Question("GET /state/conversation", "", _conversation("/state/conversation?whatsappNumber={wa_id}")),
    Question("GET /state/conversation/{conversation_id}", "", _conversation("/state/conversation/{id}")),
    Question(
        "GET /state/conversation/{conversation_id}/messages", "", _conversation("/state/conversation/{id}/messages")
    ),
    Question(TRACE, "by our id", _trace),
    Question(TRACE, "by our id, no tenant named", _trace_by(1)),
    Question(TRACE, "by the cloud's id, no tenant named", _trace_by(2)),
    Question(LETTERS, "", _plain("/dead-letters")),
    Question(LETTERS, "of a tenant", _scoped("/dead-letters")),
    Question(LETTERS, "of a reason and direction", _plain("/dead-letters?reason=poison&direction=outbound")),
    Question("GET /dead-letters/{id}", "", _letter("/dead-letters/{}")),
    Question(REPLAY, "dry run", lambda draw, past: Asked("/dead-letters/replay", body={"dryRun": True, "limit": 10})),
    Question(
        REPLAY,
        "dry run, of a tenant",
        lambda draw, past: Asked("/dead-letters/replay", draw.choice(past.tenants), {"dryRun": True}),
    ),
    Question("POST /dead-letters/{id}/replay", "dry run", _letter("/dead-letters/{}/replay", {"dryRun": True})),
    Question("GET /retention", "", _plain("/retention")),
    Question("GET /queues", "", _plain("/queues")),
    Question("GET /queues", "of a tenant", _scoped("/queues")),
    Question("GET /actors", "", _plain("/actors")),
    Question("GET /pools", "", _plain("/pools")),
    Question("GET /restart", "", _plain("/restart")),
    Question("GET /secrets", "", _plain("/secrets")),
    Question(AUDIT, "", _plain("/audit")),
    Question(AUDIT, "of a tenant", lambda draw, past: Asked(f"/audit?tenant={draw.choice(past.tenants)}")),
    Question(AUDIT, "of an action", _plain("/audit?action=tenant.created")),
    Question("GET /audit/{id}", "", lambda draw, past: Asked(f"/audit/{1 + draw.randrange(len(past.tenants))}")),
    Question("GET /audit/verify", "", _plain("/audit/verify")),
)


def measure(url: str, admin_key: str, past: Past, times: int, say: Callable[[str], None]) -> list[Figures]:
    """Ask every question so many times; raises StageFailed where an answer is no good one."""
    draw = random.Random(11)
    found: list[Figures] = []
    with httpx.Client(base_url=url, headers={"X-API-Key": admin_key}, timeout=TIMEOUT_S, trust_env=False) as client:
        for question in QUESTIONS:
            say(f"{question.route} {question.how}".strip())
            took = [_ask(client, question, question.ask(draw, past)) for _ in range(WARM_UP + times)][WARM_UP:]
            figures = (percentile(took, 50), percentile(took, 95), max(took))
            found.append(Figures(question.route, question.how, *figures))
    return found


def _ask(client: httpx.Client, question: Question, asked: Asked) -> float:
    headers = {"X-Tenant-ID": asked.tenant_id} if asked.tenant_id else {}
    started = time.perf_counter()
    answer = client.request(question.method, asked.path, headers=headers, json=asked.body)
    took_ms = (time.perf_counter() - started) * 1000
    if not answer.is_success:
        raise StageFailed(f"{question.method} {asked.path} answered {answer.status_code}: {answer.text[:300]}")
    return took_ms


def slow(found: Sequence[Figures]) -> list[Figures]:
    """Those that take longer than they may."""
    return [each for each in found if each.p95_ms > LONGEST_MS]
