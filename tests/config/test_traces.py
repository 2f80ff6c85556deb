"""Traces of real parts: intake, broker, cell and transformer as they are wired, with a collector at their end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pika
import pytest
from cryptography.fernet import Fernet
from pika.adapters.blocking_connection import BlockingChannel

from config import wiring
from config.delivery_wiring import CellParts, TransformerParts
from config.settings import ROOT, Settings, load_settings
from config.wiring import WebhookParts
from scripts.faults.waiting import eventually
from scripts.launcher import ports
from tests.otlp import Collector, Received, collecting
from tests.trunkline.clients.file_server import FileServer, serving
from tests.trunkline.records import BY, WEBHOOK_SECRET, tenant_record
from trunkline.delivery.lane import LaneRunner
from trunkline.delivery.spooling import TenantSpool
from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.lanes.topology import Lane
from trunkline.protocol.signatures import sign_genesys, sign_meta
from trunkline.stores.database import Pool
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.record import GenesysAccount, Secret, TenantRecord
from trunkline.tenancy.tenant import Ask, Cloud, cloud_of
from trunkline.trace_context import trace_id_of

pytestmark = pytest.mark.services

KEY = Fernet.generate_key().decode()
APP_SECRET = secrets.token_hex(16)
CUSTOMER = "447700900123"
TEXT = "is the branch open today?"
WITHIN_S = 30.0
STORED_BY = {"webhook", "store"}
STEPS = {"prepare", "admit", "convert", "claim", "send", "record"}


class Cells:
    """A cell in this process, asked as actors are."""

    def __init__(self, parts: CellParts) -> None:
        self._parts = parts

    async def admit(self, tenant_id: str, ask: Ask) -> Any:
        (answer,) = await (await self._tenant(tenant_id)).admit([ask])
        return answer

    async def standing(self, tenant_id: str, cloud: Cloud) -> Any:
        return await (await self._tenant(tenant_id)).standing(cloud)

    async def credentials(self, tenant_id: str) -> Any:
        return await (await self._tenant(tenant_id)).credentials()

    async def outdated(self, tenant_id: str, epoch: int) -> None:
        self._parts.activations.outdated(tenant_id, epoch)

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        await (await self._tenant(tenant_id)).refused(cloud, used_token, words, expired=expired)

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        (await self._tenant(tenant_id)).throttled(cloud, words, retry_after_s, code)

    async def person_throttled(self, tenant_id: str, wa_id: str) -> None:
        (await self._tenant(tenant_id)).person_throttled(wa_id)

    async def failing(self, tenant_id: str, cloud: Cloud, words: str) -> None:
        (await self._tenant(tenant_id)).failing(cloud, words)

    async def accepted(self, tenant_id: str, cloud: Cloud) -> None:
        (await self._tenant(tenant_id)).accepted(cloud)

    async def unused(self, tenant_id: str, cloud: Cloud) -> None:
        (await self._tenant(tenant_id)).unused(cloud)

    async def _tenant(self, tenant_id: str) -> Any:
        return await self._parts.activations.of(tenant_id)


class System:
    """A tenant between two clouds, its lanes read once `reading`."""

    def __init__(self, settings: Settings, record: TenantRecord, clouds: FileServer) -> None:
        self.settings = settings
        self.record = record
        self.clouds = clouds
        self.webhooks = WebhookParts(settings)

    async def post(self, path: str, body: bytes, signature: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.webhooks.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://trunkline") as client:
            return await client.post(path, content=body, headers={"X-Hub-Signature-256": signature})

    async def customer_writes(self) -> str:
        """The id of a message that was accepted."""
        wamid = f"wamid.{secrets.token_hex(8)}"
        message = {"id": wamid, "from": CUSTOMER, "type": "text", "text": {"body": TEXT}}
        await self._from_meta({"messages": [message]})
        return message_id_for(self.record.tenant_id, Direction.INBOUND, self._number, wamid)

    async def whatsapp_reports(self, status: str, wamid: str) -> str:
        """The id of a status that was accepted."""
        await self._from_meta({"statuses": [{"id": wamid, "status": status, "recipient_id": CUSTOMER}]})
        return message_id_for(self.record.tenant_id, Direction.STATUS, self._number, wamid, status, "")

    async def agent_writes(self) -> str:
        """The id of an agent's message that was accepted."""
        channel = {"id": self.record.genesys.integration_id, "to": {"id": CUSTOMER}}
        genesys_id = secrets.token_hex(16)
        body = json.dumps({"id": genesys_id, "type": "Text", "text": TEXT, "channel": channel}).encode()
        answer = await self.post("/webhook/genesys", body, sign_genesys(body, WEBHOOK_SECRET))
        assert answer.status_code == 200
        integration = self.record.genesys.integration_id
        return message_id_for(self.record.tenant_id, Direction.OUTBOUND, integration, "Text", genesys_id, "")

    async def _from_meta(self, value: dict[str, Any]) -> None:
        value = {"metadata": {"phone_number_id": self._number}, **value}
        entry = [{"changes": [{"field": "messages", "value": value}]}]
        body = json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()
        answer = await self.post("/webhook/whatsapp", body, sign_meta(body, APP_SECRET))
        assert answer.status_code == 200

    @property
    def _number(self) -> str:
        return self.record.whatsapp.phone_number_id

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[TransformerParts]:
        """A transformer reads the tenant's lanes."""
        cell = CellParts(self.settings, "cell:0")
        await cell.start()
        cells = Cells(cell)
        runners: dict[tuple[str, Direction], LaneRunner] = {}
        parts = TransformerParts(self.settings, "transformer-1", cells, lambda: runners)
        await parts.start()
        for direction in Direction:
            runners[self.record.tenant_id, direction] = self._runner(parts, cells, direction)
        running = [asyncio.create_task(runner.run()) for runner in runners.values()]
        try:
            yield parts
        finally:
            for runner in runners.values():
                runner.stop()
            await asyncio.gather(*running)
            await parts.close()
            await cell._feed.close()
            await cell._http.close()
            await cell._redis.aclose()
            await cell._pool.close()

    def _runner(self, parts: TransformerParts, cells: Cells, direction: Direction) -> LaneRunner:
        lane = Lane(self.record.tenant_id, direction)

        async def queue_is_empty() -> bool:
            return runner.is_subscribed and await parts.consumer.control.count(lane.queue) == 0

        async def unreadable(body: bytes) -> None:
            raise AssertionError(body)

        runner = LaneRunner(
            lambda *how: parts.consumer.subscribe(lane, *how),
            parts.deliver,
            lambda: cells.standing(lane.tenant_id, cloud_of(direction)),
            unreadable,
            parts.transformer.give_up,
            TenantSpool(parts.spool, lane.tenant_id, direction, queue_is_empty),
            50,
            {"lane": lane.queue},
        )
        return runner


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
def rabbitmq_url() -> str:
    url = os.environ.get("RABBITMQ_URL", "")
    if not url:
        pytest.fail("RABBITMQ_URL is not set: run the tests with scripts/test, which starts the stores")
    return url


@pytest.fixture
async def record(pool: Pool, rabbitmq_url: str) -> AsyncIterator[TenantRecord]:
    """A tenant that nobody else uses."""
    made = tenant_record()
    genesys = GenesysAccount("mypurecloud.ie", "c", Secret("s"), secrets.token_hex(16), Secret(WEBHOOK_SECRET))
    made = replace(made, genesys=genesys)
    await TenantStore(pool, Sealer([KEY])).create(made, BY)
    yield made
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        for direction in Direction:
            connection.channel().queue_delete(Lane(made.tenant_id, direction).queue)


@pytest.fixture
def broker(rabbitmq_url: str) -> Iterator[BlockingChannel]:
    """A channel of the test's own."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        yield connection.channel()


@asynccontextmanager
async def system(
    record: TenantRecord, database_url: str, redis_url: str, rabbitmq_url: str, **more: str
) -> AsyncIterator[System]:
    """The tenant's system, with these settings too."""
    async with AsyncExitStack() as stack:
        clouds = await stack.enter_async_context(serving())
        posts = f"/api/v2/conversations/messages/{record.genesys.integration_id}/inbound/open"
        clouds.answer("/oauth/token", 200, {"access_token": "token-1", "token_type": "bearer", "expires_in": 86399})
        clouds.answer(f"{posts}/message", 200, {"id": "g-1", "conversationId": "gc-1"})
        clouds.answer(f"{posts}/receipt", 202, {"id": "g-2"})
        clouds.answer(f"/v25.0/{record.whatsapp.phone_number_id}/messages", 200, {"messages": [{"id": "wamid.sent"}]})
        settings = load_settings(
            {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "RABBITMQ_URL": rabbitmq_url,
                "CREDENTIALS_KEYS": KEY,
                "META_APP_SECRET": APP_SECRET,
                "GENESYS_API_URL": clouds.url,
                "GENESYS_LOGIN_URL": clouds.url,
                "GRAPH_API_URL": f"{clouds.url}/v25.0",
                "TRUNKLINE_HOME": os.environ["TRUNKLINE_HOME"],
                **more,
            },
            ROOT / "no.env",
        )
        made = System(settings, record, clouds)
        await made.webhooks.start()
        stack.push_async_callback(made.webhooks.close)
        yield made


async def trace_with(collector: Collector, message_id: str, last: str = "record") -> dict[str, Received]:
    """The trace of a message once its `last` span and its delivery's have come: its spans by their names."""
    trace = trace_id_of(message_id)

    def complete() -> bool:
        return {last, "deliver", "webhook"} <= {span.name for span in collector.trace(trace)}

    await eventually(complete, WITHIN_S, f"the trace of {message_id}, of {[span.name for span in collector.spans]}")
    return {span.name: span for span in collector.trace(trace)}


def check_parents(spans: dict[str, Received]) -> None:
    """Intake's spans come first, what the transformer does hangs from its delivery, and that from the storing."""
    assert spans["webhook"].parent == ""
    assert spans["store"].parent == spans["webhook"].id
    assert {spans["wait"].parent, spans["deliver"].parent} == {spans["store"].id}
    below = {name: span for name, span in spans.items() if name in STEPS}
    assert {span.parent for span in below.values()} == {spans["deliver"].id}
    by_process = {name: span.process.partition("/")[0] for name, span in spans.items()}
    expected = {name: "intake" if name in STORED_BY else "transformer-1" for name in spans}
    assert by_process == expected


async def test_a_message_has_one_trace_from_its_webhook_to_the_clouds_answer_in_each_direction(
    record: TenantRecord, collector: Collector, database_url: str, redis_url: str, rabbitmq_url: str
) -> None:
    endpoint = {"TRUNKLINE_TRACES_ENDPOINT": collector.url}
    async with system(record, database_url, redis_url, rabbitmq_url, **endpoint) as running, running.reading():
        for message_id, status in [
            (await running.customer_writes(), 200),
            (await running.agent_writes(), 200),
        ]:
            spans = await trace_with(collector, message_id)
            assert set(spans) == {"webhook", "store", "wait", "deliver", *STEPS}
            check_parents(spans)
            assert spans["store"].attributes["trunkline.stored_in"] == "queue"
            assert spans["send"].attributes["http.response.status_code"] == status
            assert spans["deliver"].attributes["trunkline.outcome"] == "delivered"
            assert {span.attributes["trunkline.message_id"] for span in spans.values()} == {message_id}
        receipt = await trace_with(collector, await running.whatsapp_reports("delivered", "wamid.sent"))
        check_parents(receipt)
        assert receipt["send"].attributes["http.response.status_code"] == 202
    told = repr(collector.spans)
    for private in (CUSTOMER, TEXT, record.whatsapp.phone_number_id, record.genesys.integration_id, "token-1", "wamid"):
        assert private not in told


async def test_the_trace_of_a_spooled_message_is_one_too(
    record: TenantRecord,
    collector: Collector,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wiring, "BROKER_AWAITED_S", 0.1)
    endpoint = {"TRUNKLINE_TRACES_ENDPOINT": collector.url}
    away = f"amqp://guest:guest@127.0.0.1:{ports.choose()}/"
    async with system(record, database_url, redis_url, away, **endpoint) as running:
        message_id = await running.customer_writes()
        running.settings = running.settings.model_copy(update={"rabbitmq_url": rabbitmq_url})
        async with running.reading():
            spans = await trace_with(collector, message_id)
    check_parents(spans)
    assert spans["store"].attributes["trunkline.stored_in"] == "spool"
    assert spans["deliver"].attributes["trunkline.from_spool"] is True


async def test_a_collector_that_hangs_is_in_no_messages_way(
    record: TenantRecord, collector: Collector, database_url: str, redis_url: str, rabbitmq_url: str
) -> None:
    collector.go.clear()
    endpoint = {"TRUNKLINE_TRACES_ENDPOINT": collector.url}
    async with system(record, database_url, redis_url, rabbitmq_url, **endpoint) as running, running.reading() as parts:
        for _ in range(3):
            await running.customer_writes()
        await eventually(lambda: parts.transformer.delivered == 3, WITHIN_S, "three deliveries")
        await eventually(lambda: collector.requests, WITHIN_S, "a request that hangs")
        assert collector.spans == []


@pytest.mark.parametrize(
    "more",
    [pytest.param({}, id="off"), pytest.param({"TRUNKLINE_TRACES_RATIO": "0"}, id="not among those that are traced")],
)
async def test_a_message_without_a_trace_carries_nothing_of_one(
    more: dict[str, str],
    record: TenantRecord,
    collector: Collector,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    broker: BlockingChannel,
) -> None:
    if more:
        more = {**more, "TRUNKLINE_TRACES_ENDPOINT": collector.url}
    async with system(record, database_url, redis_url, rabbitmq_url, **more) as running:
        await running.customer_writes()
    _, properties, body = broker.basic_get(Lane(record.tenant_id, Direction.INBOUND).queue, auto_ack=True)
    assert not properties.headers
    assert b"traceparent" not in body
    assert collector.requests == []


async def test_the_message_in_the_queue_carries_its_place_in_a_header_too(
    record: TenantRecord,
    collector: Collector,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    broker: BlockingChannel,
) -> None:
    endpoint = {"TRUNKLINE_TRACES_ENDPOINT": collector.url}
    async with system(record, database_url, redis_url, rabbitmq_url, **endpoint) as running:
        message_id = await running.customer_writes()
    _, properties, body = broker.basic_get(Lane(record.tenant_id, Direction.INBOUND).queue, auto_ack=True)
    (store,) = [span for span in collector.trace(trace_id_of(message_id)) if span.name == "store"]
    assert properties.headers == {"traceparent": f"00-{store.trace}-{store.id}-01"}
    assert Envelope.from_bytes(body).traceparent == properties.headers["traceparent"]
