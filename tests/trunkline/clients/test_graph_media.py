"""WhatsApp's files: what is asked of the Graph API, of whom the token is kept, and what each answer means."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.trunkline.clients.file_server import FileServer
from trunkline.clients import graph_media
from trunkline.clients.downloads import Downloads
from trunkline.clients.graph_media import GraphMedia, MediaFacts, hex_digest
from trunkline.clients.uploads import Uploads
from trunkline.errors import CredentialsRefused, Rejected, Throttled, TrunklineError, Unavailable
from trunkline.tenancy.tenant import WhatsAppAccess

ACCESS = WhatsAppAccess("2100", "EAAG")
CONTENT = b"%PDF-1.7 and so on" * 1000
DIGEST = hashlib.sha256(CONTENT).digest()
LIMIT = 10**6
LOOKED_UP = "/v25.0/m-1"
EXPIRED = {"error": {"message": "Error validating access token", "type": "OAuthException", "code": 190}}
UNKNOWN = {"error": {"message": "Unsupported get request", "type": "GraphMethodException", "code": 100}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_media, "PAUSES_S", (0.01, 0.01))


@pytest.fixture
async def graph(own: FileServer, downloads: Downloads) -> AsyncIterator[GraphMedia]:
    uploads = Uploads(1.0)
    yield GraphMedia(downloads, uploads, f"{own.url}/v25.0")
    await uploads.close()


def found(server: FileServer, **told: Any) -> None:
    """The file is looked up with success, and lies behind its link."""
    facts = {"mime_type": "application/pdf", "sha256": DIGEST.hex(), "file_size": str(len(CONTENT)), **told}
    server.answer(LOOKED_UP, body={"messaging_product": "whatsapp", "url": f"{server.url}/link", "id": "m-1", **facts})
    server.answer("/link", body=CONTENT)


async def fetch(graph: GraphMedia, limit: int = LIMIT, media_id: str = "m-1") -> tuple[MediaFacts, bytes]:
    taken: list[bytes] = []

    async def sink(chunk: bytes) -> None:
        taken.append(chunk)

    facts = await graph.fetch(ACCESS, "2100", media_id, sink, limit)
    return facts, b"".join(taken)


async def test_a_file_is_looked_up_for_its_number_and_loaded_with_the_same_token(
    own: FileServer, graph: GraphMedia
) -> None:
    found(own)
    queries: list[str] = []
    look_up = own.paths[LOOKED_UP]

    async def note(request: web.Request) -> web.StreamResponse:
        queries.append(request.query_string)
        return await look_up(request)

    own.paths[LOOKED_UP] = note
    assert await fetch(graph) == (MediaFacts("application/pdf", len(CONTENT), DIGEST.hex()), CONTENT)
    assert own.asked == [(LOOKED_UP, "EAAG"), ("/link", "EAAG")]
    assert queries == ["phone_number_id=2100"]


@pytest.mark.parametrize("size", [len(CONTENT), float(len(CONTENT)), str(len(CONTENT)), None, "many", -1, True])
async def test_a_size_is_read_in_any_form(own: FileServer, graph: GraphMedia, size: Any) -> None:
    found(own, file_size=size)
    facts, content = await fetch(graph)
    assert content == CONTENT
    assert facts.size == (len(CONTENT) if size not in (None, "many", -1, True) else None)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param(DIGEST.hex(), DIGEST.hex(), id="hexadecimal"),
        pytest.param(DIGEST.hex().upper(), DIGEST.hex(), id="in capitals"),
        pytest.param(base64.b64encode(DIGEST).decode(), DIGEST.hex(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(DIGEST).decode().rstrip("="), DIGEST.hex(), id="of urls, not padded"),
        pytest.param("deadbeef", None, id="too short"),
        pytest.param("né", None, id="neither"),
        pytest.param(None, None, id="absent"),
        pytest.param(17, None, id="a number"),
    ],
)
def test_a_hash_is_read_in_any_form(written: Any, read: str | None) -> None:
    assert hex_digest(written) == read


async def test_a_link_that_has_died_is_looked_up_again(own: FileServer, graph: GraphMedia) -> None:
    found(own)
    alive, answers = own.paths["/link"], [404, 410]

    async def die_twice(request: web.Request) -> web.StreamResponse:
        return web.Response(status=answers.pop(0)) if answers else await alive(request)

    own.paths["/link"] = die_twice
    assert (await fetch(graph))[1] == CONTENT
    assert [path for path, _ in own.asked] == [LOOKED_UP, "/link"] * 3


@pytest.mark.parametrize(("dead", "asked"), [(LOOKED_UP, [LOOKED_UP] * 3), ("/link", [LOOKED_UP, "/link"] * 3)])
async def test_a_file_that_stays_away_is_looked_up_three_times(
    own: FileServer, graph: GraphMedia, dead: str, asked: list[str]
) -> None:
    found(own)
    own.answer(dead, 404)
    with pytest.raises(Rejected) as gone:
        await fetch(graph)
    assert (gone.value.reason, gone.value.code) == ("media_unavailable", "404")
    assert [path for path, _ in own.asked] == asked


@pytest.mark.parametrize(
    ("gone_first", "error"),
    [pytest.param(True, Rejected, id="gone, then slow"), pytest.param(False, Unavailable, id="slow from the start")],
)
async def test_looking_up_takes_so_long_and_no_longer(
    own: FileServer, graph: GraphMedia, monkeypatch: pytest.MonkeyPatch, gone_first: bool, error: type[Exception]
) -> None:
    monkeypatch.setattr(graph_media, "FOUND_WITHIN_S", 0.3)

    async def think(request: web.Request) -> web.StreamResponse:
        if not gone_first or len(own.asked) > 1:
            await asyncio.sleep(30)
        return web.Response(status=404)

    own.paths[LOOKED_UP] = think
    with pytest.raises(error):
        await fetch(graph)


@pytest.mark.parametrize(
    "host",
    [
        "files.example.com", "fbsbx.com.example.com", "lookasidefbsbx.com", "evil-facebook.com", "whatsapp.net.a.org",
        "lookaside.fbsbx.com.", "lookaside.fbsbx.com:8443", "127.0.0.1",
    ],
)  # fmt: skip
async def test_a_link_to_a_host_that_is_not_metas_is_not_followed(
    own: FileServer, graph: GraphMedia, host: str
) -> None:
    found(own, url=f"https://{host}/link")
    with pytest.raises(Rejected, match="not Meta's"):
        await fetch(graph)
    assert own.asked == [(LOOKED_UP, "EAAG")]


@pytest.mark.parametrize("host", ["lookaside.fbsbx.com", "graph.facebook.com", "mmg.cdn.whatsapp.net"])
def test_metas_hosts_get_the_token_over_tls_only(graph: GraphMedia, host: str) -> None:
    bearer_of = graph._bearer_of(ACCESS)
    assert bearer_of(f"https://{host}:443") == "EAAG"
    assert [bearer_of(place) for place in (f"http://{host}:80", f"http://{host}:443", f"https://{host}:8443")] == [
        None
    ] * 3


async def test_a_redirect_to_somebody_else_takes_no_token_along(own: FileServer, other: FileServer) -> None:
    downloads, uploads = Downloads([own.url, other.url], 1.0), Uploads(1.0)
    found(own)
    own.redirect("/link", f"{other.url}/file")
    other.answer("/file", body=CONTENT)
    assert (await fetch(GraphMedia(downloads, uploads, f"{own.url}/v25.0")))[1] == CONTENT
    assert other.asked == [("/file", None)]
    await downloads.close()
    await uploads.close()


@pytest.mark.parametrize(
    ("status", "body", "error", "reason"),
    [
        pytest.param(401, EXPIRED, CredentialsRefused, None, id="the token has expired"),
        pytest.param(400, EXPIRED, CredentialsRefused, None, id="by its code, whatever the status"),
        pytest.param(400, UNKNOWN, Rejected, "media_unavailable", id="no such file"),
        pytest.param(403, b"", Rejected, "media_unavailable", id="forbidden"),
        pytest.param(429, b"", Throttled, None, id="too many"),
        pytest.param(400, {"error": {"code": 80007}}, Throttled, None, id="too many, by its code"),
        pytest.param(503, b"<html>", Unavailable, None, id="away, in HTML"),
        pytest.param(500, {"error": {"code": 131000}}, Unavailable, None, id="away, in JSON"),
        pytest.param(200, b"<html>", Unavailable, None, id="no JSON"),
        pytest.param(200, ["url"], Unavailable, None, id="no object"),
        pytest.param(200, {"url": 17}, Unavailable, None, id="no link"),
        pytest.param(200, {"url": "lookaside"}, Rejected, "media_unavailable", id="a link that is none"),
    ],
)
async def test_each_answer_to_a_look_up_has_its_meaning(
    own: FileServer, graph: GraphMedia, status: int, body: Any, error: type[TrunklineError], reason: str | None
) -> None:
    own.answer(LOOKED_UP, status, body if isinstance(body, bytes) else orjson.dumps(body))
    with pytest.raises(error) as raised:
        await fetch(graph)
    assert getattr(raised.value, "reason", None) == reason
    assert len(own.asked) == 1


@pytest.mark.parametrize(("status", "error"), [(401, CredentialsRefused), (403, Rejected), (500, Unavailable)])
async def test_each_answer_to_a_download_has_its_meaning(
    own: FileServer, graph: GraphMedia, status: int, error: type[TrunklineError]
) -> None:
    found(own)
    own.answer("/link", status)
    with pytest.raises(error):
        await fetch(graph)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        pytest.param({"file_size": LIMIT + 1}, 1, id="by its own account: not even loaded"),
        pytest.param({"file_size": None}, 2, id="as it turns out"),
    ],
)
async def test_a_file_over_the_limit_is_refused(
    own: FileServer, graph: GraphMedia, told: dict[str, Any], asked: int
) -> None:
    found(own, **told)
    own.stream("/link", LIMIT + 1)
    with pytest.raises(Rejected) as refused:
        await fetch(graph)
    assert refused.value.code == "InvalidMediaContentLength"
    assert len(own.asked) == asked


async def test_a_file_that_breaks_off_or_has_another_size_may_come_another_time(
    own: FileServer, graph: GraphMedia
) -> None:
    found(own, sha256=None, file_size=len(CONTENT) + 1)
    with pytest.raises(Unavailable, match="size"):
        await fetch(graph)
    own.stream("/link", LIMIT, breaks_at=100_000)
    with pytest.raises(Unavailable):
        await fetch(graph)


async def test_a_media_id_stays_within_its_part_of_the_path(own: FileServer, graph: GraphMedia) -> None:
    with pytest.raises(Rejected):
        await fetch(graph, media_id="../me?x#y")
    assert {path for path, _ in own.asked} == {"/v25.0/../me?x#y"}


async def test_an_uploaded_file_has_an_id(own: FileServer, graph: GraphMedia, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    own.answer("/v25.0/2100/media", body={"id": "m-9"})
    assert await graph.upload(ACCESS, tmp_path / "file", "application/pdf", "offer.pdf") == "m-9"
    assert own.asked == [("/v25.0/2100/media", "EAAG")]


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        pytest.param(401, EXPIRED, CredentialsRefused, "190", id="the token has expired"),
        pytest.param(400, {"error": {"code": 100}}, Rejected, "100", id="refused"),
        pytest.param(400, {"error": {"code": 131053}}, Unavailable, "131053", id="failed at Meta's"),
        pytest.param(429, b"", Throttled, "429", id="too many"),
        pytest.param(502, b"<html>", Unavailable, None, id="an unknown outcome does no harm"),
        pytest.param(200, b"{}", Unavailable, None, id="without an id"),
        pytest.param(200, {"messages": [{"id": "wamid.1"}]}, Unavailable, "200", id="the answer to something else"),
    ],
)
async def test_each_answer_to_an_upload_has_its_meaning(
    own: FileServer, graph: GraphMedia, tmp_path: Path, status: int, body: Any, error: type[TrunklineError], code: str
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    own.answer("/v25.0/2100/media", status, body if isinstance(body, bytes) else orjson.dumps(body))
    with pytest.raises(error) as raised:
        await graph.upload(ACCESS, tmp_path / "file", "application/pdf", "offer.pdf")
    assert getattr(raised.value, "code", None) == code
