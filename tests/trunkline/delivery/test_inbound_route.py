"""A customer's message becomes posts to Genesys, with its file, and with what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.fakes import MemoryAliases, envelope
from tests.trunkline.delivery.clouds import Clouds, job_of
from tests.trunkline.protocol.payloads import messages
from trunkline.attempt import Callback
from trunkline.delivery.inbound_route import InboundRoute
from trunkline.delivery.routes import Accepted
from trunkline.envelope import Envelope
from trunkline.errors import CredentialsRefused, Rejected, TrunklineError, Unavailable
from trunkline.people import Move
from trunkline.protocol.media import Attachable, Unattachable

ATTACHED = Attachable("https://t.example/media/x", "image/jpeg", "image.jpg")
LOST = Unattachable("could not be loaded")


@dataclass(frozen=True)
class Asked:
    """A structured message of the agent's side."""

    genesys_id: str = "8f1c5d0e7b6a49d2a3b4c5d6e7f80912"
    kind: str = "quick_reply"


class World:
    """The route between a store of files, of asked messages and of people."""

    def __init__(self) -> None:
        self.clouds = Clouds()
        self.file: Attachable | Unattachable | None = None
        self.asked: Asked | None = None
        self.wamids: list[str] = []
        self.aliases = MemoryAliases()
        self.route = InboundRoute(self.clouds, self, self, self.aliases)

    async def of(self, message: Envelope) -> Attachable | Unattachable | None:
        return self.file

    async def find(self, tenant_id: str, wamid: str, callback: Callback | None = None) -> Asked | None:
        self.wamids.append(wamid)
        return self.asked


@pytest.fixture
def world() -> World:
    return World()


def fixture(name: str, conversation: str = "447700900111") -> Envelope:
    ((message, contact),) = messages(name)
    payload = {"phoneNumberId": "210099887766551", "message": message, "contact": contact}
    return envelope(1, payload=payload, conversation=conversation, external_id=message["id"])


async def test_a_customers_text_becomes_one_post_and_is_kept_with_its_words(world: World) -> None:
    message = fixture("text_basic")
    job = await job_of(world.route, message)
    assert [await request() for request in job.requests] == [Accepted(None, "g-1", "gc-1")]
    (post,) = world.clouds.posts
    assert (post.resource, post.body["channel"]["messageId"]) == ("message", message.external_id)
    assert job.text == post.body["text"] == message.payload["message"]["text"]["body"]
    assert job.lacking is None


async def test_genesys_knows_the_customer_by_the_identity_that_intake_found(world: World) -> None:
    job = await job_of(world.route, fixture("text_basic", conversation="GB.71204433551902288417"))
    await job.requests[0]()
    sender = world.clouds.posts[0].body["channel"]["from"]
    assert (sender["id"], sender["idType"]) == ("GB.71204433551902288417", "Opaque")


async def test_a_file_is_attached(world: World) -> None:
    world.file = ATTACHED
    job = await job_of(world.route, fixture("image_caption"))
    await job.requests[0]()
    attachment = world.clouds.posts[0].body["content"][0]["attachment"]
    assert (attachment["url"], attachment["mime"], attachment["mediaType"]) == (ATTACHED.url, ATTACHED.mime, "Image")
    assert job.lacking is None


async def test_a_file_that_cannot_be_had_leaves_a_text_and_a_dead_letter(world: World) -> None:
    world.file = LOST
    job = await job_of(world.route, fixture("image_caption"))
    await job.requests[0]()
    body = world.clouds.posts[0].body
    assert "content" not in body
    assert "could not be loaded" in body["text"]
    assert job.lacking is not None
    assert (job.lacking.reason, job.lacking.detail) == ("media_unavailable", "the file could not be loaded")


@pytest.mark.parametrize(
    ("name", "asked", "resource"),
    [
        pytest.param("interactive_button_reply", Asked(), "structured/response", id="a question that we bridged"),
        pytest.param("button_template_reply", Asked(kind="template"), "structured/response", id="a template's button"),
        pytest.param("interactive_button_reply", None, "message", id="somebody else's question"),
        pytest.param("interactive_button_reply", Asked(kind="text"), "message", id="no question"),
    ],
)
async def test_a_tap_answers_the_question_that_it_belongs_to(
    world: World, name: str, asked: Asked | None, resource: str
) -> None:
    world.asked = asked
    message = fixture(name)
    job = await job_of(world.route, message)
    await job.requests[0]()
    (post,) = world.clouds.posts
    assert post.resource == resource
    assert post.body.get("originatingMessageId") == (asked.genesys_id if resource != "message" and asked else None)
    assert world.wamids == [message.payload["message"]["context"]["id"]]


@pytest.mark.parametrize(
    ("error", "falls_back"),
    [
        pytest.param(Rejected("rejected", "400 bad.request", "400"), True, id="refused"),
        pytest.param(CredentialsRefused("404 not.found", "404"), True, id="no such question"),
        pytest.param(CredentialsRefused("401", "401"), False, id="the token"),
        pytest.param(Unavailable("503", "503"), False, id="may pass"),
    ],
)
async def test_an_answer_that_genesys_does_not_take_is_told_in_words(
    world: World, error: TrunklineError, falls_back: bool
) -> None:
    world.asked = Asked()
    world.clouds.refusals = {"structured/response": error}
    job = await job_of(world.route, fixture("interactive_button_reply"))
    if falls_back:
        assert (await job.requests[0]()).lacking is None
        assert [(post.resource, post.body["text"]) for post in world.clouds.posts] == [("message", "Yes")]
    else:
        with pytest.raises(type(error)):
            await job.requests[0]()


async def test_a_file_that_genesys_does_not_take_is_told_in_words_with_its_link(world: World) -> None:
    world.file = ATTACHED
    world.clouds.refusals = {"content": Rejected("rejected", "400 bad.request", "400")}
    job = await job_of(world.route, fixture("image_caption"))
    accepted = await job.requests[0]()
    (post,) = world.clouds.posts
    assert ATTACHED.url in post.body["text"]
    assert "was refused by Genesys Cloud" in post.body["text"]
    assert accepted.lacking is not None
    assert accepted.lacking.reason == "media_unavailable"


async def test_a_message_to_an_integration_that_is_gone_is_no_matter_of_its_file(world: World) -> None:
    world.file = ATTACHED
    world.clouds.refusals = {"content": CredentialsRefused("404 not.found", "404")}
    with pytest.raises(CredentialsRefused):
        await (await job_of(world.route, fixture("image_caption"))).requests[0]()
    assert world.clouds.posts == []


async def test_what_answers_nothing_is_looked_up_nowhere(world: World) -> None:
    await job_of(world.route, fixture("text_reply_context"))
    assert world.wamids == []


async def test_news_of_another_number_is_written_down_before_it_is_passed_on(world: World) -> None:
    message = fixture("system_number_change")
    await job_of(world.route, message)
    new = message.payload["message"]["system"]["wa_id"]
    assert world.aliases.moves == [Move("acme", "447700900111", new, message.accepted_at)]
