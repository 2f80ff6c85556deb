"""`GET /media/{token}`: the right bytes, type and name, whole or in ranges, to whoever has a link of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from httpx import AsyncClient
from redis.asyncio import Redis

from tests.fakes import Clock
from tests.trunkline.admin_app import AdminApp
from trunkline.delivery.linked_media import LinkedMedia
from trunkline.errors import CredentialsRefused, Rejected, Throttled, TrunklineError, Unavailable
from trunkline.media_links import MediaLink, MediaLinks
from trunkline.stores.database import Pool
from trunkline.stores.media_files import KeptFile
from trunkline.tenancy.tenant import WhatsAppAccess

pytestmark = pytest.mark.services

BODY = bytes(range(256)) * 1000
LINK = MediaLink("acme", "1203", "2100", "application/pdf", "Ängebot.pdf")


class World:
    """Links, a tenant, and a file on a disk."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.links = MediaLinks([Fernet.generate_key().decode()], "https://t.example", 3600, self.clock)
        self.is_there = True
        self.error: TrunklineError | None = None
        self.erased: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, WhatsAppAccess, str]] = []
        self.path = path
        path.write_bytes(BODY)

    async def whatsapp_access(self, tenant_id: str) -> WhatsAppAccess | None:
        return WhatsAppAccess("another number", "EAAG") if self.is_there else None

    async def is_erased(self, tenant_id: str, media_id: str) -> bool:
        return (tenant_id, media_id) in self.erased

    async def keep(self, tenant_id: str, access: WhatsAppAccess, media_id: str) -> tuple[KeptFile, str | None]:
        self.asked.append((tenant_id, access, media_id))
        if self.error is not None:
            raise self.error
        return KeptFile(self.path, len(BODY)), None

    def where(self, link: MediaLink = LINK) -> str:
        return self.links.url(link).removeprefix("https://t.example")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "file")


@pytest.fixture
async def client(world: World, pool: Pool, redis: Redis) -> AsyncIterator[AsyncClient]:
    """Somebody without a key."""
    app = AdminApp(pool, redis, media=LinkedMedia(world.links, world, world, world))
    async with app.client(None) as made:
        yield made


async def test_a_link_gives_the_file_with_its_type_length_and_name(client: AsyncClient, world: World) -> None:
    answer = await client.get(world.where())
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%84ngebot.pdf"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"
    assert world.asked == [("acme", WhatsAppAccess("2100", "EAAG"), "1203")]


async def test_a_head_request_gives_no_bytes(client: AsyncClient, world: World) -> None:
    answer = await client.head(world.where())
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(len(BODY)))


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-9", 206, BODY[:10]),
        ("bytes=255990-", 206, BODY[255_990:]),
        ("bytes=-5", 206, BODY[-5:]),
        ("bytes=999999999-", 416, None),
    ],
)
async def test_ranges_are_given_if_asked(
    client: AsyncClient, world: World, asked: str, status: int, body: bytes | None
) -> None:
    answer = await client.get(world.where(), headers={"Range": asked})
    assert answer.status_code == status
    if body is not None:
        assert answer.content == body
        assert answer.headers["content-range"].endswith(f"/{len(BODY)}")


async def test_a_page_that_a_customer_sends_runs_nowhere(client: AsyncClient, world: World) -> None:
    answer = await client.get(world.where(MediaLink("acme", "1203", "2100", "text/html", "x.html")))
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_a_name_cannot_break_out_of_its_header(client: AsyncClient, world: World) -> None:
    answer = await client.get(world.where(MediaLink("acme", "1203", "2100", "image/png", 'a"; x="\r\nSet-Cookie: b')))
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/media/", "/media/x", "/media/" + "A" * 500, "/media/" + "A" * 5000])
async def test_what_is_no_link_of_ours_is_not_found(client: AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code in (400, 404)
    assert set(answer.json()) == {"error", "code", "details"}


async def test_a_link_that_has_expired_is_not_found(client: AsyncClient, world: World) -> None:
    where = world.where()
    world.clock.advance(3601)
    answer = await client.get(where)
    assert (answer.status_code, answer.json()["error"]) == (404, "Media not found")
    assert world.asked == []


async def test_a_file_of_a_deleted_tenant_is_not_found(client: AsyncClient, world: World) -> None:
    world.is_there = False
    assert (await client.get(world.where())).status_code == 404


async def test_a_file_of_a_person_who_was_erased_is_not_found_and_not_loaded_again(
    client: AsyncClient, world: World
) -> None:
    world.erased.add((LINK.tenant_id, LINK.media_id))
    assert (await client.get(world.where())).status_code == 404
    assert world.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(Rejected("media_unavailable", "404"), 404, id="gone"),
        pytest.param(Unavailable("503"), 503, id="WhatsApp is away"),
        pytest.param(Throttled(3.0), 503, id="throttled"),
        pytest.param(CredentialsRefused("190 EAAG", "190"), 503, id="the tenant's token"),
    ],
)
async def test_a_file_that_is_not_here_and_cannot_be_loaded(
    client: AsyncClient, world: World, error: TrunklineError, status: int
) -> None:
    world.error = error
    answer = await client.get(world.where())
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) is (status == 503)
    assert "EAAG" not in answer.text
