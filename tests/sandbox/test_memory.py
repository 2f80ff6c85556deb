"""Large files leave the sandbox's memory alone."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.files import make_up
from tests.sandbox.test_main import PATIENCE_S, running
from tests.sandbox.world import ACCOUNT

SIZE = 90_000_000
MOST_GROWTH = 20 * 1024 * 1024
BEARER = {"Authorization": f"Bearer {ACCOUNT['accessToken']}"}
NUMBER = ACCOUNT["phoneNumberId"]


def memory_of(pid: int) -> int:
    """Bytes that the process holds."""
    found = re.search(r"^Rss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


class Watch:
    """Measures a process for as long as the block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most = 0

    async def __aenter__(self) -> Watch:
        self.before = memory_of(self._pid)
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        self.most = max(self.most, memory_of(self._pid))

    async def _measure(self) -> None:
        while True:
            self.most = max(self.most, memory_of(self._pid))
            await asyncio.sleep(0.01)

    @property
    def growth(self) -> int:
        """By how much it held more than before."""
        return self.most - self.before


async def order(http: aiohttp.ClientSession, path: str, body: Any) -> Any:
    async with http.post(path, json=body) as answer:
        assert answer.status in (200, 201), await answer.text()
        return await answer.json()


async def digest_of(answer: aiohttp.ClientResponse) -> tuple[str, int]:
    """Hash and size of an answer's body."""
    digest, size = hashlib.sha256(), 0
    async for piece in answer.content.iter_chunked(65_536):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


async def upload(http: aiohttp.ClientSession) -> tuple[str, str]:
    """Upload a large document; its id and its hash."""
    content = await make_up(SIZE, 2, "application/pdf")

    async def pieces() -> AsyncIterator[bytes]:
        for piece in content.pieces():
            yield piece

    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "application/pdf"})
    form.add_field("file", pieces(), filename="big.pdf", content_type="application/pdf")
    async with http.post(f"/graph/v25.0/{NUMBER}/media", data=form, headers=BEARER) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["id"], content.sha256


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    """A sandbox of its own with one account, and a client of it."""
    timeout = aiohttp.ClientTimeout(total=6 * PATIENCE_S)
    with running(tmp_path) as (started, address):
        async with aiohttp.ClientSession(address, timeout=timeout) as http:
            await order(http, "/sandbox/accounts", ACCOUNT)
            yield started.pid, http


async def test_a_large_file_of_a_customer_is_made_and_downloaded_in_little_memory(
    process: tuple[int, aiohttp.ClientSession],
) -> None:
    pid, http = process
    async with Watch(pid) as watch:
        sent = await order(
            http,
            "/sandbox/send",
            {"as": "customer", "tenantId": "alder", "kind": "document", "content": {"size": SIZE, "seed": 1}},
        )
        file = sent["files"][0]
        async with http.get(f"/graph/v25.0/{file['mediaId']}?phone_number_id={NUMBER}", headers=BEARER) as answer:
            link = (await answer.json())["url"]
        async with http.get(link, headers=BEARER) as answer:
            assert answer.content_length == SIZE
            assert await digest_of(answer) == (file["sha256"], SIZE)

    assert watch.growth < MOST_GROWTH


async def test_a_large_upload_is_taken_in_little_memory(
    process: tuple[int, aiohttp.ClientSession],
) -> None:
    pid, http = process
    async with Watch(pid) as watch:
        id, sha256 = await upload(http)
        async with http.get(f"/graph/v25.0/{id}", headers=BEARER) as answer:
            facts = await answer.json()

    assert (facts["sha256"], facts["file_size"]) == (sha256, str(SIZE))
    assert watch.growth < MOST_GROWTH
