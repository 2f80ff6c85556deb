"""Builds plain objects from Settings. Here and in `admin_wiring` alone the real store, client and clock are picked."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.settings import Settings
from trunkline.attempt import this_owner
from trunkline.clients.genesys import AccountLogin, GenesysClient, GenesysLogin
from trunkline.clients.http import open_http
from trunkline.clients.whatsapp import WhatsAppClient
from trunkline.delivery.intake import Intake
from trunkline.delivery.ledger import Ledger
from trunkline.delivery.routes import InboundRoute, OutboundRoute, StatusRoute
from trunkline.delivery.transform import Tenants, Transformer
from trunkline.envelope import Direction
from trunkline.lanes.consumer import LaneConsumer
from trunkline.lanes.publisher import LanePublisher
from trunkline.stores.activations import ActivationStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.conversations import ConversationStore
from trunkline.stores.database import Pool, open_pool
from trunkline.stores.directory_feed import DirectoryFeed
from trunkline.stores.lanes import LaneStore
from trunkline.stores.messages import MessageStore
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.stores.tokens import RedisTokenCache
from trunkline.tenancy.activation import Activations
from trunkline.tenancy.conversations import Conversations
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import DEFAULT_META_APP, GenesysAccount, MetaApp, Secret, TenantRecord
from trunkline.tenancy.tenant import Tenant
from trunkline.tenancy.tokens import TokenKeeper
from trunkline.web.webhooks import Webhooks

REDIS_TIMEOUT_S = 1.0


def open_redis(settings: Settings) -> Redis:
    """A client that gives up quickly: nothing may wait long for a cache."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )


def tenant_store(settings: Settings, pool: Pool) -> TenantStore:
    """The directory of tenants in Postgres."""
    return TenantStore(pool, Sealer(settings.sealing_keys), settings.conversation_window_hours)


def _directory(settings: Settings, pool: Pool) -> TenantDirectory:
    default_app = MetaApp(
        DEFAULT_META_APP,
        tuple(Secret(secret) for secret in settings.app_secrets),
        tuple(Secret(token) for token in settings.verify_tokens),
    )
    return TenantDirectory(tenant_store(settings, pool), default_app)


class WebhookParts:
    """What a replica that takes webhooks runs on; to be built inside its event loop."""

    def __init__(self, settings: Settings) -> None:
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, by_key=True)
        directory = _directory(settings, self._pool)
        self._feed = DirectoryFeed(settings.database_url, directory)
        self._publisher = LanePublisher(settings.rabbitmq_url, "intake", settings.trunkline_queue_type)
        self._intake = Intake(directory, self._publisher, ArrivalStore(self._pool))
        self.application = Webhooks(directory, self._intake)

    async def start(self) -> None:
        """Connect; returns once the directory is loaded and the broker reached."""
        await self._pool.open()
        self._feed.start()
        self._publisher.start()
        await self._feed.loaded.wait()
        await self._publisher.wait_ready()

    async def close(self) -> None:
        """Record what was accepted, and disconnect."""
        await self._intake.idle()
        await self._publisher.close()
        await self._feed.close()
        await self._pool.close()


class CellParts:
    """What a cell runs on; to be built inside its event loop."""

    def __init__(self, settings: Settings, cell: str) -> None:
        self._cell = cell
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, by_key=True)
        self._redis = open_redis(settings)
        self._sealer = Sealer(settings.sealing_keys)
        self._http = open_http(settings.trunkline_cloud_timeout_s)
        self._login = GenesysLogin(self._http, settings.genesys_login_url)
        self._epochs = ActivationStore(self._pool)
        self._conversations = ConversationStore(self._pool, self._redis)
        directory = _directory(settings, self._pool)
        self._feed = DirectoryFeed(settings.database_url, directory)
        self.activations = Activations(directory, self._activate)
        directory.on_change = self.activations.changed

    async def start(self) -> None:
        """Connect; returns once the directory is loaded."""
        await self._pool.open()
        self._feed.start()
        await self._feed.loaded.wait()

    async def _activate(self, record: TenantRecord) -> Tenant:
        epoch = await self._epochs.activate(record.tenant_id, self._cell)
        cache = RedisTokenCache(self._redis, self._sealer, record.tenant_id)
        tokens = TokenKeeper(record.tenant_id, self._source(record.genesys), cache, time.time)
        conversations = Conversations(record.tenant_id, self._conversations, time.time)
        return Tenant(record, epoch, tokens, conversations, self._source, time.time)

    def _source(self, account: GenesysAccount) -> AccountLogin:
        return AccountLogin(self._login, account)


class TransformerParts:
    """What a transformer runs on; to be built inside its event loop."""

    def __init__(self, settings: Settings, name: str, tenants: Tenants) -> None:
        self.incarnation = uuid.uuid4().hex
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, by_key=True)
        self._http = open_http(settings.trunkline_cloud_timeout_s)
        self._publisher = LanePublisher(settings.rabbitmq_url, name, settings.trunkline_queue_type)
        self.consumer = LaneConsumer(settings.rabbitmq_url, name, settings.trunkline_queue_type)
        self.messages = MessageStore(self._pool)
        self.ledger = Ledger(self.messages)
        genesys = GenesysClient(self._http, settings.genesys_api_url)
        self.transformer = Transformer(
            tenants,
            self.ledger,
            {
                Direction.INBOUND: InboundRoute(genesys),
                Direction.OUTBOUND: OutboundRoute(WhatsAppClient(self._http, settings.graph_api_url)),
                Direction.STATUS: StatusRoute(genesys, self.messages),
            },
            self._publisher.publish,
            owner=this_owner(),
            cloud_timeout_s=settings.trunkline_cloud_timeout_s,
            calls_in_flight=settings.trunkline_calls_in_flight,
        )

    async def start(self) -> None:
        """Connect; returns at once, the lanes wait for their connection themselves."""
        await self._pool.open()
        self._publisher.start()
        self.consumer.start()

    async def close(self) -> None:
        """Store what is unsettled, and disconnect."""
        await self.ledger.idle()
        await self.consumer.close()
        await self._publisher.close()
        await self._http.close()
        await self._pool.close()


@dataclass(frozen=True, slots=True)
class SupervisorParts:
    """What the supervisor runs on; to be built inside its event loop."""

    pool: Pool
    lanes: LaneStore
    consumer: LaneConsumer
    directory: TenantDirectory
    feed: DirectoryFeed

    async def start(self) -> None:
        """Connect; returns once the directory is loaded."""
        await self.pool.open()
        self.consumer.start()
        self.feed.start()
        await self.feed.loaded.wait()


def build_supervisor(settings: Settings) -> SupervisorParts:
    """The supervisor's stores."""
    pool = open_pool(settings.database_url, min_size=1, max_size=2)
    directory = _directory(settings, pool)
    consumer = LaneConsumer(settings.rabbitmq_url, "supervisor", settings.trunkline_queue_type)
    return SupervisorParts(pool, LaneStore(pool), consumer, directory, DirectoryFeed(settings.database_url, directory))
