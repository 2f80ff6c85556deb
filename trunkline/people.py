"""Records of people: one person may be known by several addresses (WhatsApp digits, business-scoped user ids)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """`address` belongs to the person whom Genesys knows as `identity`."""

    tenant_id: str
    address: str
    identity: str


@dataclass(frozen=True, slots=True)
class Move:
    """The person at `old_address` is written to at `new_address` from `at` (Unix seconds) on."""

    tenant_id: str
    old_address: str
    new_address: str
    at: float
