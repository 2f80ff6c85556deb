"""What the admin API needs of others: stores, actors and probes, and the values it is set up with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

from trunkline.delivery.erasing import Erased
from trunkline.delivery.queues import LaneStates, Purged
from trunkline.delivery.replay import Refused
from trunkline.envelope import Direction
from trunkline.media_links import MediaLink
from trunkline.tenancy.access import ApiKey, Principal, Role
from trunkline.tenancy.audit import Actor, AuditEntry, AuditRecord, Place, Verified
from trunkline.tenancy.history import Conversation, DeadLetter, LetterFilter, Message, MessageFacts, Waiting
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord
from trunkline.tenancy.retention import RetentionState
from trunkline.tenancy.seals import SealedRow, SealsPage
from trunkline.tenancy.standing import Standing

Probe = Callable[[], Awaitable[None]]


class Tenants(Protocol):
    """The directory of tenants and Meta apps; changes are noted in the audit log with them, as done by `by`."""

    async def create(self, record: TenantRecord, by: Actor) -> tuple[str, str]:
        """Store a new tenant with its first key: `(key_id, key)`; raises Conflict."""

    async def get(self, tenant_id: str) -> TenantRecord | None:
        """The tenant, unless there is none or it was deleted."""

    async def list_tenants(self, limit: int, after: str | None = None) -> list[TenantRecord]:
        """A page of tenants in order of their ids."""

    async def update(self, tenant_id: str, change: Callable[[TenantRecord], TenantRecord], by: Actor) -> TenantRecord:
        """Store what `change` makes of the tenant; raises NotFound or Conflict."""

    async def delete(self, tenant_id: str, by: Actor) -> bool:
        """Whether there was such a tenant."""

    async def create_app(self, app: MetaApp, by: Actor) -> None:
        """Store a further Meta app; raises Conflict."""

    async def list_apps(self) -> list[MetaApp]:
        """The further Meta apps."""

    async def has_app(self, app: str) -> bool:
        """Whether there is such a further Meta app."""

    async def tenants_of_app(self, app: str, limit: int = 10) -> list[str]:
        """Ids of tenants whose number belongs to it."""

    async def delete_app(self, app: str, by: Actor) -> bool:
        """Whether there was such a Meta app."""


class Keys(Protocol):
    """The directory of keys; changes are noted in the audit log with them, as done by `by`."""

    async def create(
        self, role: Role, tenant_id: str | None, name: str, by: Actor, expires_at: datetime | None = None
    ) -> tuple[str, str]:
        """A new key: `(key_id, key)`."""

    async def find(self, key: str) -> Principal | None:
        """Who holds this key."""

    async def list_keys(self, tenant_id: str | None) -> list[ApiKey]:
        """The keys of a tenant, or of admins and operators."""

    async def revoke(self, tenant_id: str | None, key_id: str, by: Actor) -> bool:
        """Whether there was such a key."""


class AuditTrail(Protocol):
    """The log of who did what. Stores that change something note it themselves, in the same transaction."""

    async def record(self, record: AuditRecord) -> None:
        """Note what no store of ours changes; to be called before it is done."""

    async def entries(
        self, limit: int, before: int | None = None, tenant_id: str | None = None, action: str | None = None
    ) -> list[AuditEntry]:
        """A page of entries, newest first, those older than the entry `before`."""

    async def verify(self, limit: int, after: Place | None = None) -> Verified:
        """Check the next entries of the chain, at most `limit`, behind a place that was reached."""


class Histories(Protocol):
    """What happened to conversations and messages."""

    async def conversation_with(self, tenant_id: str, wa_id: str) -> Conversation | None:
        """The open conversation with a person, else the latest."""

    async def conversation(self, tenant_id: str, conversation_id: UUID) -> Conversation | None:
        """The conversation of this id."""

    async def open_conversations(self, tenant_id: str) -> int:
        """How many are open."""

    async def messages(
        self,
        tenant_id: str,
        conversation_id: UUID,
        limit: int,
        before: tuple[datetime, datetime, UUID] | None = None,
    ) -> list[Message]:
        """A page of messages, newest first."""

    async def facts(self, tenant_id: str | None, id: str) -> MessageFacts | None:
        """All that is known of a message, by any of its ids."""

    async def dead_letters(
        self,
        tenant_id: str | None,
        limit: int,
        reason: str | None = None,
        direction: str | None = None,
        before: int | None = None,
    ) -> list[DeadLetter]:
        """A page of dead letters, newest first."""

    async def letter_facts(self, tenant_id: str | None, letter_id: int) -> MessageFacts | None:
        """All that is known of the message of a dead letter."""

    async def waiting(self, tenant_id: str) -> Waiting:
        """What of the tenant lies in the spool and among the dead letters."""


class Replays(Protocol):
    """Puts dead letters on their way again, noted in the audit log as done by `by`."""

    async def one(self, tenant_id: str | None, letter_id: int, by: Actor, *, dry_run: bool = False) -> Refused | None:
        """Replay one dead letter, or say why it cannot be; raises NotFound."""

    async def many(self, wanted: LetterFilter, limit: int, by: Actor, *, dry_run: bool = False) -> list[int]:
        """Replay the oldest that can be: their ids, in the order of the replay."""


class PeopleEraser(Protocol):
    """Removes people's content, noted in the audit log as asked for by `by`."""

    async def erase(self, tenant_id: str, address: str, by: Actor) -> Erased:
        """Erase the person with this address, under all of theirs; raises Unavailable when it is to be repeated."""


class Retention(Protocol):
    """The job that removes what has been kept for long enough."""

    async def state(self) -> RetentionState:
        """When it ran, what it removed and how far it is behind."""


class Seals(Protocol):
    """Secrets at rest, and which key has sealed them."""

    async def look(self, limit: int, after: SealedRow | None = None) -> SealsPage:
        """Which keys have sealed the secrets of the next rows."""

    async def reseal(self, limit: int, after: SealedRow | None, by: Actor) -> SealsPage:
        """Seal the secrets of the next rows under the first key, noted in the audit log as done by `by`."""


class RequestCounter(Protocol):
    """Counts each tenant's requests per UTC minute."""

    async def add(self, tenant_id: str, now: datetime) -> int | None:
        """This minute's number with this request, None when nobody can tell."""

    async def used(self, tenant_id: str, now: datetime) -> int | None:
        """How many there were in this minute, None when nobody can tell."""


@dataclass(frozen=True, slots=True)
class TokenView:
    """A tenant's Genesys token; the API shows its ends only."""

    access_token: Secret
    expires_at: datetime
    source: Literal["cache", "fresh"]
    token_type: str = "bearer"


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """How a part of the platform is, how long it took to say so, and in a word why it is not well."""

    status: Literal["healthy", "degraded", "unhealthy"]
    latency_ms: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ActorProcess:
    """An actor or replica of ours. `state` is `alive`, `silent` or `unreachable`; only the first tells the others."""

    name: str
    kind: str
    pid: int | None
    node: str | None
    memory_bytes: int | None
    memory_limit_bytes: int
    state: Literal["alive", "silent", "unreachable"]


class LaneDesk(Protocol):
    """The lanes: how they stand, and emptying them. `by` is the id of the key that asks."""

    @property
    def names(self) -> Mapping[Direction, str]: ...

    async def page(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> LaneStates:
        """Lanes that have carried something, in order of tenant and direction, behind the place `after`."""

    async def in_use(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> LaneStates:
        """As `page`, only lanes that are being read or have something in the spool; raises Unavailable."""

    async def of_tenant(self, tenant_id: str, directions: Sequence[Direction] = ...) -> LaneStates:
        """The lanes of one tenant, whether or not they have carried anything."""

    async def purge(self, tenant_id: str, direction: Direction, by: str) -> int:
        """Purge one lane: how many messages; raises Unavailable."""

    async def purge_all(self, direction: Direction, by: str) -> Purged:
        """Purge every lane of a direction that has something; raises Unavailable when nobody knows which."""


class Cache(Protocol):
    """What Redis keeps of tenants."""

    async def clear(self, tenant_id: str, pattern: str | None = None) -> int:
        """Delete the tenant's keys that match the pattern; how many there were. Raises StoreUnavailable."""


class TenantActors(Protocol):
    """The actors behind the API."""

    async def token(self, tenant_id: str, force: bool) -> TokenView:
        """The tenant's token; raises CredentialsRefused, Throttled or Unavailable."""

    async def status(self, tenant_id: str) -> dict[str, Any]:
        """The tenant's token, limits and circuits, in words and numbers; raises Unavailable."""

    async def standing(self, tenant_id: str, direction: Direction, wa_id: str) -> Standing:
        """What a message to or from this customer waits for, as far as the actors say so at once."""

    async def clear_cache(self, tenant_id: str) -> None:
        """Let the tenant's actor drop what it remembers; raises Unavailable."""

    async def census(self) -> list[ActorProcess]:
        """Every actor and replica; raises Unavailable when nobody knows which there are."""

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        """Let the tenant's actor drop what it remembers of these customers; raises Unavailable."""

    async def health(self) -> dict[str, ComponentHealth]:
        """How `ray`, `inbound`, `outbound` and `tenants` are."""

    async def pools(self) -> dict[str, dict[str, Any]]:
        """`size`, `running`, `min`, `max` and `changing` of `inbound` and `outbound`; raises Unavailable."""

    async def scale(self, pool: str, low: int, high: int, by: Actor) -> dict[str, dict[str, Any]]:
        """Give a pool other bounds, noted in the audit log as done by `by`; raises Unavailable.

        Answers as `pools` does, when the change has begun.
        """

    async def restart(self) -> dict[str, Any]:
        """Begin to restart everything, unless that has begun; answers as `restart_progress` does."""

    async def restart_progress(self) -> dict[str, Any]:
        """`state`, `steps` and `error` of the last restart; raises Unavailable."""


class KeptFile(Protocol):
    """A customer's file that is here."""

    @property
    def path(self) -> Path: ...


class MediaSource(Protocol):
    """Customers' files behind the links that were given to Genesys."""

    async def open(self, token: str) -> tuple[MediaLink, KeptFile]:
        """The link and its file; raises NotFound, Unavailable, and what WhatsApp answers."""


def utc_now() -> datetime:
    """The time of day, the API's only clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class AdminServices:
    """What the admin API is built from. `probes` are those of `postgres`, `redis` and `rabbitmq`.

    `traces_ratio` is the part of all messages that has a trace in OpenTelemetry.
    """

    tenants: Tenants
    keys: Keys
    audit: AuditTrail
    history: Histories
    replays: Replays
    people: PeopleEraser
    retention: Retention
    seals: Seals
    lanes: LaneDesk
    cache: Cache
    counter: RequestCounter
    actors: TenantActors
    media: MediaSource
    probes: Mapping[str, Probe]
    admin_api_key: Secret
    default_region: str
    allow_any_region: bool
    version: str
    traces_ratio: float = 0.0
    now: Callable[[], datetime] = utc_now
