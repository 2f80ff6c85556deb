"""The webhooks as Meta and Genesys call them: what is verified, in which order, and every answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.fakes import Clock, MemoryAliases, MemoryArrivals, MemoryLanes, MemoryTenants
from tests.trunkline.protocol.payloads import load
from tests.trunkline.records import WEBHOOK_SECRET, tenant_record
from trunkline.delivery import recording as recording_module
from trunkline.delivery.intake import Intake
from trunkline.delivery.people import People
from trunkline.protocol.signatures import sign_genesys, sign_meta
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import GenesysAccount, MetaApp, Secret, WhatsAppAccount
from trunkline.web.webhooks import LONGEST_BODY, Scope, Webhooks

NEW_SECRET, OLD_SECRET, OWN_SECRET = "new-app-secret", "old-app-secret", "own-app-secret"
NUMBER, INTEGRATION = "210099887766551", "3b0e7a52-64a7-4c1e-9a55-0d6f2f6b9c01"
VECTORS = load("signatures")
META_403 = {"error": "Invalid Meta signature", "code": "INVALID_SIGNATURE"}
GENESYS_403 = {"error": "Invalid Genesys signature", "code": "INVALID_SIGNATURE"}


class World:
    """The application with its stores in memory; `root_path` is the mount point that the server takes off."""

    def __init__(self) -> None:
        record = tenant_record("acme")
        token = record.whatsapp.access_token
        self.record = replace(
            record,
            whatsapp=WhatsAppAccount(NUMBER, "1044", token),
            genesys=GenesysAccount("mypurecloud.ie", "c", Secret("s"), INTEGRATION, Secret(WEBHOOK_SECRET)),
        )
        own = tenant_record("own")
        self.own = replace(own, whatsapp=WhatsAppAccount("2300", "1044", token, app="own-app"))
        self.source = MemoryTenants(
            self.record, self.own, apps=[MetaApp("own-app", (Secret(OWN_SECRET),), (Secret("own-token"),))]
        )
        default = MetaApp(
            "default", (Secret(NEW_SECRET), Secret(OLD_SECRET)), (Secret("new-token"), Secret("old tokén+&"))
        )
        self.directory = TenantDirectory(self.source, default, Clock())
        self.lanes = MemoryLanes()
        self.arrivals = MemoryArrivals()
        self.intake = Intake(self.directory, self.lanes, self.arrivals, People(MemoryAliases(), Clock()), Clock())
        self.client = self.client_at("")

    def client_at(self, root_path: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(Webhooks(self.directory, self.intake), root_path=root_path)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://trunkline")

    async def meta(self, body: bytes, signature: str | None, path: str = "/webhook/whatsapp") -> httpx.Response:
        return await self.client.post(path, content=body, headers=_signed(signature))

    async def genesys(self, body: bytes, signature: str | None) -> httpx.Response:
        return await self.client.post("/webhook/genesys", content=body, headers=_signed(signature))

    @property
    def stored(self) -> list[str]:
        return [f"{e.tenant_id}/{e.external_id}" for e in self.lanes.published]

    @property
    def kept(self) -> list[tuple[str, str | None]]:
        return [(stray.reason, stray.tenant_id) for stray in self.arrivals.strays]


def _signed(signature: str | None) -> dict[str, str]:
    return {} if signature is None else {"X-Hub-Signature-256": signature}


@pytest.fixture(scope="module", autouse=True)
def recorded_at_once() -> Iterator[None]:
    """Records wait for company; these tests do not."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recording_module, "RECORD_AFTER_S", 0.0)
        yield


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.directory.reload()
    yield made
    await made.intake.idle()
    await made.client.aclose()


def meta_body(*wamids: str, number: str = NUMBER) -> bytes:
    messages = [{"id": wamid, "from": "4477", "type": "text", "text": {"body": "hi"}} for wamid in wamids]
    value = {"metadata": {"phone_number_id": number}, "messages": messages}
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]}
    ).encode()


def genesys_body(integration: Any = INTEGRATION, **members: Any) -> bytes:
    return json.dumps(
        {"id": "g1", "type": "Text", "text": "hi", "channel": {"id": integration, "to": {"id": "4477"}}, **members}
    ).encode()


GOOD = {"hub.mode": "subscribe", "hub.verify_token": "new-token", "hub.challenge": "1158201444"}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        pytest.param("/webhook/whatsapp", {}, id="the current token"),
        pytest.param("/webhook/whatsapp", {"hub.verify_token": "old tokén+&"}, id="the former one, with odd letters"),
        pytest.param("/webhook/meta", {}, id="the alias"),
        pytest.param("/webhook/whatsapp/", {}, id="a slash at the end"),
        pytest.param("/webhook/whatsapp/own-app", {"hub.verify_token": "own-token"}, id="a further app"),
        pytest.param("/webhook/meta/own-app", {"hub.verify_token": "own-token"}, id="a further app by the alias"),
        pytest.param("/webhook/whatsapp", {"hub.challenge": "aB9._-"}, id="letters in the challenge"),
    ],
)
async def test_a_good_handshake_gets_its_challenge_back_as_plain_text(
    world: World, path: str, change: dict[str, str]
) -> None:
    query = {**GOOD, **change}
    answer = await world.client.get(path, params=query)
    assert (answer.status_code, answer.text) == (200, query["hub.challenge"])
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("path", "change"),
    [
        pytest.param("/webhook/whatsapp", {"hub.verify_token": "wrong"}, id="a wrong token"),
        pytest.param("/webhook/whatsapp", {"hub.verify_token": ""}, id="an empty token"),
        pytest.param("/webhook/whatsapp", {"hub.verify_token": None}, id="no token"),
        pytest.param("/webhook/whatsapp", {"hub.mode": "unsubscribe"}, id="another mode"),
        pytest.param("/webhook/whatsapp", {"hub.mode": None}, id="no mode"),
        pytest.param("/webhook/whatsapp", {"hub.challenge": None}, id="no challenge"),
        pytest.param("/webhook/whatsapp", {"hub.challenge": "<script>"}, id="markup as challenge"),
        pytest.param("/webhook/whatsapp", {"hub.challenge": "1\n2"}, id="a line break in the challenge"),
        pytest.param("/webhook/whatsapp", {"hub.challenge": "9" * 257}, id="an endless challenge"),
        pytest.param("/webhook/whatsapp", {"hub.verify_token": "own-token"}, id="another app's token"),
        pytest.param("/webhook/whatsapp/own-app", {}, id="the default app's token at another"),
        pytest.param("/webhook/whatsapp/no-such-app", {}, id="an app that there is not"),
    ],
)
async def test_a_bad_handshake_is_refused_and_echoes_nothing(
    world: World, path: str, change: dict[str, str | None]
) -> None:
    query = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    answer = await world.client.get(path, params=query)
    assert answer.status_code == 403
    assert not query.get("hub.challenge") or query["hub.challenge"] not in answer.text


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in VECTORS if v["side"] == "whatsapp"])
async def test_recorded_signatures_of_meta_are_judged_over_the_raw_bytes(vector: dict[str, Any]) -> None:
    world = World()
    app = MetaApp("default", (Secret("another"), Secret(vector["secret"])), ())
    world.directory = TenantDirectory(world.source, app, Clock())
    world.intake = Intake(world.directory, world.lanes, world.arrivals, People(MemoryAliases(), Clock()), Clock())
    world.client = world.client_at("")
    answer = await world.meta(vector["body"].encode(), vector["header"])
    await world.intake.idle()
    assert answer.status_code == (200 if vector["valid"] else 403)
    assert len(world.stored) == (1 if vector["valid"] else 0)
    if not vector["valid"]:
        assert answer.json() == META_403


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in VECTORS if v["side"] == "genesys"])
async def test_recorded_signatures_of_genesys_are_judged_over_the_raw_bytes(vector: dict[str, Any]) -> None:
    world = World()
    genesys = replace(world.record.genesys, webhook_secret=Secret(vector["secret"]))
    world.source.records["acme"] = replace(world.record, genesys=genesys)
    answer = await world.genesys(vector["body"].encode(), vector["header"])
    await world.intake.idle()
    assert answer.status_code == (200 if vector["valid"] else 403)
    assert len(world.stored) == (1 if vector["valid"] else 0)
    if not vector["valid"]:
        assert answer.json() == GENESYS_403


@pytest.mark.parametrize("secret", [NEW_SECRET, OLD_SECRET])
@pytest.mark.parametrize("path", ["/webhook/whatsapp", "/webhook/meta", "/webhook/meta/", "/webhook/whatsapp/default"])
async def test_a_signed_message_is_stored_before_the_answer(world: World, secret: str, path: str) -> None:
    body = meta_body("m1")
    answer = await world.meta(body, sign_meta(body, secret), path)
    assert answer.status_code == 200
    assert world.stored == ["acme/m1"]


async def test_a_further_app_brings_messages_of_its_own_numbers_only(world: World) -> None:
    own, foreign = meta_body("m1", number="2300"), meta_body("m2")
    for body in (own, foreign):
        answer = await world.meta(body, sign_meta(body, OWN_SECRET), "/webhook/whatsapp/own-app")
        assert answer.status_code == 200
    assert world.stored == ["own/m1"]
    assert world.kept == [("unrouted", None)]


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        pytest.param("/webhook/whatsapp", OWN_SECRET, id="another app's secret"),
        pytest.param("/webhook/whatsapp/own-app", NEW_SECRET, id="the default app's secret at another"),
        pytest.param("/webhook/whatsapp/no-such-app", NEW_SECRET, id="an app that there is not"),
        pytest.param("/webhook/whatsapp", WEBHOOK_SECRET, id="a secret of Genesys"),
    ],
)
async def test_a_wrong_signature_stores_nothing(world: World, path: str, secret: str) -> None:
    body = meta_body("m1")
    answer = await world.meta(body, sign_meta(body, secret), path)
    assert (answer.status_code, answer.json()) == (403, META_403)
    assert world.stored == []
    assert world.kept == []


async def test_a_missing_signature_is_a_wrong_one(world: World) -> None:
    answer = await world.meta(meta_body("m1"), None)
    assert (answer.status_code, answer.json()) == (403, META_403)


async def test_two_signatures_are_none(world: World) -> None:
    body = meta_body("m1")
    headers = [("X-Hub-Signature-256", sign_meta(body, NEW_SECRET))] * 2
    assert (await world.client.post("/webhook/whatsapp", content=body, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"hello"', id="a text"),
        pytest.param(b"7", id="a number"),
        pytest.param(b'{"object": "page", "entry": [7]}', id="another product"),
        pytest.param(b'{"object": "whatsapp_business_account", "entry": {"a": "\\ud800"}}', id="a lone surrogate"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested deep"),
        pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", id="a huge number"),
    ],
)
async def test_signed_json_of_any_shape_is_taken(world: World, body: bytes) -> None:
    assert (await world.meta(body, sign_meta(body, NEW_SECRET))).status_code == 200


@pytest.mark.parametrize("body", [b"", b"hello", b'{"a": NaN}', b"\xff\xfe{}", b'{"object":'])
async def test_a_signed_body_that_is_not_json_is_a_bad_request(world: World, body: bytes) -> None:
    answer = await world.meta(body, sign_meta(body, NEW_SECRET))
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


async def test_an_unsigned_body_that_is_not_json_is_not_even_read(world: World) -> None:
    assert (await world.meta(b"hello", None)).status_code == 403


@pytest.mark.parametrize("path", ["/webhook/whatsapp", "/webhook/meta/own-app", "/webhook/genesys"])
@pytest.mark.parametrize("announced", [True, False], ids=["by its length", "while it comes in"])
async def test_a_body_over_four_megabytes_is_refused_before_its_signature_is_looked_at(
    world: World, path: str, announced: bool
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b" " * LONGEST_BODY
        yield b" "

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    content = b"".join(chunks()) if announced else stream()
    answer = await world.client.post(path, content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_of_exactly_four_megabytes_is_taken(world: World) -> None:
    assert LONGEST_BODY == 4_194_304
    body = meta_body("m1").ljust(LONGEST_BODY)
    assert (await world.meta(body, sign_meta(body, NEW_SECRET))).status_code == 200
    assert world.stored == ["acme/m1"]


async def test_a_body_that_does_not_arrive_in_time_gives_its_place_up(world: World) -> None:
    sent: list[dict[str, Any]] = []

    async def nothing_comes() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("something came")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/webhook/whatsapp", "headers": []}
    await Webhooks(world.directory, world.intake, body_within_s=0.01)(scope, nothing_comes, send)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (408, "REQUEST_TIMEOUT")
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/webhook/whatsapp", 405),
        ("DELETE", "/webhook/meta/own-app", 405),
        ("GET", "/webhook/genesys", 405),
        ("PATCH", "/webhook/genesys", 405),
        ("POST", "/webhook", 404),
        ("POST", "/webhook/telegram", 404),
        ("POST", "/webhook/whatsapp/Upper", 404),
        ("POST", "/webhook/whatsapp/own-app/more", 404),
        ("GET", "/webhook/genesys/own-app", 404),
        ("POST", "/webhook/whatsappx", 404),
    ],
)
async def test_other_methods_and_paths_are_refused(world: World, method: str, path: str, status: int) -> None:
    answer = await world.client.request(method, path, content=b"{}" if method == "POST" else None)
    assert answer.status_code == status
    assert answer.json()["code"] == {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}[status]


@pytest.mark.parametrize(
    ("root_path", "path"),
    [
        pytest.param("/webhook", "/webhook/whatsapp", id="the path as it came"),
        pytest.param("/webhook", "/whatsapp", id="the mount point taken off"),
        pytest.param("", "/webhook/whatsapp", id="no mount point"),
    ],
)
async def test_a_mount_point_makes_no_difference(world: World, root_path: str, path: str) -> None:
    world.client = world.client_at(root_path)
    body = meta_body("m1")
    assert (await world.meta(body, sign_meta(body, NEW_SECRET), path)).status_code == 200
    assert world.stored == ["acme/m1"]


@pytest.mark.parametrize("broken", ["broker", "strays"])
async def test_what_cannot_be_stored_is_to_be_repeated_and_then_recognised(world: World, broken: str) -> None:
    body = meta_body("m1") if broken == "broker" else meta_body("m1", number="9999")
    world.lanes.refuses = lambda envelope: broken == "broker"
    world.arrivals.away = broken == "strays"
    answer = await world.meta(body, sign_meta(body, NEW_SECRET))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == "UNAVAILABLE"
    world.lanes.refuses = lambda envelope: False
    world.arrivals.away = False
    assert (await world.meta(body, sign_meta(body, NEW_SECRET))).status_code == 200


async def test_an_integration_that_only_postgres_could_tell_is_to_be_repeated(world: World) -> None:
    world.source.away = True
    body = genesys_body("unknown")
    answer = await world.genesys(body, sign_genesys(body, WEBHOOK_SECRET))
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    known = genesys_body()
    assert (await world.genesys(known, sign_genesys(known, WEBHOOK_SECRET))).status_code == 200


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("sha256=", id="without a value"),
        pytest.param(sign_meta(b"hello", WEBHOOK_SECRET), id="in Meta's form"),
        pytest.param(sign_genesys(b"hello", WEBHOOK_SECRET)[:-1], id="without padding"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"hello", genesys_body("unknown"), genesys_body()], ids=["no JSON", "unknown", "ours"]
)
async def test_a_malformed_signature_of_genesys_is_refused_before_anything_else(
    world: World, body: bytes, signature: str | None
) -> None:
    answer = await world.genesys(body, signature)
    assert (answer.status_code, answer.json()) == (403, GENESYS_403)
    assert world.kept == []


@pytest.mark.parametrize("body", [b"", b"hello", b'{"a": "\xff"}', b'{"a": Infinity}'])
async def test_a_body_of_genesys_that_is_not_json_is_a_bad_request_before_it_is_anybodys(
    world: World, body: bytes
) -> None:
    answer = await world.genesys(body, sign_genesys(body, "whatever"))
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(genesys_body("unknown"), id="an unknown integration"),
        pytest.param(genesys_body(None), id="no integration"),
        pytest.param(genesys_body({"x": 1}), id="an object as integration"),
        pytest.param(genesys_body("x" * 100_000), id="an endless integration"),
        pytest.param(genesys_body("a\x00b"), id="NUL in it"),
        pytest.param(genesys_body(channel=None), id="no channel"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"7", id="a number"),
        pytest.param(b"[" * 5_000 + b"]" * 5_000, id="nested deep"),
    ],
)
async def test_what_belongs_to_no_integration_is_kept_whoever_signed_it(world: World, body: bytes) -> None:
    answer = await world.genesys(body, sign_genesys(body, "nobody knows"))
    assert answer.status_code == 200
    assert world.kept == [("unrouted", None)]
    assert world.stored == []


async def test_too_much_of_it_is_to_be_repeated_later(world: World) -> None:
    world.arrivals.kept_before = (1_000_000, 0)
    body = genesys_body("unknown")
    answer = await world.genesys(body, sign_genesys(body, "x"))
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_another_tenants_signature_is_wrong(world: World) -> None:
    body = genesys_body()
    answer = await world.genesys(body, sign_genesys(body, "another tenant's secret"))
    assert (answer.status_code, answer.json()) == (403, GENESYS_403)
    assert world.stored == []
    assert world.kept == []


@pytest.mark.parametrize(
    "channel",
    [
        pytest.param({"id": INTEGRATION, "from": {"id": "another"}}, id="channel.id first"),
        pytest.param({"from": {"id": INTEGRATION}}, id="else channel.from.id"),
        pytest.param({"id": "", "from": {"id": INTEGRATION}}, id="an empty channel.id is none"),
    ],
)
async def test_the_integration_is_read_once_and_decides_secret_and_tenant(
    world: World, channel: dict[str, Any]
) -> None:
    body = genesys_body(channel={**channel, "to": {"id": "4477"}})
    answer = await world.genesys(body, sign_genesys(body, WEBHOOK_SECRET))
    assert answer.status_code == 200
    assert world.stored == ["acme/g1"]


async def test_a_client_that_hangs_up_stores_nothing(world: World) -> None:
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": meta_body("m1"), "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/webhook/whatsapp", "headers": [], "query_string": b""}
    await Webhooks(world.directory, world.intake)(scope, receive, send)
    assert sent[0]["status"] == 400
    assert world.stored == []


async def test_no_secret_and_no_text_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    body = meta_body("m1")
    await world.meta(body, sign_meta(body, "wrong"))
    await world.client.get("/webhook/whatsapp", params={**GOOD, "hub.verify_token": "guess-of-a-token"})
    logged = repr([vars(record) for record in caplog.records])
    assert "webhook.signature_refused" in logged
    assert "webhook.handshake_refused" in logged
    assert not any(word in logged for word in (NEW_SECRET, OLD_SECRET, "new-token", "guess-of-a-token", "4477"))
