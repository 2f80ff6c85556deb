"""What is measured around the messages; what does not answer is left out, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes import Measured
from trunkline import metrics
from trunkline.delivery.surroundings import SELDOM, Sources, Surroundings
from trunkline.errors import StoreUnavailable
from trunkline.measuring import Recorder
from trunkline.tenancy.audit import GENESIS, Breach, Place, Verified


@dataclass
class Spooled:
    tenant_id: str
    direction: str
    cause: str
    count: int
    oldest_at: float


@dataclass
class Machine:
    memory: int = 8
    memory_available: int = 2
    load_per_core: float = 0.5
    disk_free: int = 7
    media: int = 3


class World:
    """Everything that is looked at."""

    def __init__(self) -> None:
        self.spool: list[Spooled] = []
        self.letters = {"rejected": 2}
        self.backed_up: float | None = None
        self.away: set[str] = set()
        self.certificate: float | None = None
        self.breach: Breach | None = None
        self.pages = 1
        self.verified_from: list[Place | None] = []

    async def spooled(self) -> list[Spooled]:
        return self.spool

    async def dead_letters(self) -> dict[str, int]:
        return self.letters

    async def connections(self) -> tuple[int, int]:
        return 9, 100

    async def clock_skew_s(self) -> float:
        return -0.5

    async def backed_up_at(self) -> float | None:
        return self.backed_up

    async def probe(self, store: str) -> None:
        if store in self.away:
            raise StoreUnavailable(f"{store} is away")

    async def certificate_s(self) -> float | None:
        return self.certificate

    async def verify(self, limit: int, after: Place | None) -> Verified:
        self.verified_from.append(after)
        page = after.id + 1 if after else 1
        place = Place(page, GENESIS)
        return Verified(place, place, place, 1, 0, self.breach, page >= self.pages)

    def sources(self) -> Sources:
        stores = ("postgres", "redis", "rabbitmq")
        probes: Any = {store: lambda store=store: self.probe(store) for store in stores}
        return Sources(self, probes, Machine, self.certificate_s, self.verify, lambda: 12)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def measured(recorder: Recorder) -> Measured:
    return Measured(recorder)


@pytest.fixture
def surroundings(world: World, recorder: Recorder) -> Surroundings:
    return Surroundings(world.sources(), recorder, 512, 10)


async def test_everything_is_looked_at(world: World, surroundings: Surroundings, measured: Measured) -> None:
    world.certificate = 86_400.0
    await surroundings.look()
    assert [measured(metrics.STORE_UP, store) for store in ("postgres", "redis", "rabbitmq")] == [1, 1, 1]
    assert (measured(metrics.CONNECTIONS), measured(metrics.CONNECTIONS_LIMIT)) == (9, 100)
    assert measured(metrics.CLOCK_SKEW) == -0.5
    assert measured(metrics.DEAD_LETTERS, "rejected") == 2
    assert measured(metrics.DEAD_LETTERS, "poison") == 0, "so that the first one is a rise"
    assert [measured(metrics.MACHINE_MEMORY, count) for count in ("total", "available")] == [8, 2]
    assert (measured(metrics.MACHINE_LOAD), measured(metrics.DISK_FREE)) == (0.5, 7)
    assert [measured(metrics.MEDIA, count) for count in ("kept", "limit")] == [3, 10]
    assert measured(metrics.CERTIFICATE) == 86_400
    assert measured(metrics.AUDIT_WHOLE) == 1
    assert (measured(metrics.TENANTS), measured(metrics.MEMORY_LIMIT)) == (12, 512)


async def test_the_spool_is_counted_by_cause_and_its_oldest_known_by_lane(
    world: World, surroundings: Surroundings, measured: Measured
) -> None:
    world.spool = [
        Spooled("acme", "inbound", "parked", 2, 100.0),
        Spooled("acme", "inbound", "broker_away", 5, 90.0),
        Spooled("bolt", "inbound", "parked", 1, 95.0),
    ]
    await surroundings.look()
    assert measured(metrics.SPOOLED, "inbound", "parked") == 3
    assert measured(metrics.SPOOLED, "inbound", "broker_away") == 5
    assert surroundings.spooled_since == {("acme", "inbound"): 90.0, ("bolt", "inbound"): 95.0}
    world.spool = []
    await surroundings.look()
    assert measured(metrics.SPOOLED, "inbound", "parked") == 0
    assert surroundings.spooled_since == {}


async def test_a_store_that_is_away_is_down_and_the_others_are_looked_at_all_the_same(
    world: World, surroundings: Surroundings, measured: Measured
) -> None:
    world.away = {"redis"}
    await surroundings.look()
    assert [measured(metrics.STORE_UP, store) for store in ("postgres", "redis", "rabbitmq")] == [1, 0, 1]
    world.away = set()
    await surroundings.look()
    assert measured(metrics.STORE_UP, "redis") == 1


async def test_a_store_that_hangs_is_down_too(
    world: World, surroundings: Surroundings, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.delivery.surroundings.ANSWER_WITHIN_S", 0.01)
    monkeypatch.setattr(world, "probe", lambda store: asyncio.Event().wait())
    await surroundings.look()
    assert measured(metrics.STORE_UP, "rabbitmq") == 0


async def test_the_audit_log_is_followed_page_by_page_and_again_from_its_start(
    world: World, surroundings: Surroundings, measured: Measured
) -> None:
    world.pages = 2
    looks = 3 * SELDOM
    for look in range(looks):
        await surroundings.look()
        if look == 0:
            assert measured(metrics.AUDIT_WHOLE) is None, "not known before its end was reached"
    assert [place and place.id for place in world.verified_from] == [None, 1, None]
    assert measured(metrics.AUDIT_WHOLE) == 1
    world.breach = Breach(1, "changed")
    for _ in range(SELDOM):
        await surroundings.look()
    assert measured(metrics.AUDIT_WHOLE) == 0


async def test_a_backup_is_as_old_as_it_is_and_one_that_never_was_as_old_as_the_metrics(
    world: World, surroundings: Surroundings, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = surroundings._began_at
    monkeypatch.setattr("trunkline.delivery.surroundings.time.time", lambda: began + 60)
    await surroundings.look()
    assert measured(metrics.BACKUP_AGE) == pytest.approx(60)
    world.backed_up = began + 50
    for _ in range(SELDOM):
        await surroundings.look()
    assert measured(metrics.BACKUP_AGE) == pytest.approx(10)
