"""Builds cells and transformers from Settings. Apart from the other wiring, since HTTP clients take long to import."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from config.settings import Settings
from config.tracing import build_tracing
from config.wiring import IDLE_TIMEOUT_S, build_directory, media_files, media_links, tenant_store
from trunkline.attempt import this_owner
from trunkline.clients.downloads import Downloads
from trunkline.clients.genesys import AccountLogin, GenesysClient, GenesysLogin
from trunkline.clients.genesys_files import GenesysFiles
from trunkline.clients.graph_media import GraphMedia
from trunkline.clients.http import open_http
from trunkline.clients.measured import MeasuredPosts
from trunkline.clients.uploads import Uploads
from trunkline.clients.whatsapp import WhatsAppClient
from trunkline.delivery import files, spooling, transform
from trunkline.delivery.erased import ErasedPeople
from trunkline.delivery.inbound_route import InboundRoute
from trunkline.delivery.ledger import Ledger
from trunkline.delivery.measured import MeasuredAttempts, MeasuredExchanges, TimedAdmission, timed_delivery
from trunkline.delivery.media import InboundMedia, Keeper, OutboundMedia
from trunkline.delivery.media_keeper import MediaKeeper
from trunkline.delivery.outbound_route import OutboundRoute
from trunkline.delivery.parking import Parking
from trunkline.delivery.routes import Route
from trunkline.delivery.status_route import StatusRoute
from trunkline.delivery.storing import Storing
from trunkline.delivery.take_overs import TakeOvers
from trunkline.delivery.transform import Transformer
from trunkline.envelope import Direction
from trunkline.lanes.consumer import LaneConsumer
from trunkline.lanes.publisher import LanePublisher
from trunkline.measuring import Recorder
from trunkline.stores.activations import ActivationStore
from trunkline.stores.aliases import AliasStore
from trunkline.stores.cache import open_redis
from trunkline.stores.conversations import ConversationStore
from trunkline.stores.customer_files import CustomerFileStore
from trunkline.stores.database import BY_KEY, open_pool
from trunkline.stores.directory_feed import DirectoryFeed
from trunkline.stores.erasures import ErasureStore
from trunkline.stores.genesys_reports import GenesysReports
from trunkline.stores.media_accounts import MediaAccounts
from trunkline.stores.media_fetches import MediaFetches
from trunkline.stores.messages import MessageStore
from trunkline.stores.sealing import Sealer
from trunkline.stores.sent_messages import SentMessageStore
from trunkline.stores.spool import SpoolStore
from trunkline.stores.take_overs import TakeOverCounts
from trunkline.stores.tokens import RedisTokenCache
from trunkline.tenancy.activation import Activations
from trunkline.tenancy.conversations import Conversations
from trunkline.tenancy.record import GenesysAccount, TenantRecord
from trunkline.tenancy.tenant import Tenant
from trunkline.tenancy.tokens import TokenKeeper
from trunkline.tenancy.vitals import VitalSigns


class CellParts:
    """What a cell runs on; to be built inside its event loop."""

    def __init__(self, settings: Settings, cell: str) -> None:
        self._cell = cell
        self.recorder = Recorder()
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, planning=BY_KEY)
        self._redis = open_redis(settings.redis_url)
        self._sealer = Sealer(settings.sealing_keys)
        self._http = open_http(settings.trunkline_cloud_timeout_s)
        posts = MeasuredPosts(self._http, self.recorder, "genesys_login")
        self._login = GenesysLogin(posts, settings.genesys_login_url)
        self._epochs = ActivationStore(self._pool)
        self._conversations = ConversationStore(self._pool, self._redis)
        directory = build_directory(settings, self._pool)
        self._feed = DirectoryFeed(settings.database_url, directory)
        self.activations = Activations(directory, self._activate)
        directory.on_change = self.activations.changed
        self._vital_signs = VitalSigns(cell, self.activations.all_active, self.recorder)

    async def start(self) -> None:
        """Connect; returns once the directory is loaded."""
        await self._pool.open()
        self._feed.start()
        await self._feed.loaded.wait()
        self._looking = asyncio.create_task(self._vital_signs.run())

    async def _activate(self, record: TenantRecord) -> Tenant:
        epoch = await self._epochs.activate(record.tenant_id, self._cell)
        cache = RedisTokenCache(self._redis, self._sealer, record.tenant_id)
        tokens = TokenKeeper(record.tenant_id, self._source(record.genesys), cache, time.time)
        conversations = Conversations(record.tenant_id, self._conversations, time.time)
        return Tenant(record, epoch, tokens, conversations, self._source, time.time)

    def _source(self, account: GenesysAccount) -> AccountLogin:
        return AccountLogin(self._login, account)


class Cells(transform.Tenants, files.Tenants, Protocol):
    """The tenants' cells, as all parts of a transformer need them."""


class TransformerParts:
    """What a transformer runs on; to be built inside its event loop."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        cells: Cells,
        runners: Callable[[], Mapping[tuple[str, Direction], spooling.Runner]],
    ) -> None:
        self._pool = open_pool(settings.database_url, min_size=1, max_size=4, planning=BY_KEY)
        self.recorder = Recorder()
        self._http = open_http(settings.trunkline_cloud_timeout_s)
        self._downloads = Downloads(settings.cloud_urls, IDLE_TIMEOUT_S)
        self._uploads = Uploads(IDLE_TIMEOUT_S)
        self._publisher = LanePublisher(settings.rabbitmq_url, name, settings.trunkline_queue_type)
        self._repeated: list[asyncio.Task[None]] = []
        self.consumer = LaneConsumer(settings.rabbitmq_url, name, settings.trunkline_queue_type)
        self.messages = MessageStore(self._pool)
        self.spool = SpoolStore(self._pool)
        self._spool_feed = spooling.SpoolFeed(self.spool, runners)
        self.ledger = Ledger(MeasuredExchanges(self.messages, self.recorder))
        self._sent = SentMessageStore(self._pool)
        storing = Storing(self._publisher, self.spool.append)
        self._tracing = build_tracing(settings, name)
        stored = self._tracing.lanes(storing)
        self._parking = Parking(self._sent, stored.publish)
        self._files = media_files(settings)
        self._fetches = MediaFetches(self._pool)
        self._graph_media = GraphMedia(self._downloads, self._uploads, settings.graph_api_url)
        self._keeper = Keeper(self._files, self._graph_media)
        accounts = MediaAccounts(tenant_store(settings, self._pool), self._pool)
        self._media_keeper = MediaKeeper(
            self._fetches, self._keeper, self._files, accounts, CustomerFileStore(self._pool)
        )
        self._erased = ErasedPeople(ErasureStore(self._pool))
        self.transformer = Transformer(
            self._tracing.tenants(cast(Cells, TimedAdmission(cells, self.recorder))),
            self._tracing.attempts(MeasuredAttempts(self.ledger, self.recorder)),
            self._tracing.routes(self._routes(settings, cells)),
            stored.publish,
            TakeOvers(TakeOverCounts(self._pool)),
            self._erased,
            owner=this_owner(),
            cloud_timeout_s=settings.trunkline_cloud_timeout_s,
            calls_in_flight=settings.trunkline_calls_in_flight,
        )
        self.deliver = self._tracing.delivery(timed_delivery(self.transformer.deliver, self.recorder))

    async def start(self) -> None:
        """Connect; returns at once, the lanes wait for their connection themselves."""
        await self._pool.open()
        self._publisher.start()
        self.consumer.start()
        repeated = (self._parking, self._media_keeper, self._spool_feed, self._erased)
        self._repeated = [asyncio.create_task(each.run()) for each in repeated]

    @property
    def files_under_way(self) -> int:
        """Files that are being loaded or uploaded: a message with one may take minutes."""
        return self._downloads.under_way + self._uploads.under_way

    async def settled(self) -> None:
        """Return once every outcome so far is stored, and traces of it have been handed over as far as they can be."""
        await self.ledger.idle()
        await self._tracing.flush()

    async def close(self) -> None:
        """Store what is unsettled, and disconnect."""
        for task in self._repeated:
            task.cancel()
        await self.settled()
        await self.consumer.close()
        await self._publisher.close()
        await self._downloads.close()
        await self._uploads.close()
        await self._http.close()
        await self._pool.close()

    def _routes(self, settings: Settings, cells: Cells) -> dict[Direction, Route]:
        to_genesys = MeasuredPosts(self._http, self.recorder, "genesys")
        to_whatsapp = MeasuredPosts(self._http, self.recorder, "whatsapp")
        genesys = GenesysClient(self._tracing.http(to_genesys), settings.genesys_api_url)
        whatsapp = WhatsAppClient(self._tracing.http(to_whatsapp), settings.graph_api_url)
        aliases = AliasStore(self._pool)
        inbound = InboundMedia(self._keeper, media_links(settings))
        outbound = OutboundMedia(
            self._files, GenesysFiles(self._downloads, settings.genesys_api_url), self._graph_media
        )
        return {
            Direction.INBOUND: InboundRoute(
                genesys, files.CustomerFiles(cells, inbound, self._fetches), self._sent, aliases
            ),
            Direction.OUTBOUND: OutboundRoute(
                whatsapp, files.AgentFiles(cells, outbound), aliases, self._sent, GenesysReports(self._pool)
            ),
            Direction.STATUS: StatusRoute(genesys, self._sent),
        }
