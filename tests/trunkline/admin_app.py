"""The admin API over real stores, with actors and probes that do what a test says."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from tests.trunkline.memory_queues import MemoryQueues
from tests.trunkline.records import BY
from trunkline.delivery.erasing import Erasing
from trunkline.delivery.people import People
from trunkline.delivery.purging import Purging
from trunkline.delivery.queues import LaneDesk
from trunkline.delivery.replay import Replay
from trunkline.delivery.rerouting import Rerouting
from trunkline.envelope import Direction
from trunkline.errors import NotFound
from trunkline.media_links import MediaLink
from trunkline.stores.aliases import AliasStore
from trunkline.stores.api_keys import ApiKeyStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.audit import AuditStore
from trunkline.stores.database import Pool
from trunkline.stores.dead_letters import DeadLetterStore
from trunkline.stores.erasing import ErasingStore
from trunkline.stores.history import History
from trunkline.stores.lanes import LaneStore
from trunkline.stores.mappings import MappingCache
from trunkline.stores.media_files import MediaFiles
from trunkline.stores.purges import PurgeStore
from trunkline.stores.request_counts import RequestCounts
from trunkline.stores.retention_runs import RetentionRuns
from trunkline.stores.sealing import Sealer
from trunkline.stores.seals import SealStore
from trunkline.stores.tenant_cache import TenantCache
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.access import Role
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord
from trunkline.tenancy.standing import UNKNOWN, Standing
from trunkline.web.admin import AdminServices, build_admin
from trunkline.web.admin_ports import ActorProcess, ComponentHealth, KeptFile, MediaSource, TokenView

ADMIN_KEY = "the-first-admin-key-of-these-tests"
NOW = datetime(2026, 11, 23, 12, 0, 17, tzinfo=UTC)
SEALING_KEY = Fernet.generate_key().decode()
TOKEN = "abcd-the-middle-that-nobody-may-see-wxyz"


@dataclass
class FakeActors:
    """Actors that answer at once, or raise what a test puts into `failure`."""

    failure: Exception | None = None
    forced: list[bool] = field(default_factory=list)
    # What a message is said to wait for, and who was asked about.
    stands: Standing = UNKNOWN
    asked: list[tuple[str, Direction, str]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    components: dict[str, ComponentHealth] = field(
        default_factory=lambda: {
            name: ComponentHealth("healthy", 0.1) for name in ("ray", "inbound", "outbound", "tenants")
        }
    )
    bounds: dict[str, tuple[int, int]] = field(default_factory=lambda: {"inbound": (1, 1), "outbound": (2, 4)})
    # How a restart will stand, at one look after the other.
    restarts: list[dict[str, Any]] = field(default_factory=lambda: [{"state": "idle", "steps": [], "error": None}])
    restarted: int = 0
    forgotten: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    # Lanes that are being read, by queue, and those that are held.
    read: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    caches_cleared: list[str] = field(default_factory=list)
    processes: list[ActorProcess] = field(default_factory=list)

    async def token(self, tenant_id: str, force: bool) -> TokenView:
        self.forced.append(force)
        if self.failure is not None:
            raise self.failure
        return TokenView(Secret(TOKEN), NOW + timedelta(hours=1), "fresh" if force else "cache")

    async def status(self, tenant_id: str) -> dict[str, Any]:
        return {"epoch": 3, "token": None, **self.told}

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        if self.failure is not None:
            raise self.failure
        self.forgotten.append((tenant_id, tuple(wa_ids)))

    async def lanes(self, tenant_id: str | None = None) -> dict[str, dict[str, Any]]:
        if self.failure is not None:
            raise self.failure
        return self.read

    async def lanes_in_use(self) -> list[str]:
        return list(await self.lanes())

    async def hold_lane(self, queue: str, by: str, for_s: float) -> bool:
        if self.failure is not None:
            raise self.failure
        return self.held.setdefault(queue, by) == by

    async def release_lane(self, queue: str, by: str) -> None:
        del self.held[queue]

    async def clear_cache(self, tenant_id: str) -> None:
        self.caches_cleared.append(tenant_id)

    async def census(self) -> list[ActorProcess]:
        if self.failure is not None:
            raise self.failure
        return self.processes

    async def standing(self, tenant_id: str, direction: Direction, wa_id: str) -> Standing:
        self.asked.append((tenant_id, direction, wa_id))
        return self.stands

    async def health(self) -> dict[str, ComponentHealth]:
        if self.failure is not None:
            raise self.failure
        return self.components

    async def pools(self) -> dict[str, dict[str, Any]]:
        if self.failure is not None:
            raise self.failure
        return {
            pool: {"size": low, "running": 1, "min": low, "max": high, "changing": low != 1}
            for pool, (low, high) in self.bounds.items()
        }

    async def scale(self, pool: str, low: int, high: int, by: Actor) -> dict[str, dict[str, Any]]:
        self.bounds[pool] = (low, high)
        return await self.pools()

    async def restart(self) -> dict[str, Any]:
        self.restarted += 1
        return await self.restart_progress()

    async def restart_progress(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return self.restarts.pop(0) if len(self.restarts) > 1 else self.restarts[0]


async def well() -> None:
    """A probe that finds nothing wrong."""


class NoMedia:
    """No link leads anywhere."""

    async def open(self, token: str) -> tuple[MediaLink, KeptFile]:
        raise NotFound("Media")


@dataclass
class AdminApp:
    """An admin API under test, and what stands behind it."""

    pool: Pool
    redis: Redis
    actors: FakeActors = field(default_factory=FakeActors)
    queues: MemoryQueues = field(default_factory=MemoryQueues)
    media: MediaSource = field(default_factory=NoMedia)
    probes: dict[str, Callable[[], Awaitable[None]]] = field(
        default_factory=lambda: {"postgres": well, "redis": well, "rabbitmq": well}
    )
    now: datetime = NOW
    allow_any_region: bool = False
    traces_ratio: float = 0.0
    seconds: float = 0.0
    sealing_keys: Sequence[str] = (SEALING_KEY,)
    files: MediaFiles = field(default_factory=lambda: MediaFiles(Path("/nowhere"), 0))

    def __post_init__(self) -> None:
        self.tenants = TenantStore(self.pool, Sealer(self.sealing_keys))
        self.keys = ApiKeyStore(self.pool, self.redis, lambda: self.seconds)
        self.audit = AuditStore(self.pool)
        people = People(AliasStore(self.pool), time.time)
        self.replays = Replay(
            DeadLetterStore(self.pool, time.time),
            ArrivalStore(self.pool),
            lambda: Rerouting(TenantDirectory(self.tenants, MetaApp("default", (), ())), people, time.time),
        )
        self.app = build_admin(
            AdminServices(
                tenants=self.tenants,
                keys=self.keys,
                audit=self.audit,
                history=History(self.pool),
                replays=self.replays,
                people=Erasing(ErasingStore(self.pool), self.files, MappingCache(self.redis), self.actors),
                retention=RetentionRuns(self.pool),
                seals=SealStore(self.pool, self.redis, Sealer(self.sealing_keys)),
                lanes=LaneDesk(
                    self.queues,
                    self.actors,
                    LaneStore(self.pool),
                    Purging(self.queues, self.actors, PurgeStore(self.pool)),
                ),
                cache=TenantCache(self.redis, self.pool),
                counter=RequestCounts(self.redis),
                actors=self.actors,
                media=self.media,
                probes=self.probes,
                admin_api_key=Secret(ADMIN_KEY),
                default_region="mypurecloud.com",
                allow_any_region=self.allow_any_region,
                version="1.2.3",
                traces_ratio=self.traces_ratio,
                now=lambda: self.now,
            )
        )

    def client(self, key: str | None = ADMIN_KEY, **headers: str) -> AsyncClient:
        """A client that calls with this key."""
        given = {"X-API-Key": key} if key else {}
        transport = ASGITransport(self.app, raise_app_exceptions=False)
        return AsyncClient(transport=transport, base_url="http://trunkline.test", headers={**given, **headers})

    async def key_of(self, tenant: TenantRecord) -> str:
        """A key of the tenant."""
        _, key = await self.keys.create(Role.TENANT, tenant.tenant_id, "test", BY)
        return key

    async def operator_key(self) -> str:
        """A key of an operator."""
        _, key = await self.keys.create(Role.OPERATOR, None, "test", BY)
        return key
