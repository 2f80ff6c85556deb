"""Files of messages: moved with the tenant's credentials, in bounds, and what it means when a cloud refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes import envelope, until
from tests.trunkline.protocol.payloads import load, messages
from trunkline.delivery import files as files_module
from trunkline.delivery.files import MOVED_AT_ONCE, AgentFiles, CustomerFiles
from trunkline.delivery.held import LaneHeld
from trunkline.envelope import Direction, Envelope
from trunkline.errors import CredentialsRefused, Rejected, StoreUnavailable, Throttled, Unavailable
from trunkline.protocol.media import AgentFile, Attachable, CustomerFile, Unattachable, UploadedFile
from trunkline.tenancy.tenant import Cloud, Credentials, Gone, Held, WhatsAppAccess

ATTACHED = Attachable("https://t.example/media/x", "image/jpeg", "image.jpg")
TOO_LARGE = Unattachable("is larger than 25 MB", "https://t.example/media/x")
UPLOADED = UploadedFile("m-1", "image", None)
EXPIRED = CredentialsRefused("190 the token expired", "190")


class World:
    """A tenant, and clouds that answer `answers` one after the other."""

    def __init__(self) -> None:
        self.held: Held | None = None
        self.is_there = True
        self.told: list[tuple[Any, ...]] = []
        self.answers: list[Any] = []
        self.moved: list[tuple[Any, ...]] = []
        self.forgotten: list[tuple[str, str]] = []
        self.store_away = False
        self.under_way = 0
        self.go = asyncio.Event()
        self.go.set()
        self.customer_files = CustomerFiles(self, self, self)
        self.agent_files = AgentFiles(self, self)

    async def credentials(self, tenant_id: str) -> Credentials | Gone:
        access = WhatsAppAccess("2100", "EAAG")
        return Credentials(access, self.held, "mypurecloud.ie", "token-1") if self.is_there else Gone()

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        self.told.append(("refused", cloud, used_token, words, expired))

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        self.told.append(("throttled", cloud, words, retry_after_s))

    async def attach(
        self, tenant_id: str, access: WhatsAppAccess, file: CustomerFile, message_id: str
    ) -> Attachable | Unattachable:
        self.moved.append((tenant_id, access.phone_number_id, access.access_token, file.media_id))
        found: Attachable | Unattachable = await self._answer(ATTACHED)
        return found

    async def upload(
        self, tenant_id: str, whatsapp: WhatsAppAccess, region: str, genesys_token: str | None, file: AgentFile
    ) -> UploadedFile:
        self.moved.append((tenant_id, whatsapp.access_token, region, genesys_token, file.url))
        found: UploadedFile = await self._answer(UPLOADED)
        return found

    async def done(self, tenant_id: str, media_id: str) -> None:
        if self.store_away:
            raise StoreUnavailable("Postgres cannot be reached")
        self.forgotten.append((tenant_id, media_id))

    async def _answer(self, otherwise: Any) -> Any:
        self.under_way += 1
        await self.go.wait()
        self.under_way -= 1
        answer = self.answers.pop(0) if self.answers else otherwise
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(files_module, "LONGEST_THROTTLE_S", 0.001)
    return World()


def image(tenant_id: str = "acme") -> Envelope:
    ((message, contact),) = messages("image_caption")
    payload = {"phoneNumberId": "210099887766551", "message": message, "contact": contact}
    return envelope(1, payload=payload, tenant_id=tenant_id)


def answer(name: str = "text_with_image") -> Envelope:
    return envelope(1, Direction.OUTBOUND, payload=load(f"genesys/{name}"))


MEDIA_ID = image().payload["message"]["image"]["id"]


async def test_a_customers_file_is_fetched_for_the_number_it_came_to(world: World) -> None:
    assert await world.customer_files.of(image()) == ATTACHED
    assert world.moved == [("acme", "210099887766551", "EAAG", MEDIA_ID)]
    assert world.forgotten == [("acme", MEDIA_ID)]


async def test_a_message_without_a_file_asks_nobody(world: World) -> None:
    world.is_there = False
    assert await world.customer_files.of(envelope(1, payload={"message": {"type": "text"}})) is None
    assert await world.agent_files.of(answer("text_agent")) == {}
    assert world.moved == []


@pytest.mark.parametrize(
    ("answers", "found", "told", "listed"),
    [
        pytest.param([TOO_LARGE], TOO_LARGE, [], False, id="too large for Genesys, but kept"),
        pytest.param([Unattachable("x")], Unattachable("x"), [], False, id="not to be had"),
        pytest.param([Throttled(5.0), ATTACHED], ATTACHED, [], False, id="throttled once"),
        pytest.param([Throttled(5.0)] * 3, Unattachable("could not be loaded"), [], True, id="throttled for long"),
        pytest.param(
            [EXPIRED], Unattachable("could not be loaded"),
            [("refused", Cloud.WHATSAPP, "EAAG", "190 the token expired", False)], True, id="the tenant's token",
        ),
    ],
)  # fmt: skip
async def test_a_customers_words_do_not_wait_for_a_file(
    world: World, answers: list[Any], found: Any, told: list[Any], listed: bool
) -> None:
    world.answers = answers
    assert await world.customer_files.of(image()) == found
    assert world.told == told
    assert world.forgotten == ([] if listed else [("acme", MEDIA_ID)])


async def test_a_list_that_cannot_be_reached_stops_no_message(world: World) -> None:
    world.store_away = True
    assert await world.customer_files.of(image()) == ATTACHED


async def test_an_agents_files_are_uploaded_with_both_clouds_credentials(world: World) -> None:
    url = answer().payload["content"][0]["attachment"]["url"]
    assert await world.agent_files.of(answer()) == {url: UPLOADED}
    assert world.moved == [("acme", "EAAG", "mypurecloud.ie", "token-1", url)]


async def test_a_picture_that_only_decorates_may_be_missing(world: World) -> None:
    world.answers = [Rejected("media_unavailable", "404")]
    assert await world.agent_files.of(answer("structured_card")) == {}


@pytest.mark.parametrize("error", [Rejected("media_unavailable", "404"), Unavailable("503")])
async def test_without_an_attachment_the_message_does_not_leave(world: World, error: Exception) -> None:
    world.answers = [error]
    with pytest.raises(type(error)):
        await world.agent_files.of(answer())


@pytest.mark.parametrize(
    ("error", "told", "wait_s"),
    [
        pytest.param(EXPIRED, ("refused", Cloud.WHATSAPP, "EAAG", EXPIRED.detail, False), 1.0, id="refused"),
        pytest.param(Throttled(7.0, "80007"), ("throttled", Cloud.WHATSAPP, "80007", 7.0), 7.0, id="throttled"),
    ],
)
async def test_what_concerns_all_calls_to_whatsapp_holds_the_lane(
    world: World, error: Exception, told: tuple[Any, ...], wait_s: float
) -> None:
    world.answers = [error]
    with pytest.raises(LaneHeld) as held:
        await world.agent_files.of(answer())
    assert (world.told, held.value.retry_after_s) == ([told], wait_s)


async def test_nothing_is_uploaded_while_the_lane_is_held(world: World) -> None:
    world.held = Held("190 the token expired", 3.0)
    with pytest.raises(LaneHeld, match="190"):
        await world.agent_files.of(answer())
    assert world.moved == []


async def test_files_of_one_tenant_are_moved_in_bounds_and_do_not_hold_up_another(world: World) -> None:
    world.go.clear()
    moving = [asyncio.create_task(world.customer_files.of(image())) for _ in range(3 * MOVED_AT_ONCE)]
    await until(lambda: world.under_way == MOVED_AT_ONCE, "all turns in use")
    other = asyncio.create_task(world.customer_files.of(image("beta")))
    await until(lambda: world.under_way == MOVED_AT_ONCE + 1, "the other tenant's")
    world.go.set()
    assert await asyncio.gather(other, *moving) == [ATTACHED] * (3 * MOVED_AT_ONCE + 1)
