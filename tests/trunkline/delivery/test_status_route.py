"""A status becomes the receipt that Genesys needs: once, never backwards, for all parts together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.fakes import envelope
from tests.trunkline.delivery.clouds import Clouds, job_of
from trunkline.attempt import Callback, ReceiptNote
from trunkline.delivery.status_route import StatusRoute
from trunkline.envelope import Direction, Envelope

CALLBACK = "0e9e6d6e-6e1d-4a87-9d0c-0f6a2f6b9c01"


@dataclass(frozen=True)
class Sent:
    """An agent's message as receipts need it."""

    message_id: str = CALLBACK
    genesys_id: str = "1331e212d4c9967799a8f65da9c11038"
    wa_id: str = "447700900111"
    status: str = "delivered"
    receipt: str | None = None
    part: int = 1
    parts: int = 1


@dataclass
class SentMessages:
    """What is known of agents' messages."""

    message: Sent | None = field(default_factory=Sent)
    asked: list[tuple[str, str, Callback | None]] = field(default_factory=list)
    adopted: list[tuple[str, str]] = field(default_factory=list)
    delivered: set[int] = field(default_factory=set)
    kept: list[Envelope] = field(default_factory=list)

    async def find(self, tenant_id: str, wamid: str, callback: Callback | None = None) -> Sent | None:
        self.asked.append((tenant_id, wamid, callback))
        if self.message is not None and callback is not None:
            return replace(self.message, part=callback.part, parts=callback.parts)
        return self.message

    async def adopt(self, tenant_id: str, part: Callback, wamid: str) -> None:
        self.adopted.append((part.message_id, wamid))

    async def mark_delivered(self, tenant_id: str, part: Callback, wamid: str) -> bool:
        self.delivered.add(part.part)
        return len(self.delivered) == part.parts

    async def park(self, status: Envelope) -> None:
        self.kept.append(status)


@pytest.fixture
def clouds() -> Clouds:
    return Clouds()


def status(state: str, **members: Any) -> Envelope:
    raw = {"id": "wamid.out", "status": state, "biz_opaque_callback_data": CALLBACK, **members}
    return envelope(1, Direction.STATUS, payload={"status": raw}, external_id="wamid.out")


async def test_a_delivered_message_gets_its_receipt_which_is_noted_with_the_outcome(clouds: Clouds) -> None:
    sent = SentMessages()
    job = await job_of(StatusRoute(clouds, sent), status("delivered"))
    for request in job.requests:
        await request()
    (post,) = clouds.posts
    assert (post.resource, post.body["id"], post.body["status"]) == ("receipt", Sent().genesys_id, "Delivered")
    assert post.body["channel"]["to"] == {"id": "447700900111", "idType": "Phone"}
    assert sent.asked == [("acme", "wamid.out", Callback(CALLBACK))]
    assert job.receipt == ReceiptNote(CALLBACK, "Delivered")


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


@pytest.mark.parametrize("state", ["delivered", "read", "played", "failed"])
async def test_a_status_of_a_message_that_nobody_knows_yet_is_parked(clouds: Clouds, state: str) -> None:
    sent = SentMessages(None)
    assert await StatusRoute(clouds, sent).prepare(status(state)) is None
    assert sent.kept == [status(state)]


async def test_a_status_that_would_tell_nothing_is_not_parked(clouds: Clouds) -> None:
    sent = SentMessages(None)
    assert await StatusRoute(clouds, sent).prepare(status("sent")) is None
    assert sent.kept == []


def of_part(state: str, part: int, parts: int = 3) -> Envelope:
    return status(state, id=f"wamid.{part}", biz_opaque_callback_data=str(Callback(CALLBACK, part, parts)))


@pytest.mark.parametrize(
    ("statuses", "receipts"),
    [
        pytest.param(
            [of_part("delivered", 1), of_part("delivered", 2), of_part("read", 2), of_part("read", 3)],
            ["Delivered"],
            id="once the last part is delivered",
        ),
        pytest.param([of_part("delivered", 3), of_part("delivered", 1)], [], id="not before"),
        pytest.param([of_part("delivered", 1), of_part("failed", 2)], ["Failed"], id="failed with its first part"),
    ],
)
async def test_the_parts_of_a_message_have_one_receipt(
    clouds: Clouds, statuses: list[Envelope], receipts: list[str]
) -> None:
    route = StatusRoute(clouds, SentMessages())
    for each in statuses:
        if await route.prepare(each) is not None:
            await (await job_of(route, each)).requests[0]()
    assert [post.body["status"] for post in clouds.posts] == receipts


@pytest.mark.parametrize("known_as", ["unknown", "sending"])
@pytest.mark.parametrize("state", ["sent", "delivered", "failed"])
async def test_any_status_of_a_send_without_an_outcome_proves_that_it_went_out(
    clouds: Clouds, state: str, known_as: str
) -> None:
    sent = SentMessages(replace(Sent(), status=known_as))
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
