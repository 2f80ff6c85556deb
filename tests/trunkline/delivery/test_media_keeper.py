"""Files whose messages wait are fetched all the same, and what is kept too long goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.fakes import until
from trunkline.delivery import media_keeper as keeper_module
from trunkline.delivery.media_keeper import DEFAULT_DAYS, MediaKeeper
from trunkline.errors import CredentialsRefused, Rejected, StoreUnavailable, TrunklineError, Unavailable
from trunkline.media_fetch import DueFetch
from trunkline.stores.media_files import KeptFile
from trunkline.tenancy.tenant import WhatsAppAccess


def due(tenant_id: str = "acme", media_id: str = "1203") -> DueFetch:
    return DueFetch(tenant_id, media_id, "2100")


class World:
    """A list of files to fetch, tenants, and a store."""

    def __init__(self) -> None:
        self.due = [due()]
        self.away = False
        self.errors: dict[str, TrunklineError] = {}
        self.tenants = {"acme": "EAAG", "beta": "EAAH"}
        self.fetched: list[tuple[str, str, str, str]] = []
        self.finished: list[tuple[str, str]] = []
        self.days: dict[str, int] = {}
        self.sweeps = 0
        self.erased_files: list[tuple[str, str]] = []
        self.looked_back: list[float] = []
        self.removed: list[tuple[str, str]] = []
        self.noted: list[Mapping[str, int]] = []
        self.keeper = MediaKeeper(self, self, self, self, self)

    async def take_due(self, limit: int) -> Sequence[DueFetch]:
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")
        taken, self.due = self.due[:limit], self.due[limit:]
        return taken

    async def done(self, tenant_id: str, media_id: str) -> None:
        self.finished.append((tenant_id, media_id))

    async def keep(self, tenant_id: str, access: WhatsAppAccess, media_id: str) -> tuple[KeptFile, str | None]:
        self.fetched.append((tenant_id, access.phone_number_id, access.access_token, media_id))
        if tenant_id in self.errors:
            raise self.errors[tenant_id]
        return KeptFile(Path("x"), 1), None

    async def erased(self, within_s: float) -> Sequence[tuple[str, str]]:
        self.looked_back.append(within_s)
        return self.erased_files

    async def remove(self, tenant_id: str, media_id: str) -> bool:
        self.removed.append((tenant_id, media_id))
        return True

    async def sweep(self, days_of: Callable[[str], int]) -> Mapping[str, int]:
        self.sweeps += 1
        self.days = {tenant_id: days_of(tenant_id) for tenant_id in ("acme", "gone")}
        return {"acme": 2}

    async def note_removed(self, removed: Mapping[str, int]) -> None:
        self.noted.append(removed)

    async def whatsapp_access(self, tenant_id: str) -> WhatsAppAccess | None:
        return WhatsAppAccess("another number", self.tenants[tenant_id]) if tenant_id in self.tenants else None

    async def media_days(self) -> Mapping[str, int]:
        return {"acme": 3}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(keeper_module, "LOOK_EVERY_S", 0.001)
    return World()


async def test_a_file_is_fetched_for_the_number_it_came_to(world: World) -> None:
    await world.keeper.fetch_due()
    assert world.fetched == [("acme", "2100", "EAAG", "1203")]
    assert world.finished == [("acme", "1203")]


@pytest.mark.parametrize(
    ("error", "is_done"),
    [
        pytest.param(Rejected("media_unavailable", "404"), True, id="gone for good"),
        pytest.param(Unavailable("503"), False, id="may be there another time"),
        pytest.param(CredentialsRefused("190", "190"), False, id="once the tenant has another token"),
    ],
)
async def test_what_fails_is_due_again_unless_it_is_gone(world: World, error: TrunklineError, is_done: bool) -> None:
    world.errors["acme"] = error
    world.due.append(due("beta", "1204"))
    await world.keeper.fetch_due()
    assert (("acme", "1203") in world.finished) is is_done
    assert ("beta", "1204") in world.finished  # one tenant's trouble is not another's


async def test_a_file_of_a_deleted_tenant_is_forgotten(world: World) -> None:
    world.tenants.clear()
    await world.keeper.fetch_due()
    assert (world.fetched, world.finished) == ([], [("acme", "1203")])


async def test_it_goes_on_when_the_store_was_away_and_sweeps_at_once_and_then_seldom(world: World) -> None:
    world.away = True
    running = asyncio.create_task(world.keeper.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.sweeps == 0
    world.away = False
    await until(lambda: world.finished and world.sweeps, "fetched and swept")
    looked = len(world.finished)
    world.due = [due()]
    await until(lambda: len(world.finished) > looked, "looked again")
    running.cancel()
    assert (world.sweeps, world.days) == (1, {"acme": 3, "gone": DEFAULT_DAYS})
    assert world.noted == [{"acme": 2}]


async def test_what_was_erased_anywhere_is_removed_here_at_first_as_far_back_as_it_goes(world: World) -> None:
    world.erased_files = [("acme", "1203")]
    await world.keeper.remove_erased()
    await world.keeper.remove_erased()
    assert world.removed == [("acme", "1203")] * 2
    assert world.looked_back[0] > 8 * 86_400 > world.looked_back[1] > 600
