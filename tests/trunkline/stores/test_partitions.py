"""The partitions of messages on a real Postgres: made ahead, and dropped with all that belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.trunkline.stores.attempts import (
    ask,
    claim,
    envelope,
    events,
    move_rows,
    outcome,
    partitions_of,
    recorded,
    rows,
    settle,
    written_in,
)
from trunkline.arrival import Arrival
from trunkline.attempt import Granted, Settled
from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import BY_KEY, Pool, connection, open_pool
from trunkline.stores.housekeeping import Housekeeping
from trunkline.stores.messages import MessageStore
from trunkline.stores.partitions import MessagePartitions
from trunkline.stores.spool import SpoolStore

pytestmark = pytest.mark.services

LONG_AGO = "2024-03"
APRIL = datetime(2024, 4, 1, tzinfo=UTC)


@pytest.fixture
def store(pool: Pool) -> MessageStore:
    return MessageStore(pool)


@pytest.fixture
async def second_pool(database_url: str) -> AsyncIterator[Pool]:
    """The connections of another process."""
    async with open_pool(database_url, min_size=1, max_size=4, planning=BY_KEY) as opened:
        yield opened


@pytest.fixture
def partitions(pool: Pool) -> MessagePartitions:
    return MessagePartitions(pool)


async def _tables(pool: Pool) -> set[str]:
    found = await rows(pool, r"SELECT relname FROM pg_class WHERE relname ~ '^messages_\d{4}_\d{2}$' AND relkind = 'r'")
    return {each["relname"] for each in found}


async def _delivered(store: MessageStore, tenant_id: str, **more: Any) -> Envelope:
    wish = claim(envelope(tenant_id))
    await ask(store, wish)
    await settle(store, outcome(wish, "delivered", **more))
    return wish.envelope


def _months(count: int) -> set[str]:
    """The names of the tables of this month and those that follow."""
    now = datetime.now(UTC)
    ordinals = [now.year * 12 + now.month - 1 + ahead for ahead in range(count)]
    return {f"messages_{ordinal // 12}_{ordinal % 12 + 1:02}" for ordinal in ordinals}


# --- made ahead ---


async def test_there_is_a_partition_for_this_month_and_the_next_and_it_is_made_once(
    partitions: MessagePartitions, pool: Pool
) -> None:
    assert _months(2) <= await _tables(pool), "made by the migration"
    (_, following) = sorted(_months(2))
    async with connection(pool) as taken:
        await taken.execute(f"DROP TABLE {following}".encode())
    assert await partitions.make_ahead() == 1
    assert _months(2) <= await _tables(pool)
    assert await partitions.make_ahead() == 0
    (made,) = await rows(pool, "SELECT reloptions FROM pg_class WHERE relname = %s", following)
    assert made["reloptions"] == ["fillfactor=80"]


async def test_two_who_make_partitions_at_once_do_not_get_into_each_others_way(
    partitions: MessagePartitions, pool: Pool, second_pool: Pool
) -> None:
    for name in _months(2):
        async with connection(pool) as taken:
            await taken.execute(f"DROP TABLE {name}".encode())
    made = await asyncio.gather(partitions.make_ahead(), MessagePartitions(second_pool).make_ahead())
    assert sorted(made) == [0, 2]


@pytest.mark.parametrize(
    ("at", "where"),
    [("2024-03-01 00:00+00", "messages_2024_03"), ("2024-02-29 23:59:59.999999+00", "messages_default")],
)
async def test_a_month_begins_in_utc(pool: Pool, tenant_id: str, at: str, where: str) -> None:
    message = await recorded(pool, tenant_id)
    async with connection(pool) as taken:
        await taken.execute("SELECT make_messages_partition('2024-03-01')")
        await move_rows(taken, at, [message.message_id])
    assert await partitions_of(pool, message) == [where]
    async with connection(pool) as taken:
        await taken.execute("DELETE FROM messages WHERE tenant_id = %s", (tenant_id,))


async def test_messages_of_a_month_without_a_partition_work_all_the_same_and_stay_where_they_are(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    (this, _) = sorted(_months(2))
    async with connection(pool) as taken:
        await taken.execute(f"ALTER TABLE messages DETACH PARTITION {this}".encode())
        await taken.execute(f"ALTER TABLE {this} RENAME TO aside".encode())
    try:
        message = await recorded(pool, tenant_id)
        assert await partitions_of(pool, message) == ["messages_default"]
        wish = claim(message)
        assert await ask(store, wish) == Granted(1, 0, 0)
        await settle(store, outcome(wish, "delivered"))
        assert await ask(store, claim(message)) == Settled("delivered")
        assert await partitions.make_ahead() == 0, "its rows would have to be moved"
        assert await Housekeeping(pool).forget_seen() >= 0
        assert await ask(store, claim(message)) == Settled("delivered")
    finally:
        async with connection(pool) as taken:
            await taken.execute("DROP TABLE aside")
            await taken.execute("DELETE FROM messages_default")
        assert await partitions.make_ahead() == 1


# --- dropped ---


async def test_a_month_goes_with_all_that_belongs_to_its_messages_and_its_webhooks_stay_known(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    old, young = [await _delivered(store, tenant_id, event="told", parts_done=1, parts=2, wamid="w") for _ in range(2)]
    await written_in(pool, LONG_AGO, old)
    assert await partitions.drop_before(APRIL) == 1
    assert await partitions_of(pool, old) == await events(pool, old) == []
    assert await events(pool, young) == ["told"]
    parts = await rows(pool, "SELECT message_id::text FROM message_parts WHERE tenant_id = %s", tenant_id)
    assert parts == [{"message_id": young.message_id}]
    assert await ask(store, claim(old)) == Settled("erased")
    await ArrivalStore(pool).record([Arrival(old, "again", 72, is_message=True)])
    assert await partitions_of(pool, old) == []
    assert await partitions.drop_before(APRIL) == 0


async def test_a_month_that_is_not_over_by_then_stays(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    message = await _delivered(store, tenant_id)
    await written_in(pool, LONG_AGO, message)
    assert await partitions.drop_before(datetime(2024, 3, 31, 23, 59, tzinfo=UTC)) == 0
    assert await partitions_of(pool, message) == ["messages_2024_03"]
    assert await partitions.drop_before(APRIL) == 1


@pytest.mark.parametrize("status", ["received", "waiting", "sending", "unknown"])
async def test_a_month_with_a_message_that_is_not_settled_stays(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str, status: str
) -> None:
    message = await _delivered(store, tenant_id)
    await written_in(pool, LONG_AGO, message)
    async with connection(pool) as taken:
        await taken.execute("UPDATE messages SET status = %s WHERE tenant_id = %s", (status, tenant_id))
    assert await partitions.drop_before(APRIL) == 0
    assert await store.statuses([message]) == [status]
    async with connection(pool) as taken:
        await taken.execute("UPDATE messages SET status = 'dead' WHERE tenant_id = %s", (tenant_id,))
    assert await partitions.drop_before(APRIL) == 1


async def test_a_month_of_which_something_was_replayed_meanwhile_stays(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    message = await _delivered(store, tenant_id)
    await written_in(pool, LONG_AGO, message)
    spool = SpoolStore(pool)
    await spool.append([message], "replayed")
    assert await partitions.drop_before(APRIL) == 0
    await spool.remove([message])
    assert await partitions.drop_before(APRIL) == 1


async def test_a_drop_that_was_broken_off_is_finished_by_the_next(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    message = await _delivered(store, tenant_id, event="told")
    await written_in(pool, LONG_AGO, message)
    async with connection(pool) as taken:
        await taken.execute("ALTER TABLE messages DETACH PARTITION messages_2024_03")
    assert await partitions.drop_before(APRIL) == 1
    assert "messages_2024_03" not in await _tables(pool)
    assert await events(pool, message) == []


async def test_a_drop_does_not_wait_for_somebody_who_has_the_table(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    """Whoever came behind it would wait as long."""
    message = await _delivered(store, tenant_id)
    await written_in(pool, LONG_AGO, message)
    async with connection(pool) as reader, asyncio.timeout(10):
        await reader.execute("SELECT FROM messages LIMIT 1")
        with pytest.raises(StoreUnavailable, match="LockNotAvailable"):
            await partitions.drop_before(APRIL)
    assert await partitions.drop_before(APRIL) == 1


async def test_marks_are_forgotten_with_their_month_and_never_while_their_message_has_a_row(
    store: MessageStore, partitions: MessagePartitions, pool: Pool, tenant_id: str
) -> None:
    message = await _delivered(store, tenant_id)
    await written_in(pool, LONG_AGO, message)
    await Housekeeping(pool).forget_seen()
    assert await ask(store, claim(message)) == Settled("delivered")
    await partitions.drop_before(APRIL)
    assert await Housekeeping(pool).forget_seen() >= 1
    assert await rows(pool, "SELECT FROM seen WHERE tenant_id = %s", tenant_id) == []
