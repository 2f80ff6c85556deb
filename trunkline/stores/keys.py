"""Every key in Redis. All of it may be lost at any time."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

MAPPING_TTL_S = 24 * 3600
RATE_LIMIT_TTL_S = 120
API_KEY_TTL_S = 3600


def oauth_token(tenant_id: str) -> str:
    """The tenant's Genesys token: JSON with the token sealed and `expiresAt`."""
    return f"tenant:{tenant_id}:oauth:token"


def mapping_by_wa_id(tenant_id: str, wa_id: str) -> str:
    """The conversation of a customer."""
    return f"tenant:{tenant_id}:mapping:wa:{wa_id}"


def mapping_by_conversation(tenant_id: str, conversation_id: str) -> str:
    """The customer of a conversation."""
    return f"tenant:{tenant_id}:mapping:conv:{conversation_id}"


def rate_limit(tenant_id: str, at: datetime) -> str:
    """Admin API requests of a tenant in the UTC minute of `at`."""
    return f"ratelimit:{tenant_id}:{at.astimezone(UTC):%Y%m%d%H%M}"


def api_key(key: str) -> str:
    """The hint that belongs to an API key."""
    return api_key_hint(hashlib.sha256(key.encode()).digest())


def api_key_hint(digest: bytes) -> str:
    """The hint that belongs to an API key of which only the SHA-256 is known."""
    return f"apikey:{digest.hex()}"


def of_tenant(tenant_id: str) -> tuple[str, ...]:
    """Patterns, as SCAN takes them, of all keys with the tenant's id in their names."""
    return (f"tenant:{tenant_id}:*", f"ratelimit:{tenant_id}:*")
