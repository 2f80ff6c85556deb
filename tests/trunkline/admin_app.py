"""The admin API over real stores, with actors and probes that do what a test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from trunkline.errors import NotFound
from trunkline.media_links import MediaLink
from trunkline.stores.api_keys import ApiKeyStore
from trunkline.stores.database import Pool
from trunkline.stores.history import History
from trunkline.stores.request_counts import RequestCounts
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.access import Role
from trunkline.tenancy.record import Secret, TenantRecord
from trunkline.web.admin import AdminServices, build_admin
from trunkline.web.admin_ports import ComponentHealth, KeptFile, MediaSource, TokenView

ADMIN_KEY = "the-first-admin-key-of-these-tests"
NOW = datetime(2026, 11, 23, 12, 0, 17, tzinfo=UTC)
SEALING_KEY = Fernet.generate_key().decode()
TOKEN = "abcd-the-middle-that-nobody-may-see-wxyz"


@dataclass
class FakeActors:
    """Actors that answer at once, or raise what a test puts into `failure`."""

    failure: Exception | None = None
    forced: list[bool] = field(default_factory=list)
    components: dict[str, ComponentHealth] = field(
        default_factory=lambda: {
            name: ComponentHealth("healthy", 0.1) for name in ("ray", "inbound", "outbound", "tenants")
        }
    )

    async def token(self, tenant_id: str, force: bool) -> TokenView:
        self.forced.append(force)
        if self.failure is not None:
            raise self.failure
        return TokenView(Secret(TOKEN), NOW + timedelta(hours=1), "fresh" if force else "cache")

    async def status(self, tenant_id: str) -> dict[str, Any]:
        return {"epoch": 3, "token": None}

    async def health(self) -> dict[str, ComponentHealth]:
        if self.failure is not None:
            raise self.failure
        return self.components


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
    media: MediaSource = field(default_factory=NoMedia)
    probes: dict[str, Callable[[], Awaitable[None]]] = field(
        default_factory=lambda: {"postgres": well, "redis": well, "rabbitmq": well}
    )
    now: datetime = NOW
    allow_any_region: bool = False
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.tenants = TenantStore(self.pool, Sealer([SEALING_KEY]))
        self.keys = ApiKeyStore(self.pool, self.redis, lambda: self.seconds)
        self.app = build_admin(
            AdminServices(
                tenants=self.tenants,
                keys=self.keys,
                history=History(self.pool),
                counter=RequestCounts(self.redis),
                actors=self.actors,
                media=self.media,
                probes=self.probes,
                admin_api_key=Secret(ADMIN_KEY),
                default_region="mypurecloud.com",
                allow_any_region=self.allow_any_region,
                version="1.2.3",
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
        _, key = await self.keys.create(Role.TENANT, tenant.tenant_id, "test")
        return key

    async def operator_key(self) -> str:
        """A key of an operator."""
        _, key = await self.keys.create(Role.OPERATOR, None, "test")
        return key
