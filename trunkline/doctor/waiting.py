"""Messages that wait too long in their queues, each lane with the one cause that has to be removed. Pure."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.router import QUEUES, SUSPECTS, TENANTS
from trunkline.protocol.outcomes import WHATSAPP_FATES, Fate

INBOUND = "inbound-whatsapp-messages"
OUTBOUND = "outbound-genesys-messages"
_CODE = re.compile(r"\d{3,6}\b")

# What a check that asks for lanes in trouble has to look at.
LANE_LOOKS = (QUEUES, TENANTS, SUSPECTS)


class Cause(Enum):
    """Why a lane waits; the first that applies."""

    SUSPENDED = auto()
    CLOUD = auto()
    UNREAD = auto()
    KEPT = auto()  # all of it is in Postgres, where its conversations wait for their time
    SLOW = auto()


class Trouble(Enum):
    """What a cloud's circuit is open for."""

    TOKEN = auto()  # the login host gives none
    REFUSED = auto()  # token, rights or number
    THROTTLED = auto()
    FAILING = auto()


@dataclass(frozen=True, slots=True)
class OldLane:
    """A queue of a tenant whose oldest message waits for longer than it should; `held` is its reader's word on it."""

    tenant_id: str
    queue: str
    waiting: int
    age_s: float
    held: str | None
    cause: Cause

    def __str__(self) -> str:
        told = f"{self.tenant_id}: {self.waiting} in {self.queue}, the oldest for {self.age_s:.0f} s"
        return f"{told} ({self.held})" if self.held else told


def old_lanes(facts: Facts) -> list[OldLane]:
    """Every lane in trouble, the oldest first; raises Unseen when the queues are not known."""
    suspended: set[str] = set()
    with suppress(Unseen):
        suspended = {row["tenantId"] for row in facts.of(TENANTS).rows if row["status"] == "suspended"}
    lanes = [
        OldLane(
            row["tenantId"],
            row["queue"],
            row["messages"] or 0,
            row["oldestAgeSeconds"],
            row["held"],
            _cause(row, suspended, facts),
        )
        for row in facts.of(QUEUES).rows
        if (row["oldestAgeSeconds"] or 0) > facts.scene.max_age_s
    ]
    return sorted(lanes, key=lambda lane: -lane.age_s)


def _cause(row: dict[str, Any], suspended: set[str], facts: Facts) -> Cause:
    if row["tenantId"] in suspended:
        return Cause.SUSPENDED
    cloud = "whatsapp" if row["queue"].startswith(OUTBOUND) else "genesys"
    with suppress(Unseen):
        status = facts.of(SUSPECTS).get(row["tenantId"], {})
        if trouble_of(status, cloud) is not None:
            return Cause.CLOUD
    if row["messages"] and row["messages"] == row["spooled"]:
        return Cause.KEPT
    return Cause.UNREAD if row["consumers"] == 0 and row["reader"] is None else Cause.SLOW


def trouble_of(status: dict[str, Any], cloud: str) -> Trouble | None:
    """What keeps a tenant's calls from a cloud; None while its circuit is closed."""
    circuit = (status.get("circuits") or {}).get(cloud) or {}
    if circuit.get("state") in (None, "closed"):
        return None
    code = code_of(circuit.get("reason"))
    if cloud == "genesys":
        if code is None and status.get("tokenError"):
            return Trouble.TOKEN
        known = {"401": Trouble.REFUSED, "403": Trouble.REFUSED, "404": Trouble.REFUSED, "429": Trouble.THROTTLED}
        return known.get(code or "", Trouble.FAILING)
    if code == "401":
        return Trouble.REFUSED
    if code == "429":
        return Trouble.THROTTLED
    fates = {Fate.HELD: Trouble.REFUSED, Fate.THROTTLED: Trouble.THROTTLED}
    return fates.get(WHATSAPP_FATES.get(code or "", Fate.UNAVAILABLE), Trouble.FAILING)


def code_of(words: str | None) -> str | None:
    """The cloud's code, with which its words begin."""
    found = _CODE.match(words or "")
    return found[0] if found else None


def in_words(status: dict[str, Any], cloud: str) -> str:
    """How a tenant's circuit stands, as the status tells it."""
    circuit = status["circuits"][cloud]
    return f"{status['tenantId']}: {circuit.get('words') or circuit.get('reason')}"
