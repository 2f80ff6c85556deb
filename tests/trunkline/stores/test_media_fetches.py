"""Files that are still to be fetched, on a real Postgres."""

from __future__ import annotations

import pytest

from tests.trunkline.stores.attempts import envelope
from trunkline.arrival import Arrival
from trunkline.media_fetch import KEPT_BY_META_DAYS, DueFetch
from trunkline.protocol.media import CustomerFile
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.media_fetches import FIRST_DUE_S, MediaFetches

pytestmark = pytest.mark.services

FILE = CustomerFile("1203344556677881", "image", "image/jpeg", None)


@pytest.fixture
def fetches(pool: Pool) -> MediaFetches:
    return MediaFetches(pool)


async def note(pool: Pool, tenant_id: str, file: CustomerFile = FILE) -> None:
    arrived = envelope(tenant_id, payload={"phoneNumberId": "2100"})
    await ArrivalStore(pool).record([Arrival(arrived, None, 72, is_message=True, file=file)])


async def let_pass(pool: Pool, tenant_id: str, seconds: float) -> None:
    async with connection(pool) as taken:
        query = (
            "UPDATE media_fetches SET due_at = due_at - make_interval(secs => %s), "
            "created_at = created_at - make_interval(secs => %s) WHERE tenant_id = %s"
        )
        await taken.execute(query, (seconds, seconds, tenant_id))


async def due(fetches: MediaFetches, tenant_id: str) -> list[DueFetch]:
    return [fetch for fetch in await fetches.take_due(100) if fetch.tenant_id == tenant_id]


async def test_a_file_is_due_once_its_message_has_had_time_to_be_delivered(
    fetches: MediaFetches, pool: Pool, tenant_id: str
) -> None:
    await note(pool, tenant_id)
    await note(pool, tenant_id)  # in another message, forwarded
    assert await due(fetches, tenant_id) == []
    await let_pass(pool, tenant_id, FIRST_DUE_S)
    assert await due(fetches, tenant_id) == [DueFetch(tenant_id, FILE.media_id, "2100")]


async def test_what_one_has_taken_another_gets_only_after_a_while(
    fetches: MediaFetches, pool: Pool, tenant_id: str
) -> None:
    await note(pool, tenant_id)
    await let_pass(pool, tenant_id, FIRST_DUE_S)
    for wait_s in (120, 240, 480):
        assert len(await due(fetches, tenant_id)) == 1
        await let_pass(pool, tenant_id, wait_s - 10)
        assert await due(fetches, tenant_id) == []
        await let_pass(pool, tenant_id, 10)


async def test_what_is_kept_is_due_no_more(fetches: MediaFetches, pool: Pool, tenant_id: str) -> None:
    await note(pool, tenant_id)
    await let_pass(pool, tenant_id, FIRST_DUE_S)
    await fetches.done("somebody-else", FILE.media_id)
    assert len(await due(fetches, tenant_id)) == 1
    await fetches.done(tenant_id, FILE.media_id)
    await let_pass(pool, tenant_id, 1000)
    assert await due(fetches, tenant_id) == []


async def test_what_meta_has_forgotten_is_given_up(fetches: MediaFetches, pool: Pool, tenant_id: str) -> None:
    await note(pool, tenant_id)
    await let_pass(pool, tenant_id, (KEPT_BY_META_DAYS + 1) * 86_400)
    assert await due(fetches, tenant_id) == []
