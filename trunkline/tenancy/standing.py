"""Where a message stands that has not left: what its tenant, and its lane, are waiting for just now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Hindrance(StrEnum):
    """What keeps a call from leaving."""

    SUSPENDED = "suspended"
    CREDENTIALS = "credentials"
    FAILING = "failing"
    THROTTLED = "throttled"
    NO_TOKEN = "no_token"
    PERSON_LIMIT = "person_limit"
    OWN_LIMIT = "own_limit"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a message cannot leave now: in words what is behind it, and in how many seconds it may be tried."""

    hindrance: Hindrance
    words: str
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known beyond the tables: the obstacle, None where there is none or nobody could say.

    `is_read`: whether a transformer reads the lane, None where nobody could say.
    """

    obstacle: Obstacle | None = None
    is_read: bool | None = None


UNKNOWN = Standing()
