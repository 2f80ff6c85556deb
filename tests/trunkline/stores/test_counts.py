"""What Postgres says in numbers."""

from __future__ import annotations

import time

import pytest

from tests.fakes import envelope
from trunkline.envelope import Direction
from trunkline.errors import StoreUnavailable
from trunkline.stores import counts
from trunkline.stores.audit import append
from trunkline.stores.counts import CountStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.spool import SpoolStore
from trunkline.tenancy.audit import Actor, AuditRecord

pytestmark = pytest.mark.services


async def test_the_spool_is_counted_by_lane_and_cause_with_its_oldest(pool: Pool) -> None:
    spool = SpoolStore(pool)
    await spool.append([envelope(1, accepted_at=1_795_435_200.0), envelope(2, accepted_at=1_795_435_100.0)])
    await spool.park([envelope(3, Direction.OUTBOUND)], 60.0)
    found = {(each.direction, each.cause): each for each in await CountStore(pool).spooled()}
    assert found["inbound", "broker_away"].count == 2
    assert found["inbound", "broker_away"].oldest_at == pytest.approx(1_795_435_100.0)
    assert found["outbound", "parked"].tenant_id == "acme"


async def test_dead_letters_are_counted_by_reason(pool: Pool) -> None:
    async with connection(pool) as taken:
        for number, reason in enumerate(("rejected", "rejected", "poison")):
            await taken.execute(
                "INSERT INTO dead_letters (tenant_id, message_id, direction, reason, envelope) "
                "VALUES ('acme', gen_random_uuid(), 'inbound', %s, %s)",
                (reason, str(number).encode()),
            )
    assert await CountStore(pool).dead_letters() == {"rejected": 2, "poison": 1}


async def test_connections_and_clock_are_told(pool: Pool) -> None:
    used, most = await CountStore(pool).connections()
    assert 1 <= used <= most
    assert abs(await CountStore(pool).clock_skew_s()) < 1.0


async def test_the_last_backup_is_found_in_the_audit_log(pool: Pool) -> None:
    store = CountStore(pool)
    assert await store.backed_up_at() is None
    async with connection(pool) as taken:
        await append(taken, AuditRecord(Actor("local:me", "local"), "database.backed_up", None, None))
    made_at = await store.backed_up_at()
    assert made_at is not None and abs(made_at - time.time()) < 60


async def test_a_count_that_takes_too_long_is_given_up(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "WITHIN_MS", 1)
    monkeypatch.setattr(counts, "_DEAD_LETTERS", "SELECT 'x', pg_sleep(5)")
    with pytest.raises(StoreUnavailable):
        await CountStore(pool).dead_letters()
