"""Genesys Cloud fetches attachments of customers, and takes answers to structured messages."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from sandbox import fetches
from sandbox.fetches import Fetched, HttpFetch
from tests.sandbox.world import ACCOUNT, CUSTOMER, World, fixture, until

MESSAGE: dict[str, Any] = fixture("gen_inbound_message_ok")["request"]["body"]
FILE = {"mediaType": "Image", "url": "https://trunkline.example/media/t", "mime": "image/jpeg", "filename": "a.jpg"}
ANSWER: dict[str, Any] = {
    "channel": {
        "messageId": "wamid.tap",
        "from": {"id": CUSTOMER, "idType": "Phone"},
        "time": "2026-11-23T12:00:00.000Z",
    },
    "buttonResponse": {"type": "QuickReply", "text": "Yes", "payload": "yes"},
    "originatingMessageId": "",
}


def with_files(*files: dict[str, Any]) -> dict[str, Any]:
    return {**MESSAGE, "content": [{"contentType": "Attachment", "attachment": file} for file in files]}


async def test_an_attachment_is_fetched_after_the_answer_and_shown_with_what_came(world: World) -> None:
    answer = await world.inbound(with_files(FILE), await world.bearer())
    assert answer.status == 200
    assert not world.fetched
    await until(lambda: world.sandbox.parts.log.counts["genesys_fetch:200"] == 1)

    (shown,) = (await world.conversation())["desktop"]
    assert world.fetched == [FILE["url"]]
    assert (shown["text"], shown["body"]["content"][0]["attachment"]) == (MESSAGE["text"], FILE)
    assert shown["files"] == [{**FILE, "fetched": world.fetches.as_json()}]
    (event,) = (await world.ask("GET", f"/sandbox/events?kind=genesys_fetch&id={shown['id']}")).json["events"]
    assert (event["ref"], event["text"]) == (answer.json["id"], world.fetches.sha256)
    assert event["id"] == MESSAGE["channel"]["messageId"]
    assert not world.router.posts


async def test_a_link_is_not_fetched(world: World) -> None:
    await world.faults(agent_receipts=True)

    await world.inbound(with_files({**FILE, "mediaType": "Link"}), await world.bearer())
    await until(lambda: len(world.router.posts) == 1)

    assert not world.fetched
    assert world.router.bodies[0]["status"] == "Published"


@pytest.mark.parametrize(
    ("problem", "reason"), [("larger than 25 MB", "InvalidMediaContentLength"), ("HTTP 404", "GeneralError")]
)
async def test_a_file_that_cannot_be_had_is_a_failed_receipt(world: World, problem: str, reason: str) -> None:
    await world.faults(agent_receipts=True)
    world.fetches = Fetched(404, problem=problem, reason=reason)

    answer = await world.inbound(with_files(FILE), await world.bearer())
    await until(lambda: len(world.router.posts) == 1)

    receipt = world.router.bodies[0]
    assert (receipt["type"], receipt["status"], receipt["id"]) == ("Receipt", "Failed", answer.json["id"])
    assert receipt["channel"]["messageId"] == MESSAGE["channel"]["messageId"]
    assert receipt["reasons"] == [{"code": reason, "message": f"The attachment is {problem}"}]


@pytest.mark.parametrize("missing", ["mediaType", "url", "mime"])
async def test_an_attachment_without_what_its_model_requires_is_refused(world: World, missing: str) -> None:
    file = {name: value for name, value in FILE.items() if name != missing}

    answer = await world.inbound(with_files(file), await world.bearer())

    assert (answer.status, answer.json["code"]) == (400, "bad.request")
    assert not world.fetched


async def tap(world: World, **changes: Any) -> Any:
    sent = await world.agent("quick_replies")
    return await world.inbound(
        {**copy.deepcopy(ANSWER), "originatingMessageId": sent["id"], **changes},
        await world.bearer(),
        "structured/response",
    )


async def test_an_answer_to_a_structured_message_is_shown_at_the_desktop(world: World) -> None:
    answer = await tap(world)

    shown = (await world.conversation())["desktop"][-1]
    assert answer.status == 200
    assert (shown["author"], shown["kind"], shown["text"]) == ("customer", "structured_response", "Yes")
    assert shown["body"]["buttonResponse"] == ANSWER["buttonResponse"]
    (event,) = (await world.ask("GET", "/sandbox/events?kind=genesys_response")).json["events"]
    assert (event["id"], event["conversation"]) == (
        "wamid.tap",
        f"{ACCOUNT['genesys']['integrationId']}|{CUSTOMER}",
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"originatingMessageId": "made-up"}, id="answer to nothing"),
        pytest.param({"originatingMessageId": None}, id="no originating message"),
        pytest.param({"buttonResponse": None}, id="no response"),
        pytest.param({"buttonResponse": {"type": "ListPicker", "text": "a", "payload": "b"}}, id="unknown type"),
        pytest.param({"buttonResponse": {"type": "Button", "text": "a"}}, id="no payload"),
        pytest.param({"channel": {}}, id="empty channel"),
    ],
)
async def test_a_wrong_answer_to_a_structured_message_is_refused(world: World, changes: dict[str, Any]) -> None:
    answer = await tap(world, **changes)

    assert (answer.status, answer.json["code"]) == (400, "bad.request")


# --- over HTTP ---

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def fetch() -> AsyncIterator[HttpFetch]:
    made = HttpFetch()
    yield made
    await made.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Serve], Awaitable[str]]]:
    """Starts a server that answers as told; its URL."""
    runners = []

    async def start(handler: Serve) -> str:
        app = web.Application()
        app.router.add_get("/file", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/file"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_a_file_is_read_to_its_end_without_credentials(
    fetch: HttpFetch, serve: Callable[[Serve], Awaitable[str]]
) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        headers = {"Content-Disposition": 'attachment; filename="a.txt"'}
        return web.Response(body=b"abc", content_type="text/plain", headers=headers)

    found = await fetch(await serve(handler))

    assert (found.status, found.size, found.content_length, found.problem) == (200, 3, 3, "")
    assert (found.content_type, found.disposition) == ("text/plain", 'attachment; filename="a.txt"')
    assert found.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert "Authorization" not in seen[0].headers


async def test_a_file_over_the_limit_is_left_in_the_middle(
    fetch: HttpFetch, serve: Callable[[Serve], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "LARGEST", 1000)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bytes(1001))

    found = await fetch(await serve(handler))

    assert (found.problem, found.reason, found.sha256) == ("larger than 25 MB", "InvalidMediaContentLength", "")


@pytest.mark.parametrize("status", [302, 403, 500])
async def test_anything_but_a_plain_yes_is_a_problem(
    fetch: HttpFetch, serve: Callable[[Serve], Awaitable[str]], status: int
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/login"})

    found = await fetch(await serve(handler))

    assert (found.status, found.problem, found.reason) == (status, f"HTTP {status}", "GeneralError")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "nonsense", "http://[/"])
async def test_no_answer_is_a_problem_too(fetch: HttpFetch, url: str) -> None:
    found = await fetch(url)

    assert (found.status, found.reason) == (0, "GeneralError")
    assert found.problem.startswith("no answer")
