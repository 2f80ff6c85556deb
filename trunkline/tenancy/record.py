"""Records of tenancy: a tenant, its credentials and its limits, as stores load them and rules read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TenantId = NewType("TenantId", str)

TENANT_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{1,62}$"
META_APP_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
DEFAULT_META_APP = "default"


class TenantStatus(StrEnum):
    """Active tenants are served, suspended ones held, deleted ones are as good as unknown."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class Secret:
    """A secret in the open, for as long as it is used; shows nothing of itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def masked(self) -> str:
        """`****` and the last four characters, as the admin API shows it."""
        return f"****{self._value[-4:]}" if len(self._value) > 8 else "****"

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class RetentionDays(BaseModel):
    """How many days each class of data is kept."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True)

    content: int = Field(30, ge=1, le=3650)
    metadata: int = Field(90, ge=1, le=3650)
    media: int = Field(7, ge=1, le=3650)
    audit: int = Field(365, ge=1, le=3650)


class TenantSettings(BaseModel):
    """A tenant's `settings`: its limits towards the clouds and its choices. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True)

    genesys_requests_per_minute: int = Field(300, ge=1, le=1_000_000)
    whatsapp_messages_per_second: int = Field(80, ge=1, le=1_000_000)
    whatsapp_person_messages_per_minute: int = Field(10, ge=1, le=1_000_000)
    whatsapp_person_burst: int = Field(45, ge=1, le=1_000_000)
    lanes: int = Field(1, ge=1, le=1)
    conversation_window_hours: int = Field(72, ge=1, le=8760)
    phone_with_plus: bool = False
    retention_days: RetentionDays = Field(default_factory=lambda: RetentionDays())


@dataclass(frozen=True, slots=True)
class WhatsAppAccount:
    """The tenant's WhatsApp side: its number and the token to send with. `app` is the Meta app that owns the number."""

    phone_number_id: str
    waba_id: str
    access_token: Secret
    display_phone_number: str | None = None
    app: str = DEFAULT_META_APP


@dataclass(frozen=True, slots=True)
class GenesysAccount:
    """The tenant's Genesys side: one Open Messaging integration and the OAuth client that posts to it."""

    region: str
    client_id: str
    client_secret: Secret
    integration_id: str
    webhook_secret: Secret


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """Everything that is stored about a tenant, secrets opened."""

    tenant_id: TenantId
    name: str
    status: TenantStatus
    rate_limit: int
    dedicated: bool
    whatsapp: WhatsAppAccount
    genesys: GenesysAccount
    created_at: datetime
    updated_at: datetime
    settings: TenantSettings = field(default_factory=TenantSettings)


@dataclass(frozen=True, slots=True)
class MetaApp:
    """A Meta app: the secrets that sign its webhooks, several while one is being rotated."""

    app: str
    app_secrets: tuple[Secret, ...]
    verify_tokens: tuple[Secret, ...]
