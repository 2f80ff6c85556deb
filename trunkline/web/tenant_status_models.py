"""How a tenant does, as JSON. Whatever is not known at the moment is null; `missing` says who did not answer."""

from __future__ import annotations

from pydantic import Field

from trunkline.web.admin_models import Answer


class TokenHeld(Answer):
    """The Genesys token that is in use."""

    age_seconds: int
    expires_in: int
    expires_at: str = Field(json_schema_extra={"format": "date-time"})


class CircuitShown(Answer):
    """The circuit towards a cloud: while it is not closed, messages wait for what is named."""

    state: str
    reason: str | None
    next_try_in_seconds: float | None
    words: str


class LimitsShown(Answer):
    """The limits towards the clouds, what was used of them lately, and how far ahead their use is booked."""

    genesys_requests_per_minute: int
    genesys_requests_last_minute: int
    genesys_booked_ahead_seconds: float
    whatsapp_messages_per_second: float
    whatsapp_effective_messages_per_second: float
    whatsapp_messages_last_minute: int
    whatsapp_booked_ahead_seconds: float


class RequestsShown(Answer):
    """The tenant's use of the admin API."""

    limit: int
    used_this_minute: int | None


class BacklogShown(Answer):
    """What waits in one direction, and for how long the oldest has."""

    messages: int | None
    unacked: int | None
    spooled: int | None
    oldest_age_seconds: float | None
    held: str | None


class LaneShown(Answer):
    """A queue that is being read."""

    reader: str | None
    held: str | None
    unacked: int | None


class TenantStatusShown(Answer):
    """How a tenant does, in words and numbers."""

    tenant_id: str
    name: str
    status: str
    summary: str = Field(description="all of it in a sentence")
    epoch: int | None = Field(None, description="how often the tenant's actor was activated")
    token: TokenHeld | None = None
    token_error: str | None = None
    circuits: dict[str, CircuitShown] = Field(description="by cloud: `genesys`, `whatsapp`")
    limits: LimitsShown | None = None
    requests: RequestsShown
    remembered_conversations: int | None = None
    open_conversations: int | None
    backlog: dict[str, BacklogShown] = Field(description="by direction: `inbound`, `outbound`, `status`")
    lanes: dict[str, LaneShown] = Field(description="the queues that are being read, by their names")
    spooled: int | None
    dead_letters: dict[str, int] | None = Field(description="how many, by reason")
    last_error: str | None
    last_error_at: str | None = Field(json_schema_extra={"format": "date-time"})
    missing: dict[str, str] = Field(description="who did not answer in time, with the reason")
