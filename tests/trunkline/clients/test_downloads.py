"""Downloads: to public addresses and the clouds' own hosts only, through every redirect, and what trouble means."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from typing import Any

import pytest
from aiohttp import web

from tests.trunkline.clients.conftest import IDLE_S
from tests.trunkline.clients.file_server import FileServer
from trunkline.clients.addresses import authority
from trunkline.clients.downloads import REDIRECTS_LIMIT, Downloads
from trunkline.errors import Rejected, Unavailable

MIB = 2**20


async def load(downloads: Downloads, url: str, token: str | None = None) -> tuple[int, bytes]:
    async with downloads.get(url, lambda _: token) as download:
        return download.status, await download.read(MIB)


async def test_a_clouds_own_host_may_be_on_loopback(own: FileServer, downloads: Downloads) -> None:
    own.answer("/file", body=b"bytes")
    assert await load(downloads, f"{own.url}/file") == (200, b"bytes")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/file",
        "https://user:password@example.com/file",
        "https://127.0.0.1/file",
        "https://127.1/file",
        "https://2130706433/file",
        "https://0x7f.1/file",
        "https://0/file",
        "https://[::1]/file",
        "https://[::ffff:127.0.0.1]/file",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/file",
    ],
)
async def test_no_link_leads_inside(downloads: Downloads, url: str) -> None:
    with pytest.raises(Rejected) as refused:
        await load(downloads, url)
    assert (refused.value.reason, refused.value.code) == ("media_unavailable", "GeneralError")
    assert url not in str(refused.value)


async def test_a_name_is_judged_by_the_address_that_is_connected_to(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lead_inside(host: Any, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("10.0.0.7", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lead_inside)
    with pytest.raises(Rejected, match="not public"):
        await load(downloads, "https://files.example.com/file")


async def test_another_port_or_address_of_this_machine_is_not_the_clouds_own(
    other: FileServer, downloads: Downloads
) -> None:
    for url in (other.url, other.url.replace("http:", "https:")):
        with pytest.raises(Rejected):
            await load(downloads, f"{url}/file")
    assert other.asked == []


async def test_a_redirect_is_followed_as_far_as_its_target_may_be(
    own: FileServer, other: FileServer, downloads: Downloads
) -> None:
    own.answer("/deep/file", body=b"bytes")
    own.redirect("/deep/moved", "file")
    assert await load(downloads, f"{own.url}/deep/moved") == (200, b"bytes")
    targets = [
        f"{other.url}/file",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "http://[::1",
        "https://a:b@example.com/",
    ]
    for number, target in enumerate(targets):
        own.redirect(f"/{number}", target)
        with pytest.raises(Rejected):
            await load(downloads, f"{own.url}/{number}")
    assert other.asked == []


async def test_redirects_come_to_an_end(own: FileServer, downloads: Downloads) -> None:
    own.redirect("/round", "/round")
    with pytest.raises(Rejected):
        await load(downloads, f"{own.url}/round")
    assert len(own.asked) == REDIRECTS_LIMIT + 1


async def test_each_place_on_the_way_gets_the_token_that_it_may_have(own: FileServer, other: FileServer) -> None:
    downloads = Downloads([own.url, other.url], IDLE_S)
    other.answer("/file", body=b"bytes")
    own.redirect("/moved", f"{other.url}/file")
    place = authority(own.url)
    async with downloads.get(f"{own.url}/moved", lambda where: "secret" if where == place else None):
        pass
    assert (own.asked, other.asked) == ([("/moved", "secret")], [("/file", None)])
    await downloads.close()


async def test_proxies_of_the_environment_are_not_asked(
    own: FileServer, other: FileServer, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    own.answer("/file", body=b"bytes")
    assert await load(downloads, f"{own.url}/file") == (200, b"bytes")
    assert other.asked == []


async def test_we_say_who_we_are_and_take_a_body_that_is_packed_nevertheless(
    own: FileServer, downloads: Downloads
) -> None:
    seen: list[str] = []

    async def pack(request: web.Request) -> web.Response:
        seen.extend(request.headers[name] for name in ("User-Agent", "Accept-Encoding"))
        return web.Response(body=gzip.compress(b"bytes"), headers={"Content-Encoding": "gzip"})

    own.paths["/file"] = pack
    assert await load(downloads, f"{own.url}/file") == (200, b"bytes")
    assert seen == ["Trunkline", "identity"]


async def test_a_body_that_breaks_off_may_come_whole_another_time(own: FileServer, downloads: Downloads) -> None:
    own.stream("/file", 10 * MIB, breaks_at=MIB)
    with pytest.raises(Unavailable):
        async with downloads.get(f"{own.url}/file") as download:
            async for _ in download.chunks():
                pass


async def test_a_body_may_take_long_but_not_stand_still(own: FileServer, downloads: Downloads) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(6):
            await response.write(b"x")
            await asyncio.sleep(IDLE_S / 4)
        if request.path == "/still":
            await asyncio.sleep(IDLE_S * 30)
        return response

    own.paths["/slow"] = own.paths["/still"] = drip
    assert await load(downloads, f"{own.url}/slow") == (200, b"x" * 6)
    with pytest.raises(Unavailable, match="Timeout"):
        await load(downloads, f"{own.url}/still")


async def test_a_host_that_does_not_listen_may_be_there_another_time() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    downloads = Downloads([url], IDLE_S)
    with pytest.raises(Unavailable):
        await load(downloads, f"{url}/file")
    await downloads.close()


async def test_a_link_is_told_to_nobody(
    own: FileServer, downloads: Downloads, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    own.stream("/secret-path", 10 * MIB, breaks_at=MIB)
    with pytest.raises(Unavailable) as broken:
        async with downloads.get(f"{own.url}/secret-path", lambda _: "secret-token") as download:
            async for _ in download.chunks():
                pass
    assert broken.value.__cause__ is None
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # that is the server
    assert "secret" not in f"{broken.value!r}{ours}"


async def test_only_the_beginning_of_a_long_answer_is_read(own: FileServer, downloads: Downloads) -> None:
    own.stream("/file", 10 * MIB)
    async with downloads.get(f"{own.url}/file") as download:
        assert len(await download.read(1000)) == 1000
