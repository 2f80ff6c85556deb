"""Records of people: one person may be known by several addresses (WhatsApp digits, business-scoped user ids)."""

from __future__ import annotations

import hashlib
import uuid
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


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person's content is erased: everything accepted until `erased_at` (Unix seconds), under each of `addresses`."""

    id: int
    tenant_id: str
    addresses: tuple[str, ...]
    erased_at: float


def person_key(tenant_id: str, address: str) -> str:
    """The id under which it is remembered that somebody was erased: a hash, in the form of a UUID."""
    digest = hashlib.blake2b(f"{tenant_id}/".encode(), digest_size=16)
    digest.update(address.encode("utf-8", "surrogatepass"))
    return str(uuid.UUID(bytes=digest.digest()))


def masked(address: str) -> str:
    """An address as logs of what was done may show it: its last four characters."""
    return f"****{address[-4:]}" if len(address) > 8 else "****"
