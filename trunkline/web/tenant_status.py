"""How a tenant does, in words and numbers, from all who know a part of that; in time, whoever is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from trunkline.delivery.queues import LaneState, LaneStates
from trunkline.envelope import Direction
from trunkline.errors import TrunklineError
from trunkline.tenancy.history import DeadLetter, Waiting
from trunkline.tenancy.record import TenantRecord, TenantStatus
from trunkline.web.admin_ports import AdminServices

ANSWER_WITHIN_S = 0.9
_CLOUDS = {"genesys": "Genesys", "whatsapp": "WhatsApp"}

Found = TypeVar("Found")


async def status_of(services: AdminServices, tenant: TenantRecord) -> dict[str, Any]:
    """All that is known of the tenant within a second; `missing` says who did not answer, and why."""
    missing: dict[str, str] = {}
    tenant_id, now, history = tenant.tenant_id, services.now(), services.history

    def asked(what: Awaitable[Found], name: str) -> Awaitable[Found | None]:
        return _told(what, name, missing)

    told, lanes, letters, waiting, conversations, used = await asyncio.gather(
        asked(services.actors.status(tenant_id), "cell"),
        asked(services.lanes.of_tenant(tenant_id), "lanes"),
        asked(history.dead_letters(tenant_id, 1), "postgres"),
        asked(history.waiting(tenant_id), "postgres"),
        asked(history.open_conversations(tenant_id), "postgres"),
        asked(services.counter.used(tenant_id, now), "redis"),
    )
    if used is None:
        missing.setdefault("redis", "Cannot connect to Redis")
    lanes = lanes or LaneStates([])
    told = told or {}
    backlog = {state.direction.value: _backlog(state, now) for state in lanes.lanes}
    circuits = {cloud: in_words(circuit) for cloud, circuit in told.get("circuits", {}).items()}
    status = {
        **told,
        "tenantId": tenant_id,
        "name": tenant.name,
        "status": tenant.status.value,
        "circuits": circuits,
        "requests": {"limit": tenant.rate_limit, "usedThisMinute": used},
        "backlog": backlog,
        "lanes": {state.name: _reading(state) for state in lanes.lanes if state.reader is not None},
        "openConversations": conversations,
        **_kept(waiting),
        **_last_error(letters, told),
        "missing": {**lanes.missing, **missing},
    }
    return {**status, "summary": _summary(tenant, status)}


def in_words(circuit: dict[str, Any]) -> dict[str, Any]:
    """A circuit with what it means for the tenant's messages."""
    next_try_s = circuit.get("nextTryInSeconds")
    when = f"next try in {next_try_s:.0f} s" if next_try_s else "next try now"
    match circuit.get("state"):
        case "open":
            words = f"open: {circuit.get('reason')}; messages wait in order, {when}"
        case "half_open":
            words = f"half-open: one call tries whether it is well again; it opened for {circuit.get('reason')}"
        case _:
            words = "closed: calls leave as they come"
    return {**circuit, "words": words}


def _backlog(state: LaneState, now: datetime) -> dict[str, Any]:
    age_s = None if state.oldest_at is None else round(max(0.0, now.timestamp() - state.oldest_at), 1)
    return {
        "messages": state.messages,
        "unacked": state.unacked,
        "spooled": state.spooled,
        "oldestAgeSeconds": age_s,
        "held": state.held,
    }


def _reading(state: LaneState) -> dict[str, Any]:
    return {"reader": state.reader, "held": state.held, "unacked": state.unacked}


def _kept(waiting: Waiting | None) -> dict[str, Any]:
    spooled, letters = (waiting.spooled, waiting.dead_letters) if waiting else (None, None)
    return {"spooled": spooled, "deadLetters": letters}


def _last_error(letters: list[DeadLetter] | None, told: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong now, else what the last message that was given up was answered."""
    if told.get("tokenError"):
        return {"lastError": told["tokenError"], "lastErrorAt": None}
    if not letters:
        return {"lastError": None, "lastErrorAt": None}
    return {"lastError": letters[0].answer or letters[0].reason, "lastErrorAt": _iso(letters[0].created_at)}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(tenant: TenantRecord, status: dict[str, Any]) -> str:
    """The tenant in a sentence."""
    parts = [_standing(tenant), _token(status.get("token")), *_circuits(status["circuits"])]
    parts += [_waits(direction, status["backlog"].get(direction.value)) for direction in Direction]
    parts += [f"{name} does not answer" for name in status["missing"]]
    return "; ".join(part for part in parts if part)


def _standing(tenant: TenantRecord) -> str:
    if tenant.status is TenantStatus.SUSPENDED:
        return "suspended: messages wait until it is activated"
    return tenant.status.value


def _token(token: dict[str, Any] | None) -> str:
    if token is None:
        return ""
    left_s = token["expiresIn"]
    return f"Genesys token good for {left_s // 60} min" if left_s > 0 else "Genesys token expired"


def _circuits(circuits: dict[str, dict[str, Any]]) -> list[str]:
    if circuits and all(circuit.get("state") == "closed" for circuit in circuits.values()):
        return ["both circuits closed"]
    return [
        f"circuit to {_CLOUDS.get(cloud, cloud)} {circuit['words']}"
        for cloud, circuit in circuits.items()
        if circuit.get("state") != "closed"
    ]


def _waits(direction: Direction, backlog: dict[str, Any] | None) -> str:
    if not backlog or not backlog["messages"]:
        return ""
    age_s = backlog["oldestAgeSeconds"]
    since = f", the oldest for {age_s:.0f} s" if age_s is not None else ""
    return f"{backlog['messages']} {direction.value} wait{since}"


async def _told(asked: Awaitable[Found], name: str, missing: dict[str, str]) -> Found | None:
    try:
        return await asyncio.wait_for(asked, ANSWER_WITHIN_S)
    except TimeoutError:
        missing[name] = f"no answer within {ANSWER_WITHIN_S:g} s"
    except TrunklineError as error:
        missing[name] = str(error)
    return None
