"""Builds plain objects from Settings. Here and in `admin_wiring` alone the real store, client and clock are picked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from redis.exceptions import RedisError

from config.settings import Settings
from config.tracing import build_tracing
from trunkline.clients.certificate import certificate_expires_s
from trunkline.delivery.intake import Intake
from trunkline.delivery.measured import MeasuredLanes
from trunkline.delivery.people import People
from trunkline.delivery.storing import Storing
from trunkline.delivery.surroundings import Sources, Surroundings
from trunkline.errors import StoreUnavailable
from trunkline.lanes.consumer import LaneConsumer
from trunkline.lanes.publisher import LanePublisher
from trunkline.lanes.topology import WAKEUPS_QUEUE
from trunkline.measuring import Recorder
from trunkline.media_links import MediaLinks
from trunkline.stores.aliases import AliasStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.audit import AuditStore
from trunkline.stores.cache import open_redis
from trunkline.stores.counts import CountStore
from trunkline.stores.database import BY_KEY, Pool, open_pool, probe
from trunkline.stores.directory_feed import DirectoryFeed
from trunkline.stores.housekeeping import Housekeeping
from trunkline.stores.lanes import LaneStore
from trunkline.stores.machine import look_at_machine
from trunkline.stores.media_files import MediaFiles
from trunkline.stores.partitions import MessagePartitions
from trunkline.stores.pools import PoolStore
from trunkline.stores.retention_job import RetentionJob
from trunkline.stores.sealing import Sealer
from trunkline.stores.spool import SpoolStore
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import DEFAULT_META_APP, MetaApp, Secret
from trunkline.web.measured import MeasuredWebhooks
from trunkline.web.webhooks import Webhooks

# A file may take long, but its bytes must not stand still for longer.
IDLE_TIMEOUT_S = 30.0
# Longer than a broker of ours takes to start; without it, webhooks go to the spool.
BROKER_AWAITED_S = 10.0


def tenant_store(settings: Settings, pool: Pool) -> TenantStore:
    """The directory of tenants in Postgres."""
    return TenantStore(pool, Sealer(settings.sealing_keys), settings.conversation_window_hours)


def media_files(settings: Settings) -> MediaFiles:
    """Where the bytes of files are kept on this node."""
    return MediaFiles(settings.media_folder, settings.trunkline_media_limit_mb * 2**20)


def media_links(settings: Settings) -> MediaLinks:
    """The links under which Genesys fetches files."""
    return MediaLinks(settings.sealing_keys, settings.public_url, settings.trunkline_media_link_hours * 3600)


def build_directory(settings: Settings, pool: Pool) -> TenantDirectory:
    """An empty directory, to be filled by its feed."""
    default_app = MetaApp(
        DEFAULT_META_APP,
        tuple(Secret(secret) for secret in settings.app_secrets),
        tuple(Secret(token) for token in settings.verify_tokens),
    )
    return TenantDirectory(tenant_store(settings, pool), default_app)


class WebhookParts:
    """What a replica that takes webhooks runs on; to be built inside its event loop."""

    def __init__(self, settings: Settings) -> None:
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, planning=BY_KEY)
        directory = build_directory(settings, self._pool)
        self._feed = DirectoryFeed(settings.database_url, directory)
        self._publisher = LanePublisher(settings.rabbitmq_url, "intake", settings.trunkline_queue_type)
        people = People(AliasStore(self._pool), time.time)
        storing = Storing(self._publisher, SpoolStore(self._pool).append)
        self._tracing = build_tracing(settings, "intake")
        self.recorder = Recorder()
        lanes = self._tracing.lanes(MeasuredLanes(storing, self.recorder))
        self._intake = Intake(directory, lanes, ArrivalStore(self._pool), people)
        storing.before_spooling = self._intake.caught_up
        measured = MeasuredWebhooks(Webhooks(directory, self._intake), self.recorder)
        self.application = self._tracing.webhooks(measured)

    async def start(self) -> None:
        """Connect; returns once the directory is loaded, and the broker reached unless it is away."""
        await self._pool.open()
        self._feed.start()
        self._publisher.start()
        await self._feed.loaded.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._publisher.wait_ready(), BROKER_AWAITED_S)

    async def close(self) -> None:
        """Record what was accepted, and disconnect."""
        await self._intake.idle()
        await self._tracing.flush()
        await self._publisher.close()
        await self._feed.close()
        await self._pool.close()


@dataclass(frozen=True, slots=True)
class SupervisorParts:
    """What the supervisor runs on; to be built inside its event loop."""

    pool: Pool
    tidying: Pool
    lanes: LaneStore
    spool: SpoolStore
    pools: PoolStore
    housekeeping: Housekeeping
    retention: RetentionJob
    partitions: MessagePartitions
    consumer: LaneConsumer
    directory: TenantDirectory
    feed: DirectoryFeed
    surroundings: Surroundings
    recorder: Recorder

    async def start(self) -> None:
        """Connect; returns once the directory is loaded."""
        await self.pool.open()
        await self.tidying.open()
        self.consumer.start()
        self.feed.start()
        await self.feed.loaded.wait()


def build_supervisor(settings: Settings) -> SupervisorParts:
    """The supervisor's stores."""
    pool = open_pool(settings.database_url, min_size=1, max_size=4)
    tidying = open_pool(settings.database_url, min_size=0, max_size=2, planning=BY_KEY)
    directory = build_directory(settings, pool)
    consumer = LaneConsumer(settings.rabbitmq_url, "supervisor", settings.trunkline_queue_type)
    recorder = Recorder()
    return SupervisorParts(
        pool,
        tidying,
        LaneStore(pool),
        SpoolStore(pool),
        PoolStore(pool),
        Housekeeping(pool),
        RetentionJob(settings.database_url, tidying, settings.conversation_window_hours),
        MessagePartitions(pool),
        consumer,
        directory,
        DirectoryFeed(settings.database_url, directory),
        _surroundings(settings, pool, consumer, directory, recorder),
        recorder,
    )


def _surroundings(
    settings: Settings, pool: Pool, consumer: LaneConsumer, directory: TenantDirectory, recorder: Recorder
) -> Surroundings:
    redis = open_redis(settings.redis_url)

    async def ping_redis() -> None:
        try:
            await redis.ping()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error

    async def check_broker() -> None:
        await consumer.control.count(WAKEUPS_QUEUE)

    home, media = settings.trunkline_home, settings.media_folder
    sources = Sources(
        CountStore(pool),
        {"postgres": lambda: probe(pool), "redis": ping_redis, "rabbitmq": check_broker},
        lambda: look_at_machine(home, media),
        lambda: certificate_expires_s(settings.public_url),
        AuditStore(pool).verify,
        lambda: len(directory),
    )
    mb = 2**20
    return Surroundings(
        sources, recorder, settings.trunkline_actor_memory_mb * mb, settings.trunkline_media_limit_mb * mb
    )
