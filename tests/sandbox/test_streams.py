"""Large bodies over real connections."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from typing import Any

import aiohttp
import pytest

from sandbox.files import PIECE
from tests.sandbox.world import ACCOUNT, World, until

SIZE = 40 * PIECE + 123
NUMBER = ACCOUNT["phoneNumberId"]
HEADERS = {"Authorization": f"Bearer {ACCOUNT['accessToken']}"}


async def linked(world: World, http: aiohttp.ClientSession, size: int = SIZE) -> tuple[str, str]:
    """The path of a link to a file, and its hash."""
    file: dict[str, Any] = (await world.customer("document", content={"size": size}))["files"][0]
    async with http.get(f"/graph/v25.0/{file['mediaId']}", headers=HEADERS) as answer:
        link: str = (await answer.json())["url"]
    return "/graph-media/" + link.rpartition("/")[2], file["sha256"]


async def test_a_file_arrives_whole_and_the_connection_goes_on(world: World, http: aiohttp.ClientSession) -> None:
    link, sha256 = await linked(world, http)

    for _ in range(2):
        async with http.get(link, headers=HEADERS) as answer:
            assert (answer.content_type, answer.content_length) == ("application/pdf", SIZE)
            assert hashlib.sha256(await answer.read()).hexdigest() == sha256


async def test_a_file_of_a_slow_reader_waits(
    world: World, address: tuple[str, int], http: aiohttp.ClientSession
) -> None:
    link, sha256 = await linked(world, http, 200 * PIECE)
    reader, writer = await asyncio.open_connection(*address, limit=PIECE)
    writer.write(f"GET {link} HTTP/1.1\r\nHost: x\r\nAuthorization: {HEADERS['Authorization']}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")

    async with http.get("/sandbox/health") as answer:  # others are served meanwhile
        assert answer.status == 200
    digest, left = hashlib.sha256(), 200 * PIECE
    while left:
        piece = await reader.read(min(PIECE, left))
        digest.update(piece)
        left -= len(piece)

    assert digest.hexdigest() == sha256
    writer.close()
    await writer.wait_closed()


async def test_a_file_may_break_off_in_the_middle(world: World, http: aiohttp.ClientSession) -> None:
    link, _ = await linked(world, http)
    await world.faults(kind="graph_download", cut_body=True)

    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.get(link, headers=HEADERS) as answer:
            assert (answer.status, answer.content_length) == (200, SIZE)
            await answer.read()


async def test_a_file_may_come_slowly(world: World, http: aiohttp.ClientSession) -> None:
    link, sha256 = await linked(world, http, 3000)
    await world.faults(kind="graph_download", bytes_per_s=10_000)
    started = time.monotonic()

    async with http.get(link, headers=HEADERS) as answer:
        assert hashlib.sha256(await answer.read()).hexdigest() == sha256

    assert time.monotonic() - started >= 0.3


async def test_a_reader_that_leaves_is_forgotten(
    world: World, address: tuple[str, int], http: aiohttp.ClientSession
) -> None:
    link, _ = await linked(world, http, 2000 * PIECE)
    async with aiohttp.ClientSession(f"http://{address[0]}:{address[1]}") as leaving:
        answer = await leaving.get(link, headers=HEADERS)
        await answer.content.readany()
        answer.close()

    async with http.get("/sandbox/health") as healthy:
        assert healthy.status == 200


async def test_an_upload_larger_than_any_json_is_taken(world: World, http: aiohttp.ClientSession) -> None:
    data = bytes(range(256)) * 20_000
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "video/mp4"})
    form.add_field("file", io.BytesIO(data), filename="ä.mp4", content_type="video/mp4")

    async with http.post(f"/graph/v25.0/{NUMBER}/media", data=form, headers=HEADERS) as answer:
        id = (await answer.json())["id"]

    media = world.sandbox.parts.library.find(id)
    assert media is not None
    assert (media.mime, media.content.sha256) == ("video/mp4", hashlib.sha256(data).hexdigest())


async def test_an_upload_that_breaks_off_leaves_no_file(world: World, address: tuple[str, int]) -> None:
    _, writer = await asyncio.open_connection(*address)
    head = f"POST /graph/v25.0/{NUMBER}/media HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
    part = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + "x" * 5000
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n{part}".encode())
    await writer.drain()
    await until(lambda: world.files == 1)

    writer.close()
    await writer.wait_closed()

    await until(lambda: world.files == 0)


async def test_an_upload_whose_answer_is_lost_is_kept_all_the_same(world: World, http: aiohttp.ClientSession) -> None:
    await world.faults(kind="graph_upload", lost_answer_rate=1)
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/png"})
    form.add_field("file", b"abc", filename="a.png")

    with pytest.raises(aiohttp.ClientConnectionError):
        await http.post(f"/graph/v25.0/{NUMBER}/media", data=form, headers=HEADERS)

    (event,) = (await world.ask("GET", "/sandbox/events?kind=graph_upload")).json["events"]
    assert event["lost"]
    assert world.sandbox.parts.library.find(event["id"]) is not None
