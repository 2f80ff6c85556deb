"""The HTTP server, over real connections on loopback."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from sandbox.connection import BODY_LIMIT
from sandbox.server import listen
from sandbox.webhooks import NO_ANSWER, HttpPost
from tests.sandbox.world import ACCOUNT, World, fixture

TEXT: dict[str, Any] = fixture("wa_send_ok")["request"]["body"]
PATH = f"/graph/v25.0/{ACCOUNT['phoneNumberId']}/messages"
HEADERS = {"Authorization": f"Bearer {ACCOUNT['accessToken']}"}


async def talk(address: tuple[str, int], raw: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    """Write bytes as they are and read so many answers."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(raw)
    found = []
    async with asyncio.timeout(5):
        for _ in range(answers):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            found.append((int(head.split()[1]), await reader.readexactly(length)))
    writer.close()
    await writer.wait_closed()
    return found


async def test_a_connection_serves_many_calls(http: aiohttp.ClientSession, world: World) -> None:
    for _ in range(3):
        async with http.post(PATH, json=TEXT, headers=HEADERS) as answer:
            assert answer.status == 200
            assert (await answer.json())["messages"]

    assert world.sandbox.parts.log.counts["graph_send:200"] == 3


async def test_a_lost_answer_is_a_closed_connection(http: aiohttp.ClientSession, world: World) -> None:
    await world.faults(lost_answer_rate=1)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await http.post(PATH, json=TEXT, headers=HEADERS)

    assert world.sandbox.parts.log.counts["graph_send:lost"] == 1


async def test_a_hanging_call_ends_when_the_caller_gives_up(http: aiohttp.ClientSession, world: World) -> None:
    await world.faults(hang=True)

    with pytest.raises(TimeoutError):
        await http.post(PATH, json=TEXT, headers=HEADERS, timeout=aiohttp.ClientTimeout(total=0.05))

    await world.faults(clear=True)
    async with http.post(PATH, json=TEXT, headers=HEADERS) as answer:
        assert answer.status == 200


async def test_pipelined_requests_are_answered_in_order(address: tuple[str, int]) -> None:
    paths = ["/sandbox/health", "/", "/nowhere", "/sandbox/stats"] * 10
    raw = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths).encode()

    answers = await talk(address, raw, len(paths))

    assert [status for status, _ in answers] == [200, 200, 404, 200] * 10


async def test_a_chunked_body_is_put_together(address: tuple[str, int], world: World) -> None:
    body = json.dumps({"latency_ms": 1}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    raw = b"POST /sandbox/faults HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks

    (status, answer), *_ = await talk(address, raw)

    assert (status, json.loads(answer)) == (200, {"faults": [{"latency_ms": 1}]})


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="not HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431, id="head too large"),
        pytest.param(
            b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (BODY_LIMIT + 1) + b"x" * (BODY_LIMIT + 1),
            413,
            id="body too large",
        ),
    ],
)
async def test_what_cannot_be_served_is_refused(address: tuple[str, int], raw: bytes, status: int) -> None:
    answers = await talk(address, raw)

    assert answers[0][0] == status


async def test_a_port_in_use_is_noticed(address: tuple[str, int]) -> None:
    with pytest.raises(OSError, match="in use"):
        listen(*address)


async def test_a_router_that_is_away_is_no_answer(address: tuple[str, int]) -> None:
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    bound.close()
    away, here = HttpPost(f"http://127.0.0.1:{port}"), HttpPost(f"http://{address[0]}:{address[1]}/")

    assert await away("/webhook/whatsapp", {}, b"{}") == NO_ANSWER
    assert await away.get("/webhook/whatsapp", {}) == (NO_ANSWER, "")
    assert await here("/nowhere", {}, b"{}") == 404
    assert (await here.get("/sandbox/health", {}))[0] == 200

    await away.close()
    await here.close()
