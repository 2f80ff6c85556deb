"""An agent's message becomes calls of the Send API, with its files; typing becomes a read mark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes import MemoryAliases, envelope
from tests.trunkline.delivery.clouds import WHATSAPP, Clouds, job_of
from tests.trunkline.protocol.payloads import load
from trunkline.attempt import Callback
from trunkline.delivery.outbound_route import OutboundRoute
from trunkline.envelope import Direction, Envelope
from trunkline.errors import Rejected
from trunkline.people import Move
from trunkline.protocol.media import UploadedFile
from trunkline.protocol.outbound import outbound_kind


class World:
    """The route between a store of files, of people and of customers' messages."""

    def __init__(self) -> None:
        self.clouds = Clouds()
        self.aliases = MemoryAliases()
        self.files: dict[str, UploadedFile] = {}
        self.latest: str | None = "wamid.in"
        self.noted: list[Envelope] = []
        self.route = OutboundRoute(self.clouds, self, self.aliases, self, self)

    async def of(self, message: Envelope) -> Mapping[str, UploadedFile]:
        return self.files

    async def last_inbound(self, tenant_id: str, wa_id: str) -> str | None:
        assert (tenant_id, wa_id) == ("acme", "447700900111")
        return self.latest

    async def note(self, receipt: Envelope) -> None:
        self.noted.append(receipt)

    async def send(self, message: Envelope) -> list[dict[str, Any]]:
        job = await job_of(self.route, message, WHATSAPP)
        for request in job.requests:
            await request()
        return self.clouds.sent


@pytest.fixture
def world() -> World:
    return World()


def fixture(name: str, **changes: Any) -> Envelope:
    body = {**load(f"genesys/{name}"), **changes}
    made = envelope(1, Direction.OUTBOUND, payload=body)
    return Envelope(**{**{field: getattr(made, field) for field in made.__slots__}, "kind": outbound_kind(body)})


async def test_an_agents_text_carries_our_id_in_every_request(world: World) -> None:
    message = fixture("text_agent", text="word " * 1500)
    job = await job_of(world.route, message, WHATSAPP)
    answers = [await request() for request in job.requests]
    assert [answer.wamid for answer in answers] == ["wamid.1", "wamid.2"]
    assert {answer.genesys_conversation_id for answer in answers} == {message.payload["conversationId"]}
    callbacks = [Callback.read(sent["biz_opaque_callback_data"]) for sent in world.clouds.sent]
    assert callbacks == [Callback(message.message_id, 1, 2), Callback(message.message_id, 2, 2)]
    assert "".join(sent["text"]["body"] for sent in world.clouds.sent) == message.payload["text"]


async def test_a_message_that_stays_whole_carries_its_id_alone(world: World) -> None:
    message = fixture("text_agent")
    (sent,) = await world.send(message)
    assert sent["biz_opaque_callback_data"] == message.message_id


async def test_files_are_sent_by_their_ids(world: World) -> None:
    message = fixture("text_with_image")
    world.files = {message.payload["content"][0]["attachment"]["url"]: UploadedFile("m-1", "image", None)}
    (sent,) = await world.send(message)
    assert (sent["type"], sent["image"]) == ("image", {"id": "m-1", "caption": message.payload["text"]})


async def test_a_person_who_moved_is_written_to_at_their_latest_address(world: World) -> None:
    await world.aliases.move(Move("acme", "447700900111", "447700900333", 0.0))
    (sent,) = await world.send(fixture("text_agent"))
    assert sent["to"] == "447700900333"


async def test_typing_is_shown_with_the_customers_latest_message(world: World) -> None:
    await world.send(fixture("event_typing_on"))
    assert world.clouds.marked == [
        {
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": "wamid.in",
            "typing_indicator": {"type": "text"},
        }
    ]
    assert world.clouds.sent == []


@pytest.mark.parametrize(
    ("latest", "changes"),
    [
        pytest.param(None, {}, id="no message young enough"),
        pytest.param("wamid.in", {"events": [{"eventType": "Presence"}]}, id="another event"),
        pytest.param("wamid.in", {"events": [{"eventType": "Typing", "typing": {"type": "Off"}}]}, id="typing ends"),
    ],
)
async def test_an_event_that_whatsapp_cannot_show_needs_no_call(
    world: World, latest: str | None, changes: dict[str, Any]
) -> None:
    world.latest = latest
    assert await world.route.prepare(fixture("event_typing_on", **changes)) is None


@pytest.mark.parametrize("name", ["receipt_published", "receipt_failed"])
async def test_genesys_receipts_are_written_down_and_need_no_call(world: World, name: str) -> None:
    message = fixture(name)
    assert await world.route.prepare(message) is None
    assert world.noted == [message]


async def test_a_blank_message_is_refused_before_passage_is_asked_for(world: World) -> None:
    with pytest.raises(Rejected):
        await world.route.prepare(fixture("text_agent", text=" "))
