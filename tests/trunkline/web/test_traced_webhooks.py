"""Webhooks where traces are on: each message that one brings has a trace, begun by the webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fakes import Clock, MemoryAliases
from tests.spans import Spans, id_of, parent_of, trace_of
from tests.trunkline.records import WEBHOOK_SECRET
from tests.trunkline.web import test_webhooks
from tests.trunkline.web.test_webhooks import NEW_SECRET, genesys_body, meta_body
from trunkline.delivery.intake import Intake
from trunkline.delivery.people import People
from trunkline.delivery.traced import TracedLanes
from trunkline.protocol.signatures import sign_genesys, sign_meta
from trunkline.trace_context import trace_id_of
from trunkline.tracing import webhook_taken
from trunkline.web.traced_webhooks import TracedWebhooks
from trunkline.web.webhooks import Webhooks

SENDERS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class World(test_webhooks.World):
    """The application with its stores in memory, traced for `ratio` of all messages."""

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__()
        self.spans = Spans(ratio)
        lanes = TracedLanes(self.lanes, self.spans.tracing)
        self.intake = Intake(self.directory, lanes, self.arrivals, People(MemoryAliases(), Clock()), Clock())
        self.application = TracedWebhooks(Webhooks(self.directory, self.intake))
        transport = httpx.ASGITransport(self.application)  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=transport, base_url="http://trunkline")

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """Meta's webhook, signed; the status of its answer."""
        signed = {"X-Hub-Signature-256": sign_meta(body, NEW_SECRET), **(headers or {})}
        return (await self.client.post("/webhook/whatsapp", content=body, headers=signed)).status_code


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.intake.idle()
    await made.client.aclose()


async def test_a_message_is_stored_in_a_trace_that_its_webhook_began(world: World) -> None:
    assert await world.post(meta_body("m1")) == 200
    (stored,) = world.lanes.published
    webhook, store = world.spans.one("webhook"), world.spans.one("store")
    assert {trace_of(webhook), trace_of(store)} == {trace_id_of(stored.message_id)}
    assert (parent_of(webhook), parent_of(store)) == (None, id_of(webhook))
    assert stored.traceparent == f"00-{trace_of(store)}-{id_of(store)}-01"
    assert world.spans.told("webhook") == {"http.response.status_code": 200}
    assert webhook_taken.get() is None
    assert world.spans.told("store") == {"trunkline.stored_in": "queue"}
    assert (webhook.start_time or 0) <= (store.start_time or 0) <= (store.end_time or 0) <= (webhook.end_time or 0)


async def test_an_agents_message_is_traced_likewise(world: World) -> None:
    body = genesys_body()
    assert (await world.genesys(body, sign_genesys(body, WEBHOOK_SECRET))).status_code == 200
    (stored,) = world.lanes.published
    assert trace_of(world.spans.one("webhook")) == trace_id_of(stored.message_id)
    assert (world.spans.one("webhook").attributes or {})["trunkline.direction"] == "outbound"


async def test_each_message_of_a_webhook_has_a_trace_of_its_own(world: World) -> None:
    assert await world.post(meta_body("m1", "m2")) == 200
    ids = {trace_id_of(stored.message_id) for stored in world.lanes.published}
    assert len(ids) == 2
    assert {trace_of(span) for span in world.spans.named("webhook")} == ids
    assert len(world.spans.named("webhook")) == 2


async def test_a_repeated_webhook_is_in_the_trace_of_the_first(world: World) -> None:
    for _ in range(2):
        await world.post(meta_body("m1"))
    assert len(world.spans.named("webhook")) == 2
    assert len({trace_of(span) for span in world.spans.all}) == 1


async def test_a_trace_of_the_sender_is_linked_and_not_followed(world: World) -> None:
    await world.post(meta_body("m1"), {"traceparent": SENDERS})
    webhook = world.spans.one("webhook")
    (link,) = webhook.links
    assert f"{link.context.trace_id:032x}" == SENDERS.split("-")[1]
    assert trace_of(webhook) != SENDERS.split("-")[1]
    assert webhook.parent is None


@pytest.mark.parametrize("told", ["nonsense", SENDERS.replace("-01", "-00")])
async def test_a_trace_that_is_none_is_not_linked(world: World, told: str) -> None:
    assert await world.post(meta_body("m1"), {"traceparent": told}) == 200
    assert world.spans.one("webhook").links == ()


async def test_what_brings_no_message_has_no_span(world: World) -> None:
    assert (await world.meta(meta_body("m1"), sign_meta(b"another", NEW_SECRET))).status_code == 403
    assert await world.post(b"no json") == 400
    assert await world.post(meta_body("m1", number="unknown")) == 200
    assert (await world.client.get("/webhook/whatsapp")).status_code == 403
    assert world.spans.all == ()


async def test_a_webhook_that_cannot_be_stored_is_an_error(world: World) -> None:
    world.lanes.refuses = lambda envelope: True
    assert await world.post(meta_body("m1")) == 503
    assert world.spans.told("webhook") == {"http.response.status_code": 503}
    assert world.spans.told("store") == {"error.type": "StoreUnavailable"}
    assert not any(span.status.is_unset for span in world.spans.all)


async def test_a_message_that_is_not_among_the_traced_carries_nothing() -> None:
    world = World(ratio=0.0)
    assert await world.post(meta_body("m1")) == 200
    assert [stored.traceparent for stored in world.lanes.published] == [None]
    assert world.spans.all == ()
    await world.intake.idle()


async def test_no_span_tells_the_customer_or_the_text(world: World) -> None:
    await world.post(meta_body("wamid.447700900111"))
    for private in ("447700900111", "4477", 'hi"', NEW_SECRET):
        assert private not in world.spans.text()
