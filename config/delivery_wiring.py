"""Builds cells and transformers from Settings. Apart from the other wiring, since HTTP clients take long to import."""

from __future__ import annotations

import time

from config.settings import Settings
from config.wiring import build_directory
from trunkline.attempt import this_owner
from trunkline.clients.genesys import AccountLogin, GenesysClient, GenesysLogin
from trunkline.clients.http import open_http
from trunkline.clients.whatsapp import WhatsAppClient
from trunkline.delivery.ledger import Ledger
from trunkline.delivery.routes import InboundRoute, OutboundRoute, StatusRoute
from trunkline.delivery.transform import Tenants, Transformer
from trunkline.envelope import Direction
from trunkline.lanes.consumer import LaneConsumer
from trunkline.lanes.publisher import LanePublisher
from trunkline.stores.activations import ActivationStore
from trunkline.stores.cache import open_redis
from trunkline.stores.conversations import ConversationStore
from trunkline.stores.database import open_pool
from trunkline.stores.directory_feed import DirectoryFeed
from trunkline.stores.messages import MessageStore
from trunkline.stores.sealing import Sealer
from trunkline.stores.tokens import RedisTokenCache
from trunkline.tenancy.activation import Activations
from trunkline.tenancy.conversations import Conversations
from trunkline.tenancy.record import GenesysAccount, TenantRecord
from trunkline.tenancy.tenant import Tenant
from trunkline.tenancy.tokens import TokenKeeper


class CellParts:
    """What a cell runs on; to be built inside its event loop."""

    def __init__(self, settings: Settings, cell: str) -> None:
        self._cell = cell
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, by_key=True)
        self._redis = open_redis(settings.redis_url)
        self._sealer = Sealer(settings.sealing_keys)
        self._http = open_http(settings.trunkline_cloud_timeout_s)
        self._login = GenesysLogin(self._http, settings.genesys_login_url)
        self._epochs = ActivationStore(self._pool)
        self._conversations = ConversationStore(self._pool, self._redis)
        directory = build_directory(settings, self._pool)
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
