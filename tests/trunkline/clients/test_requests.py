"""The requests that reach the clouds: path, headers and body, exactly as their protocols ask."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import httpx
import orjson
import pytest

from tests.fakes import Clock
from tests.trunkline.protocol.payloads import load, messages
from trunkline.clients.genesys import LOGINS_AT_ONCE, AccountLogin, GenesysClient, GenesysLogin
from trunkline.clients.http import Answer
from trunkline.clients.whatsapp import WhatsAppClient
from trunkline.errors import CredentialsRefused, Rejected, Throttled, TrunklineError, Unavailable
from trunkline.protocol.inbound import GenesysPost, convert_inbound
from trunkline.protocol.outbound import convert_outbound
from trunkline.tenancy.record import GenesysAccount, Secret
from trunkline.tenancy.tenant import GenesysAccess, WhatsAppAccess

ACCEPTED = {"id": "g-1", "conversationId": "gc-1"}
GENESYS = GenesysAccess("mypurecloud.ie", "3b0e7a52-64a7-4c1e-9a55-0d6f2f6b9c01", "token-1", phone_with_plus=False)
WHATSAPP = WhatsAppAccess("210099887766551", "EAAG-token")
ACCOUNT = GenesysAccount("euw2.pure.cloud", "client id", Secret("s3cret:with+odd/letters"), "i", Secret("w"))
POST = GenesysPost("message", {"channel": {}, "text": "hi"})


class Cloud:
    """A cloud that remembers what it was asked and answers what it was told to."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(200, json=ACCEPTED)

    @property
    def request(self) -> httpx.Request:
        (request,) = self.requests
        return request

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """Take a request as the clients hand it over."""
        request = httpx.Request("POST", url, headers=headers, content=content)
        self.requests.append(request)
        response = self.answer(request)
        return Answer(response.status_code, response.headers, response.content)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


async def test_a_message_for_genesys_is_what_section_8_1_asks(cloud: Cloud) -> None:
    ((message, contact),) = messages("text_basic")
    (post,) = convert_inbound(message, contact, "210099887766551", 0.0, with_plus=False, identity="447700900111")
    accepted = await GenesysClient(cloud, "").post(GENESYS, post)
    assert (accepted.message_id, accepted.conversation_id) == ("g-1", "gc-1")
    assert cloud.request.method == "POST"
    assert str(cloud.request.url) == (
        "https://api.mypurecloud.ie/api/v2/conversations/messages/3b0e7a52-64a7-4c1e-9a55-0d6f2f6b9c01"
        "/inbound/open/message?prefetchConversationId=true"
    )
    assert cloud.request.headers["authorization"] == "Bearer token-1"
    assert cloud.request.headers["content-type"] == "application/json"
    body = orjson.loads(cloud.request.content)
    assert body == {
        "channel": {
            "messageId": message["id"],
            "from": {
                "id": message["from"],
                "idType": "Phone",
                "nickname": "Ines Calder",
                "firstName": "Ines",
                "lastName": "Calder",
            },
            "time": "2026-11-23T12:00:00.000Z",
            "metadata": {"customAttributes": body["channel"]["metadata"]["customAttributes"]},
        },
        "text": message["text"]["body"],
    }
    assert body["channel"]["metadata"]["customAttributes"]["wa_phone_number_id"] == "210099887766551"


async def test_a_receipt_for_genesys_asks_for_no_conversation(cloud: Cloud) -> None:
    await GenesysClient(cloud, "").post(GENESYS, GenesysPost("receipt", {"status": "Delivered"}))
    assert cloud.request.url.path.endswith("/inbound/open/receipt")
    assert cloud.request.url.query == b""
    assert orjson.loads(cloud.request.content) == {"status": "Delivered"}


async def test_an_override_replaces_the_host_of_genesys_and_nothing_else(cloud: Cloud) -> None:
    await GenesysClient(cloud, "http://127.0.0.1:3001/genesys").post(GENESYS, POST)
    assert str(cloud.request.url).startswith(
        "http://127.0.0.1:3001/genesys/api/v2/conversations/messages/3b0e7a52-64a7-4c1e-9a55-0d6f2f6b9c01/inbound/open/"
    )


async def test_an_odd_integration_id_stays_one_part_of_the_path(cloud: Cloud) -> None:
    access = GenesysAccess("mypurecloud.ie", "../../oauth?x=1#", "t", phone_with_plus=False)
    await GenesysClient(cloud, "").post(access, POST)
    assert cloud.request.url.raw_path.split(b"?")[0].endswith(
        b"/messages/..%2F..%2Foauth%3Fx%3D1%23/inbound/open/message"
    )


async def test_a_message_for_whatsapp_is_what_section_5_1_asks(cloud: Cloud) -> None:
    cloud.answer = lambda request: httpx.Response(200, json=load("api/wa_send_ok")["response"]["body"])
    (post,) = convert_outbound(load("genesys/text_agent"))
    body = {**post.body, "biz_opaque_callback_data": "our id"}
    wamid = await WhatsAppClient(cloud, "https://graph.facebook.com/v25.0").send(WHATSAPP, body)
    assert wamid.startswith("wamid.")
    assert cloud.request.method == "POST"
    assert str(cloud.request.url) == "https://graph.facebook.com/v25.0/210099887766551/messages"
    assert cloud.request.headers["authorization"] == "Bearer EAAG-token"
    assert cloud.request.headers["content-type"] == "application/json"
    sent = orjson.loads(cloud.request.content)
    assert {key: sent[key] for key in ("messaging_product", "recipient_type", "to", "type")} == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "447700900111",
        "type": "text",
    }
    assert sent["text"]["body"] == load("genesys/text_agent")["text"]
    assert sent["biz_opaque_callback_data"] == "our id"


@pytest.mark.parametrize(
    ("login_url", "url"),
    [
        ("", "https://login.euw2.pure.cloud/oauth/token"),
        ("http://127.0.0.1:3001/login", "http://127.0.0.1:3001/login/oauth/token"),
    ],
)
async def test_a_token_is_asked_for_as_section_7_2_says(cloud: Cloud, login_url: str, url: str) -> None:
    clock = Clock()
    answer = {"access_token": "fresh", "token_type": "bearer", "expires_in": 86399, "error": None}

    def grant(request: httpx.Request) -> httpx.Response:
        clock.advance(3)
        return httpx.Response(200, json=answer)

    cloud.answer = grant
    asked_at = clock()
    token = await AccountLogin(GenesysLogin(cloud, login_url, clock), ACCOUNT).fetch()
    assert token.access_token == Secret("fresh")
    assert (token.issued_at, token.expires_at) == (asked_at, asked_at + 86399), "its life is counted from the request"
    assert str(cloud.request.url) == url
    scheme, _, pair = cloud.request.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"client id:s3cret:with+odd/letters")
    assert cloud.request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(cloud.request.content.decode()) == {"grant_type": ["client_credentials"]}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gen_token_bad_client", CredentialsRefused),
        ("gen_token_bad_secret", CredentialsRefused),
    ],
)
async def test_recorded_refusals_of_the_login_host_are_told_apart(
    cloud: Cloud, name: str, error: type[TrunklineError]
) -> None:
    recorded = load(f"api/{name}")["response"]
    cloud.answer = lambda request: httpx.Response(recorded["status"], json=recorded["body"])
    with pytest.raises(error) as refused:
        await GenesysLogin(cloud, "").fetch(ACCOUNT)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, Throttled), (500, Unavailable), (502, Unavailable), (504, Unavailable)],
)
async def test_a_login_host_in_trouble_is_no_matter_of_credentials(
    cloud: Cloud, status: int, error: type[TrunklineError]
) -> None:
    cloud.answer = lambda request: httpx.Response(status, text="<html>")
    with pytest.raises(error):
        await GenesysLogin(cloud, "").fetch(ACCOUNT)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gen_error_400", Rejected),
        ("gen_error_401", CredentialsRefused),
        ("gen_error_403", CredentialsRefused),
        ("gen_error_404", CredentialsRefused),
        ("gen_error_429", Throttled),
        ("gen_error_503", Unavailable),
    ],
)
async def test_recorded_errors_of_genesys_have_their_fate(cloud: Cloud, name: str, error: type[TrunklineError]) -> None:
    recorded = load(f"api/{name}")["response"]
    body = recorded["body"]
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    cloud.answer = lambda request: httpx.Response(
        recorded["status"], headers=recorded.get("headers", {}), content=content
    )
    with pytest.raises(error) as raised:
        await GenesysClient(cloud, "").post(GENESYS, POST)
    assert isinstance(raised.value, Unavailable | CredentialsRefused | Rejected | Throttled)
    assert raised.value.code == str(recorded["status"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("wa_error_100", Rejected),
        ("wa_error_130429", Throttled),
        ("wa_error_131047", Rejected),
        ("wa_error_131056", Throttled),
        ("wa_error_190", CredentialsRefused),
    ],
)
async def test_recorded_errors_of_whatsapp_have_their_fate(
    cloud: Cloud, name: str, error: type[TrunklineError]
) -> None:
    recorded = load(f"api/{name}")["response"]
    cloud.answer = lambda request: httpx.Response(recorded["status"], json=recorded["body"])
    with pytest.raises(error):
        await WhatsAppClient(cloud, "https://graph.facebook.com/v25.0").send(WHATSAPP, {})


async def test_only_so_many_tokens_are_fetched_at_once() -> None:
    under_way = most = 0

    class Login:
        async def post(self, *_: object) -> Answer:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return Answer(200, {}, orjson.dumps({"access_token": "t", "expires_in": 60}))

    login = GenesysLogin(Login(), "")
    await asyncio.gather(*(login.fetch(ACCOUNT) for _ in range(50)))
    assert most == LOGINS_AT_ONCE
