"""Files between the clouds, through a real disk: each loaded once, whole or not at all, and what trouble means."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.fakes import Clock
from trunkline.delivery.media import FETCH_WAITS_S, InboundMedia, Keeper, OutboundMedia
from trunkline.errors import CredentialsRefused, Rejected, Throttled, TrunklineError, Unavailable
from trunkline.media_links import MediaLink, MediaLinks
from trunkline.protocol.media import GENESYS_LIMIT_BYTES, AgentFile, Attachable, CustomerFile, Unattachable
from trunkline.stores.media_files import MediaFiles
from trunkline.tenancy.tenant import WhatsAppAccess

ACCESS = WhatsAppAccess("2100", "EAAG")
FILE = CustomerFile("1203", "document", "application/pdf", "offer.pdf")
PDF = b"%PDF-1.7 " + bytes(1000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)
LINK = "https://api-downloads.mypurecloud.ie/x"

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class Came:
    """What a cloud says of a file."""

    mime: str | None = None
    sha256: str | None = None
    size: int = 0
    head: bytes = b""


@dataclass
class Clouds:
    """Both clouds: `errors` first, then the file."""

    body: bytes = PDF
    mime: str | None = "application/pdf"
    sha256: str | None = None
    breaks: bool = False
    errors: list[TrunklineError] = field(default_factory=list)
    fetched: list[tuple[Any, ...]] = field(default_factory=list)
    uploaded: list[tuple[Any, ...]] = field(default_factory=list)

    async def pour(self, sink: Sink) -> None:
        await asyncio.sleep(0)
        if self.errors:
            if self.breaks:
                await sink(self.body[:10])
            raise self.errors.pop(0)
        for start in range(0, len(self.body), 65_536):
            await sink(self.body[start : start + 65_536])


class WhatsApp(Clouds):
    """Files of WhatsApp."""

    async def fetch(
        self, access: WhatsAppAccess, phone_number_id: str, media_id: str, sink: Sink, limit_bytes: int
    ) -> Came:
        self.fetched.append((access, phone_number_id, media_id))
        await self.pour(sink)
        return Came(self.mime, self.sha256)

    async def upload(self, access: WhatsAppAccess, path: Path, mime: str, filename: str) -> str:
        self.uploaded.append((access, path.read_bytes(), mime, filename))
        if self.errors:
            raise self.errors.pop(0)
        return "m-1"


class Genesys(Clouds):
    """Files of Genesys."""

    async def fetch(self, region: str, token: str | None, url: str, sink: Sink, limit_bytes: int) -> Came:
        self.fetched.append((region, token, url))
        await self.pour(sink)
        return Came(self.mime, size=len(self.body), head=self.body[:512])


class World:
    """Both directions over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = MediaFiles(folder, 2**30)
        self.whatsapp, self.genesys = WhatsApp(), Genesys()
        self.links = MediaLinks([Fernet.generate_key().decode()], "https://t.example", 3600, Clock())
        self.waited: list[float] = []
        self.keeper = Keeper(self.files, self.whatsapp)
        self.inbound = InboundMedia(self.keeper, self.links, self.sleep)
        self.outbound = OutboundMedia(self.files, self.genesys, self.whatsapp)

    async def sleep(self, wait_s: float) -> None:
        self.waited.append(wait_s)

    async def upload(self, **file: Any) -> Any:
        agent_file = AgentFile(**{"url": LINK, "mime": None, "filename": None, "size": None, "required": True, **file})
        return await self.outbound.upload("acme", ACCESS, "mypurecloud.ie", "token-1", agent_file)

    @property
    def on_disk(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "media")


# --- towards Genesys ---


async def test_a_customers_file_is_kept_and_linked(world: World) -> None:
    attached = await world.inbound.attach("acme", ACCESS, FILE, "m-1")
    assert isinstance(attached, Attachable)
    assert (attached.mime, attached.filename) == ("application/pdf", "offer.pdf")
    link = world.links.open(attached.url.rpartition("/")[2])
    assert link == MediaLink("acme", "1203", "2100", "application/pdf", "offer.pdf")
    kept = await world.files.find("acme", "1203")
    assert kept is not None
    assert kept.path.read_bytes() == PDF


@pytest.mark.parametrize(
    ("declared", "told", "mime"),
    [
        ("application/pdf", "image/png", "application/pdf"),
        (None, "image/PNG; x=1", "image/png"),
        (None, None, "application/octet-stream"),
    ],
)
async def test_a_file_has_the_type_that_somebody_told(
    world: World, declared: str | None, told: str | None, mime: str
) -> None:
    world.whatsapp.mime = told
    attached = await world.inbound.attach("acme", ACCESS, CustomerFile("1203", "document", declared, None), "m-1")
    assert isinstance(attached, Attachable)
    assert attached.mime == mime


async def test_a_file_is_fetched_once_however_many_ask(world: World) -> None:
    await asyncio.gather(*(world.inbound.attach("acme", ACCESS, FILE, "m-1") for _ in range(10)))
    await world.inbound.attach("acme", ACCESS, FILE, "m-1")
    assert len(world.whatsapp.fetched) == 1
    await world.inbound.attach("beta", ACCESS, FILE, "m-1")  # another tenant's is another file
    assert len(world.whatsapp.fetched) == 2


async def test_a_file_that_is_too_large_for_genesys_is_kept_and_linked_all_the_same(world: World) -> None:
    world.whatsapp.body = bytes(GENESYS_LIMIT_BYTES + 1)
    attached = await world.inbound.attach("acme", ACCESS, FILE, "m-1")
    assert isinstance(attached, Unattachable)
    assert (attached.words, attached.url is not None) == ("is larger than 25 MB", True)
    world.whatsapp.body = bytes(GENESYS_LIMIT_BYTES)
    assert isinstance(
        await world.inbound.attach("acme", ACCESS, CustomerFile("1204", "image", None, None), "m-1"), Attachable
    )


@pytest.mark.parametrize("breaks", [False, True])
async def test_trouble_that_passes_is_waited_for(world: World, breaks: bool) -> None:
    world.whatsapp.errors = [Unavailable("503"), Unavailable("503")]
    world.whatsapp.breaks = breaks
    assert isinstance(await world.inbound.attach("acme", ACCESS, FILE, "m-1"), Attachable)
    assert world.waited == list(FETCH_WAITS_S[:2])
    assert [path.read_bytes() for path in world.on_disk] == [PDF]


@pytest.mark.parametrize(
    ("errors", "waits"),
    [
        pytest.param([Unavailable("503")] * 5, list(FETCH_WAITS_S), id="trouble that lasts"),
        pytest.param([Rejected("media_unavailable", "404")], [], id="a file that is gone"),
    ],
)
async def test_a_file_that_cannot_be_had_is_given_up(
    world: World, errors: list[TrunklineError], waits: list[float]
) -> None:
    world.whatsapp.errors = errors
    assert await world.inbound.attach("acme", ACCESS, FILE, "m-1") == Unattachable("could not be loaded")
    assert (world.waited, world.on_disk) == (waits, [])


@pytest.mark.parametrize("error", [CredentialsRefused("190", "190"), Throttled(3.0)])
async def test_what_concerns_the_tenant_is_raised(world: World, error: TrunklineError) -> None:
    world.whatsapp.errors = [error]
    with pytest.raises(type(error)):
        await world.inbound.attach("acme", ACCESS, FILE, "m-1")
    assert world.on_disk == []


async def test_a_file_must_be_the_one_that_was_announced(world: World) -> None:
    world.whatsapp.sha256 = hashlib.sha256(b"another").hexdigest()
    assert await world.inbound.attach("acme", ACCESS, FILE, "m-1") == Unattachable("could not be loaded")
    assert world.on_disk == []
    world.whatsapp.sha256 = hashlib.sha256(PDF).hexdigest()
    assert isinstance(await world.inbound.attach("acme", ACCESS, FILE, "m-1"), Attachable)


async def test_a_full_disk_leaves_a_text(world: World) -> None:
    world.folder.write_bytes(b"no folder")
    assert await world.inbound.attach("acme", ACCESS, FILE, "m-1") == Unattachable("could not be loaded")


# --- towards WhatsApp ---


@pytest.mark.parametrize(
    ("body", "file", "kind", "mime", "name"),
    [
        pytest.param(PNG, {"mime": "image/png"}, "image", "image/png", "image.png", id="an image"),
        pytest.param(PDF, {"filename": "../a\nb.pdf"}, "document", "application/pdf", "ab.pdf", id="a hostile name"),
        pytest.param(PNG, {"mime": "image/jpeg"}, "image", "image/png", "image.png", id="bytes that know better"),
    ],
)
async def test_an_agents_file_is_uploaded_as_whatsapp_takes_it(
    world: World, body: bytes, file: dict[str, Any], kind: str, mime: str, name: str
) -> None:
    world.genesys.body = body
    world.genesys.mime = None
    uploaded = await world.upload(**file)
    assert (uploaded.media_id, uploaded.kind) == ("m-1", kind)
    assert world.genesys.fetched == [("mypurecloud.ie", "token-1", LINK)]
    assert world.whatsapp.uploaded == [(ACCESS, body, mime, name)]
    assert world.on_disk == []


async def test_what_is_too_large_by_its_own_account_is_not_even_loaded(world: World) -> None:
    with pytest.raises(Rejected) as refused:
        await world.upload(size=101 * 2**20)
    assert (refused.value.reason, refused.value.code) == ("unsupported", "InvalidMediaContentLength")
    assert world.genesys.fetched == []


@pytest.mark.parametrize("of_upload", [False, True])
@pytest.mark.parametrize("error", [Rejected("media_unavailable", "404"), Unavailable("503"), Throttled(3.0)])
async def test_nothing_is_left_of_a_file_that_could_not_be_moved(
    world: World, error: TrunklineError, of_upload: bool
) -> None:
    (world.whatsapp if of_upload else world.genesys).errors = [error]
    with pytest.raises(type(error)):
        await world.upload()
    assert world.on_disk == []
