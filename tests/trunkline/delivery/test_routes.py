"""What each direction makes of an envelope."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.fakes import envelope
from tests.trunkline.protocol.payloads import load, messages
from trunkline.delivery.routes import Accepted, InboundRoute, Job, OutboundRoute, Route, StatusRoute
from trunkline.envelope import Direction, Envelope
from trunkline.errors import Rejected
from trunkline.protocol.inbound import GenesysPost
from trunkline.protocol.outcomes import GenesysAccepted
from trunkline.tenancy.tenant import GenesysAccess, WhatsAppAccess

GENESYS = GenesysAccess("mypurecloud.ie", "integration", "token-1", phone_with_plus=False)
WHATSAPP = WhatsAppAccess("210099887766551", "EAAG")
CALLBACK = "0e9e6d6e-6e1d-4a87-9d0c-0f6a2f6b9c01"


class Clouds:
    """Both clouds; they take everything."""

    def __init__(self) -> None:
        self.posts: list[GenesysPost] = []
        self.sent: list[dict[str, Any]] = []

    async def post(self, access: GenesysAccess, post: GenesysPost) -> GenesysAccepted:
        assert access == GENESYS
        self.posts.append(post)
        return GenesysAccepted("g-1", "gc-1")

    async def send(self, access: WhatsAppAccess, body: dict[str, Any]) -> str:
        assert access == WHATSAPP
        self.sent.append(body)
        return f"wamid.{len(self.sent)}"


@dataclass(frozen=True)
class Sent:
    """An agent's message as receipts need it."""

    message_id: str = CALLBACK
    genesys_id: str = "1331e212d4c9967799a8f65da9c11038"
    wa_id: str = "447700900111"
    status: str = "delivered"
    receipt: str | None = None


@dataclass
class SentMessages:
    """What is known of agents' messages."""

    message: Sent | None = field(default_factory=Sent)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    adopted: list[tuple[str, str]] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)

    async def find_outbound(self, tenant_id: str, wamid: str, callback: str | None) -> Sent | None:
        self.asked.append((tenant_id, wamid, callback))
        return self.message

    async def adopt(self, tenant_id: str, message_id: str, wamid: str) -> None:
        self.adopted.append((message_id, wamid))

    async def note_receipt(self, tenant_id: str, message_id: str, receipt: str) -> None:
        self.noted.append(receipt)


@pytest.fixture
def clouds() -> Clouds:
    return Clouds()


async def job_of(route: Route, message: Envelope, access: GenesysAccess | WhatsAppAccess = GENESYS) -> Job:
    prepared = await route.prepare(message)
    assert prepared is not None
    return prepared(access)


def status(state: str, **members: Any) -> Envelope:
    raw = {"id": "wamid.out", "status": state, "biz_opaque_callback_data": CALLBACK, **members}
    return envelope(1, Direction.STATUS, payload={"status": raw}, external_id="wamid.out")


async def test_a_customers_text_becomes_one_post_and_is_kept_with_its_words(clouds: Clouds) -> None:
    ((message, contact),) = messages("text_basic")
    payload = {"phoneNumberId": "210099887766551", "message": message, "contact": contact}
    job = await job_of(InboundRoute(clouds), envelope(1, payload=payload))
    assert [await request() for request in job.requests] == [Accepted(None, "g-1", "gc-1")]
    (post,) = clouds.posts
    assert (post.resource, post.body["channel"]["messageId"]) == ("message", message["id"])
    assert job.text == post.body["text"] == message["text"]["body"]


async def test_an_agents_text_carries_our_id_in_every_request(clouds: Clouds) -> None:
    body = {**load("genesys/text_agent"), "text": "word " * 1500}
    message = envelope(1, Direction.OUTBOUND, payload=body)
    job = await job_of(OutboundRoute(clouds), message, WHATSAPP)
    answers = [await request() for request in job.requests]
    assert len(answers) == 2
    assert [answer.wamid for answer in answers] == ["wamid.1", "wamid.2"]
    assert {answer.genesys_conversation_id for answer in answers} == {body["conversationId"]}
    assert {sent["biz_opaque_callback_data"] for sent in clouds.sent} == {message.message_id}
    assert "".join(sent["text"]["body"] for sent in clouds.sent) == body["text"]


@pytest.mark.parametrize("name", ["event_typing_on", "receipt_published", "receipt_failed"])
async def test_genesys_events_and_receipts_need_no_call(clouds: Clouds, name: str) -> None:
    message = envelope(1, Direction.OUTBOUND, payload=load(f"genesys/{name}"))
    assert await OutboundRoute(clouds).prepare(message) is None


async def test_a_blank_message_is_refused_before_passage_is_asked_for(clouds: Clouds) -> None:
    with pytest.raises(Rejected):
        await OutboundRoute(clouds).prepare(
            envelope(1, Direction.OUTBOUND, payload={**load("genesys/text_agent"), "text": " "})
        )


async def test_a_delivered_message_gets_its_receipt_which_is_then_noted(clouds: Clouds) -> None:
    sent = SentMessages()
    job = await job_of(StatusRoute(clouds, sent), status("delivered"))
    for request in job.requests:
        await request()
    (post,) = clouds.posts
    assert (post.resource, post.body["id"], post.body["status"]) == ("receipt", Sent().genesys_id, "Delivered")
    assert post.body["channel"]["to"] == {"id": "447700900111", "idType": "Phone"}
    assert sent.asked == [("acme", "wamid.out", CALLBACK)]
    assert sent.noted == []
    assert job.on_delivered is not None
    await job.on_delivered()
    assert sent.noted == ["Delivered"]


@pytest.mark.parametrize(
    ("state", "receipt"),
    [
        pytest.param("sent", None, id="sent says nothing new"),
        pytest.param("read", "Delivered", id="read after delivered"),
        pytest.param("failed", "Delivered", id="none goes down after Delivered"),
        pytest.param("delivered", "Failed", id="none follows Failed"),
        pytest.param("deleted", None, id="deleted is no news"),
    ],
)
async def test_a_status_that_tells_genesys_nothing_needs_no_call(
    clouds: Clouds, state: str, receipt: str | None
) -> None:
    assert await StatusRoute(clouds, SentMessages(Sent(receipt=receipt))).prepare(status(state)) is None


async def test_a_status_of_somebody_elses_message_is_ignored(clouds: Clouds) -> None:
    assert await StatusRoute(clouds, SentMessages(None)).prepare(status("delivered")) is None


@pytest.mark.parametrize("state", ["sent", "delivered", "failed"])
async def test_any_status_of_a_send_of_unknown_outcome_proves_that_it_went_out(clouds: Clouds, state: str) -> None:
    sent = SentMessages(replace(Sent(), status="unknown"))
    await StatusRoute(clouds, sent).prepare(status(state))
    assert sent.adopted == [(CALLBACK, "wamid.out")]


async def test_our_own_news_of_a_failure_adopts_nothing(clouds: Clouds) -> None:
    sent = SentMessages(replace(Sent(), status="unknown"))
    raw = {"status": "failed", "biz_opaque_callback_data": CALLBACK, "errors": [{"code": "ServerError"}]}
    job = await job_of(StatusRoute(clouds, sent), envelope(1, Direction.STATUS, payload={"status": raw}))
    assert sent.adopted == []
    await job.requests[0]()
    assert clouds.posts[0].body["reasons"][0]["code"] == "ServerError"


@pytest.mark.parametrize("callback", ["not ours", 7, None, ["x"]])
async def test_callback_data_of_others_is_no_id_of_ours(clouds: Clouds, callback: Any) -> None:
    sent = SentMessages()
    await StatusRoute(clouds, sent).prepare(status("sent", biz_opaque_callback_data=callback))
    assert sent.asked == [("acme", "wamid.out", None)]
