"""Files of agents: without credentials first, the token for the API's own hosts only, and what each answer means."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.trunkline.clients.file_server import FileServer
from trunkline.clients.downloads import Downloads
from trunkline.clients.genesys_files import HEAD_BYTES, FetchedFile, GenesysFiles
from trunkline.errors import Rejected, TrunklineError, Unavailable

CONTENT = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1000
LIMIT = 10**6


@pytest.fixture
async def both(own: FileServer, other: FileServer) -> AsyncIterator[Downloads]:
    """Downloads that reach both servers, of which `own` is the API."""
    made = Downloads([own.url, other.url], 1.0)
    yield made
    await made.close()


async def fetch(files: GenesysFiles, url: str, token: str | None = "token-1") -> tuple[FetchedFile, bytes]:
    taken: list[bytes] = []

    async def sink(chunk: bytes) -> None:
        taken.append(chunk)

    return await files.fetch("mypurecloud.ie", token, url, sink, LIMIT), b"".join(taken)


async def test_a_file_that_is_open_to_all_is_fetched_without_the_token(own: FileServer, both: Downloads) -> None:
    own.answer("/file", body=CONTENT, Content_Type="image/png")
    fetched = FetchedFile("image/png", len(CONTENT), CONTENT[:HEAD_BYTES])
    assert await fetch(GenesysFiles(both, own.url), f"{own.url}/file") == (fetched, CONTENT)
    assert own.asked == [("/file", None)]


@pytest.mark.parametrize("status", [401, 403])
async def test_the_api_gets_the_token_once_it_has_asked_for_it(own: FileServer, both: Downloads, status: int) -> None:
    own.guard("/file", "token-1", status, CONTENT)
    assert (await fetch(GenesysFiles(both, f"{own.url}/genesys"), f"{own.url}/file"))[1] == CONTENT
    assert own.asked == [("/file", None), ("/file", "token-1")]


async def test_nobody_else_gets_the_token(own: FileServer, other: FileServer, both: Downloads) -> None:
    other.guard("/file", "token-1", 403, CONTENT)
    with pytest.raises(Rejected):
        await fetch(GenesysFiles(both, own.url), f"{other.url}/file")
    own.redirect("/moved", f"{other.url}/file")
    with pytest.raises(Rejected):
        await fetch(GenesysFiles(both, own.url), f"{own.url}/moved")
    assert {token for _, token in other.asked} == {None}


def test_the_tokens_hosts_are_those_of_the_region_or_the_one_in_the_settings(downloads: Downloads) -> None:
    region = {"https://api.mypurecloud.ie:443", "https://api-downloads.mypurecloud.ie:443"}
    assert GenesysFiles(downloads, "")._own("mypurecloud.ie") == region
    assert GenesysFiles(downloads, "http://127.0.0.1:3001/genesys")._own("mypurecloud.ie") == {"http://127.0.0.1:3001"}


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unavailable), (403, Rejected), (404, Rejected), (410, Rejected), (204, Rejected), (304, Rejected)]
    + [(status, Unavailable) for status in (408, 429, 500, 503)],
)
async def test_each_answer_has_its_meaning(
    own: FileServer, both: Downloads, status: int, error: type[TrunklineError]
) -> None:
    own.answer("/file", status)
    with pytest.raises(error) as raised:
        await fetch(GenesysFiles(both, own.url), f"{own.url}/file")
    assert str(status) in str(raised.value)
    assert getattr(raised.value, "reason", "media_unavailable") == "media_unavailable"


async def test_a_file_over_the_limit_is_refused(own: FileServer, both: Downloads) -> None:
    own.stream("/file", LIMIT + 1)
    with pytest.raises(Rejected) as refused:
        await fetch(GenesysFiles(both, own.url), f"{own.url}/file")
    assert refused.value.code == "InvalidMediaContentLength"


async def test_a_file_that_breaks_off_may_come_another_time(own: FileServer, both: Downloads) -> None:
    own.stream("/file", LIMIT, breaks_at=100_000)
    with pytest.raises(Unavailable):
        await fetch(GenesysFiles(both, own.url), f"{own.url}/file")
