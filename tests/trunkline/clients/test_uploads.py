"""Uploads: a form with a file in it, and what trouble on the way means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import BodyPartReader, web

from tests.trunkline.clients.file_server import FileServer
from trunkline.clients.uploads import FileForm, Uploads
from trunkline.errors import Unavailable

IDLE_S = 0.5
CONTENT = bytes(range(256)) * 5000


@pytest.fixture
async def uploads() -> AsyncIterator[Uploads]:
    made = Uploads(IDLE_S)
    yield made
    await made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def form(path: Path, filename: str = "offer.pdf") -> FileForm:
    return FileForm({"messaging_product": "whatsapp", "type": "application/pdf"}, path, "application/pdf", filename)


@pytest.mark.parametrize(
    ("filename", "named"),
    [
        ("offer.pdf", "offer.pdf"),
        ("Angebot für Zoë 🙂.pdf", "Angebot für Zoë 🙂.pdf"),
        ('a"; name="type"\r\nX-Evil: 1\\.pdf', "a_; name=_type___X-Evil: 1_.pdf"),
    ],
)
async def test_the_form_arrives_member_by_member_with_its_length_told(
    own: FileServer, uploads: Uploads, file: Path, filename: str, named: str
) -> None:
    seen: list[tuple[str | None, str | None, str | None, bytes]] = []
    headers: dict[str, str] = {}

    async def take(request: web.Request) -> web.Response:
        headers.update(request.headers)
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            seen.append((part.name, part.filename, part.headers.get("Content-Type"), bytes(await part.read())))
        return web.json_response({"id": "m-1"})

    own.paths["/2100/media"] = take
    answer = await uploads.post(f"{own.url}/2100/media", "EAAG", form(file, filename))
    assert (answer.status, answer.body) == (200, b'{"id": "m-1"}')
    assert seen == [
        ("messaging_product", None, None, b"whatsapp"),
        ("type", None, None, b"application/pdf"),
        ("file", named, "application/pdf", CONTENT),
    ]
    assert "Transfer-Encoding" not in headers
    assert int(headers["Content-Length"]) > len(CONTENT)
    assert (headers["User-Agent"], headers["Authorization"]) == ("Trunkline", "Bearer EAAG")


async def test_an_answer_before_the_end_is_an_answer(own: FileServer, uploads: Uploads, file: Path) -> None:
    own.answer("/media", 401, {"error": {"code": 190}})
    assert (await uploads.post(f"{own.url}/media", "EAAG", form(file))).status == 401


async def test_a_redirect_takes_neither_the_file_nor_the_token_elsewhere(
    own: FileServer, other: FileServer, uploads: Uploads, file: Path
) -> None:
    own.redirect("/media", f"{other.url}/media")
    assert (await uploads.post(f"{own.url}/media", "EAAG", form(file))).status == 302
    assert other.asked == []


async def test_an_upload_may_take_long_but_not_stand_still(own: FileServer, uploads: Uploads, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)

    async def take(request: web.Request) -> web.Response:
        began = time.monotonic()
        while await request.content.read(2**20):
            # Until the large buffers of loopback have been emptied many times over, longer than the idle time.
            if request.path == "/still" or time.monotonic() - began < 3 * IDLE_S:
                await asyncio.sleep(100 * IDLE_S if request.path == "/still" else IDLE_S / 10)
        return web.json_response({"took_s": time.monotonic() - began})

    own.paths["/slow"] = own.paths["/still"] = take
    began = time.monotonic()
    assert (await uploads.post(f"{own.url}/slow", "EAAG", form(large))).status == 200
    assert time.monotonic() - began > 2 * IDLE_S
    with pytest.raises(Unavailable, match="TimeoutError"):
        await uploads.post(f"{own.url}/still", "EAAG", form(large))


async def test_what_breaks_off_may_pass_another_time(own: FileServer, uploads: Uploads, file: Path) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    own.paths["/media"] = hang_up
    with pytest.raises(Unavailable) as broken:
        await uploads.post(f"{own.url}/media", "EAAG", form(file))
    assert broken.value.__cause__ is None
    with pytest.raises(Unavailable):
        await uploads.post("http://127.0.0.1:9/media", "EAAG", form(file))


async def test_a_file_that_is_gone_is_not_uploaded(own: FileServer, uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await uploads.post(f"{own.url}/media", "EAAG", form(tmp_path / "nothing"))
    assert own.asked == []
