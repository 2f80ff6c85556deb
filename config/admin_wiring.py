"""Builds the admin API from Settings. Apart from the other wiring, since FastAPI takes long to import."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Protocol

from redis.exceptions import RedisError

from config.settings import Settings
from config.wiring import IDLE_TIMEOUT_S, build_directory, media_files, media_links, tenant_store
from trunkline.clients.downloads import Downloads
from trunkline.clients.graph_media import GraphMedia
from trunkline.clients.uploads import Uploads
from trunkline.delivery.erasing import Erasing
from trunkline.delivery.linked_media import LinkedMedia
from trunkline.delivery.media import Keeper
from trunkline.delivery.people import People
from trunkline.delivery.purging import Purging
from trunkline.delivery.queues import LaneDesk, Readers
from trunkline.delivery.replay import Replay
from trunkline.delivery.rerouting import Rerouting
from trunkline.errors import StoreUnavailable
from trunkline.lanes.consumer import LaneConsumer
from trunkline.lanes.queues import LaneQueues
from trunkline.stores.aliases import AliasStore
from trunkline.stores.api_keys import ApiKeyStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.audit import AuditStore
from trunkline.stores.cache import open_redis
from trunkline.stores.customer_files import CustomerFileStore
from trunkline.stores.database import AS_ASKED, Pool, open_pool, probe
from trunkline.stores.dead_letters import DeadLetterStore
from trunkline.stores.erasing import ErasingStore
from trunkline.stores.history import History
from trunkline.stores.lanes import LaneStore
from trunkline.stores.mappings import MappingCache
from trunkline.stores.media_accounts import MediaAccounts
from trunkline.stores.purges import PurgeStore
from trunkline.stores.request_counts import RequestCounts
from trunkline.stores.retention_runs import RetentionRuns
from trunkline.stores.sealing import Sealer
from trunkline.stores.seals import SealStore
from trunkline.stores.tenant_cache import TenantCache
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.record import Secret
from trunkline.web.admin import build_admin
from trunkline.web.admin_ports import AdminServices, TenantActors


def build_replay(settings: Settings, pool: Pool) -> Replay:
    """Replays dead letters; each call looks tenants up anew, for their ids may have been given to others."""
    people = People(AliasStore(pool), time.time)
    return Replay(
        DeadLetterStore(pool, time.time),
        ArrivalStore(pool),
        lambda: Rerouting(build_directory(settings, pool), people, time.time),
    )


class Actors(TenantActors, Readers, Protocol):
    """The actors, as all parts of the admin API need them."""


class AdminParts:
    """What a replica of the admin API runs on; `actors_of` gives the actors, which look tenants up in the store."""

    def __init__(self, settings: Settings, actors_of: Callable[[TenantStore], Actors]) -> None:
        self._pool = open_pool(settings.database_url, min_size=1, max_size=8, planning=AS_ASKED)
        self._redis = open_redis(settings.redis_url)
        self._broker = LaneConsumer(settings.rabbitmq_url, "admin", settings.trunkline_queue_type)
        self._downloads = Downloads(settings.cloud_urls, IDLE_TIMEOUT_S)
        self._uploads = Uploads(IDLE_TIMEOUT_S)
        tenants = tenant_store(settings, self._pool)
        actors = actors_of(tenants)
        queues = LaneQueues(self._broker)
        files = media_files(settings)
        self._erasing = Erasing(ErasingStore(self._pool), files, MappingCache(self._redis), actors)
        self._finishing: asyncio.Task[None] | None = None
        self.application = build_admin(
            AdminServices(
                tenants=tenants,
                keys=ApiKeyStore(self._pool, self._redis),
                audit=AuditStore(self._pool),
                history=History(self._pool),
                replays=build_replay(settings, self._pool),
                lanes=LaneDesk(queues, actors, LaneStore(self._pool), Purging(queues, actors, PurgeStore(self._pool))),
                cache=TenantCache(self._redis, self._pool),
                counter=RequestCounts(self._redis),
                people=self._erasing,
                retention=RetentionRuns(self._pool),
                seals=SealStore(self._pool, self._redis, Sealer(settings.sealing_keys)),
                actors=actors,
                media=LinkedMedia(
                    media_links(settings),
                    MediaAccounts(tenants, self._pool),
                    CustomerFileStore(self._pool),
                    Keeper(files, GraphMedia(self._downloads, self._uploads, settings.graph_api_url)),
                ),
                probes={
                    "postgres": lambda: probe(self._pool),
                    "redis": self._ping_redis,
                    "rabbitmq": self._check_broker,
                },
                admin_api_key=Secret(settings.admin_api_key.get_secret_value()),
                default_region=settings.genesys_region,
                allow_any_region=bool(settings.genesys_login_url and settings.genesys_api_url),
                version=version("trunkline"),
                traces_ratio=settings.trunkline_traces_ratio if settings.trunkline_traces_endpoint else 0.0,
            )
        )

    async def start(self) -> None:
        """Connect; what cannot be reached is for /health to say."""
        await self._pool.open()
        self._broker.start()
        self._finishing = asyncio.create_task(self._erasing.run())

    async def close(self) -> None:
        """Disconnect."""
        if self._finishing is not None:
            self._finishing.cancel()
        await self._broker.close()
        await self._downloads.close()
        await self._uploads.close()
        await self._redis.aclose()
        await self._pool.close()

    async def _ping_redis(self) -> None:
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error

    async def _check_broker(self) -> None:
        self._broker.check()
