"""Keys of the admin API: who holds one, and what it opens."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

KEY_PREFIX = "tl_"


class Role(StrEnum):
    """An admin may do everything, an operator no key or tenant changes, a tenant only what is its own."""

    ADMIN = "admin"
    OPERATOR = "operator"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: never the key itself. `tenant_id` is set for the role tenant only.

    `last_used_at` may lag a minute behind; None for a key that was never used.
    """

    key_id: str
    role: Role
    name: str
    tenant_id: str | None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls the admin API; `rate_limit` is the tenant's own, None for admin and operator keys."""

    key_id: str
    role: Role
    tenant_id: str | None = None
    rate_limit: int | None = None


def new_key() -> tuple[str, str]:
    """A fresh key with its id: `(key_id, key)`; the key is shown once and kept as a hash only."""
    return f"key_{secrets.token_hex(8)}", f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> bytes:
    """What is stored of a key. Keys are random and long, so a plain hash cannot be searched."""
    return hashlib.sha256(key.encode()).digest()
