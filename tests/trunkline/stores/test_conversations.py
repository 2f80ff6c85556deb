"""Conversations on real stores: opened once, closed by idleness, left in Redis for whoever looks them up."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from trunkline.stores.conversations import Activity, ConversationStore, touch_conversations
from trunkline.stores.database import Pool, connection, open_pool
from trunkline.stores.keys import MAPPING_TTL_S, mapping_by_conversation, mapping_by_wa_id

pytestmark = pytest.mark.services

CUSTOMER = "447700900123"
HOUR_S = 3600.0


@pytest.fixture
async def store(pool: Pool, redis: Redis) -> AsyncIterator[ConversationStore]:
    made = ConversationStore(pool, redis)
    yield made
    await asyncio.gather(*made._caching)  # or its connection to Redis would outlive the test


@pytest.fixture
async def second_store(database_url: str, redis: Redis) -> AsyncIterator[ConversationStore]:
    """The store of another process."""
    async with open_pool(database_url, min_size=1, max_size=2) as pool:
        made = ConversationStore(pool, redis)
        yield made
        await asyncio.gather(*made._caching)


@pytest.fixture
def tenant_id() -> str:
    return f"t-{secrets.token_hex(6)}"


async def test_a_customer_stays_in_one_conversation_within_the_window(store: ConversationStore, tenant_id: str) -> None:
    now = time.time()
    first = await store.open(tenant_id, CUSTOMER, now, 72)
    later = await store.open(tenant_id, CUSTOMER, now + 71 * HOUR_S, 72)
    much_later = await store.open(tenant_id, CUSTOMER, now + 142 * HOUR_S, 72)
    assert first.conversation_id == later.conversation_id == much_later.conversation_id
    assert much_later.last_activity_at == pytest.approx(now + 142 * HOUR_S)


async def test_after_the_window_it_is_closed_and_another_opens(
    store: ConversationStore, pool: Pool, tenant_id: str
) -> None:
    now = time.time()
    first = await store.open(tenant_id, CUSTOMER, now, 72)
    second = await store.open(tenant_id, CUSTOMER, now + 73 * HOUR_S, 72)
    assert first.conversation_id != second.conversation_id
    async with connection(pool) as taken:
        query = "SELECT conversation_id::text, status FROM conversation_mappings WHERE tenant_id = %s"
        statuses = dict(await (await taken.execute(query, (tenant_id,))).fetchall())
    assert statuses == {first.conversation_id: "closed", second.conversation_id: "open"}


async def test_the_window_is_the_askers_own(store: ConversationStore, tenant_id: str) -> None:
    now = time.time()
    first = await store.open(tenant_id, CUSTOMER, now, 1)
    assert (await store.open(tenant_id, CUSTOMER, now + 2 * HOUR_S, 3)).conversation_id == first.conversation_id
    assert (await store.open(tenant_id, CUSTOMER, now + 4 * HOUR_S, 1)).conversation_id != first.conversation_id


async def test_what_comes_late_does_not_turn_the_clock_back(store: ConversationStore, tenant_id: str) -> None:
    now = time.time()
    await store.open(tenant_id, CUSTOMER, now, 72)
    assert (await store.open(tenant_id, CUSTOMER, now - HOUR_S, 72)).last_activity_at == pytest.approx(now)


async def test_customers_and_tenants_are_kept_apart(store: ConversationStore, tenant_id: str) -> None:
    now = time.time()
    opened = [
        await store.open(tenant, customer, now, 72)
        for tenant in (tenant_id, f"{tenant_id}-2")
        for customer in (CUSTOMER, "GB.123456")
    ]
    assert len({each.conversation_id for each in opened}) == 4


async def test_of_many_who_open_it_at_once_all_get_the_same(
    store: ConversationStore, second_store: ConversationStore, tenant_id: str
) -> None:
    now = time.time()
    opened = await asyncio.gather(
        *(each.open(tenant_id, CUSTOMER, now, 72) for each in (store, second_store) for _ in range(20))
    )
    assert len({each.conversation_id for each in opened}) == 1


async def test_of_many_who_find_it_idle_at_once_all_get_the_same_new_one(
    store: ConversationStore, second_store: ConversationStore, tenant_id: str
) -> None:
    now = time.time()
    old = await store.open(tenant_id, CUSTOMER, now - 100 * HOUR_S, 72)
    opened = await asyncio.gather(
        *(each.open(tenant_id, CUSTOMER, now, 72) for each in (store, second_store) for _ in range(20))
    )
    (new,) = {each.conversation_id for each in opened}
    assert new != old.conversation_id


async def test_groups_that_touch_the_same_customers_do_not_wait_in_a_circle(pool: Pool, tenant_id: str) -> None:
    now = time.time()
    customers = [f"44770090{number:04d}" for number in range(100)]

    async def touch(order: list[str]) -> None:
        for start in range(0, 100, 25):
            group = [Activity(tenant_id, customer, now, 72, now) for customer in order[start : start + 25]]
            async with connection(pool) as taken:
                found = await touch_conversations(taken, group)
            assert len(found) == 25

    async with asyncio.timeout(20):
        await asyncio.gather(*(touch(order) for order in (customers, customers[::-1]) for _ in range(4)))


async def test_the_mapping_can_be_looked_up_in_redis_for_a_day(
    store: ConversationStore, redis: Redis, tenant_id: str
) -> None:
    opened = await store.open(tenant_id, CUSTOMER, time.time(), 72)
    keys = [mapping_by_wa_id(tenant_id, CUSTOMER), mapping_by_conversation(tenant_id, opened.conversation_id)]
    async with asyncio.timeout(5):
        while await redis.exists(*keys) < 2:
            await asyncio.sleep(0.01)
    for key in keys:
        kept = await redis.get(key)
        assert isinstance(kept, bytes)
        assert orjson.loads(kept) == {"tenantId": tenant_id, "waId": CUSTOMER, "conversationId": opened.conversation_id}
        assert MAPPING_TTL_S - 60 < await redis.ttl(key) <= MAPPING_TTL_S


async def test_without_redis_nothing_is_missing(pool: Pool, tenant_id: str) -> None:
    async with Redis.from_url("redis://127.0.0.1:1", retry=Retry(NoBackoff(), 0)) as away:
        store = ConversationStore(pool, away)
        now = time.time()
        first = await store.open(tenant_id, CUSTOMER, now, 72)
        assert (await store.open(tenant_id, CUSTOMER, now, 72)).conversation_id == first.conversation_id


async def test_the_customers_latest_message_counts_whatever_conversation_it_was_in(
    store: ConversationStore, tenant_id: str
) -> None:
    now = time.time()
    await store.open(tenant_id, CUSTOMER, now - 200 * HOUR_S, 72, now - 201 * HOUR_S)
    second = await store.open(tenant_id, CUSTOMER, now - 100 * HOUR_S, 72)
    assert second.last_inbound_at == pytest.approx(now - 201 * HOUR_S)
    third = await store.open(tenant_id, CUSTOMER, now, 72, now - 5)
    assert len({second.conversation_id, third.conversation_id}) == 2
    assert third.last_inbound_at == pytest.approx(now - 5)
    assert await store.last_inbound(tenant_id, CUSTOMER) == pytest.approx(now - 5)


async def test_a_message_redelivered_late_does_not_turn_the_window_back(
    store: ConversationStore, tenant_id: str
) -> None:
    now = time.time()
    await store.open(tenant_id, CUSTOMER, now, 72, now - 10)
    late = await store.open(tenant_id, CUSTOMER, now + 1, 72, now - 50 * HOUR_S)
    assert late.last_inbound_at == pytest.approx(now - 10)


async def test_of_a_customer_never_heard_of_nothing_is_known(store: ConversationStore, tenant_id: str) -> None:
    assert await store.last_inbound(tenant_id, CUSTOMER) is None
    opened = await store.open(tenant_id, CUSTOMER, time.time(), 72)
    assert (opened.last_inbound_at, opened.recent_sends) == (None, ())
    assert await store.last_inbound(tenant_id, CUSTOMER) is None


async def test_many_persons_are_looked_up_in_one_statement_each_for_itself(
    store: ConversationStore, tenant_id: str
) -> None:
    now = time.time()
    customers = [f"44770090{number:04d}" for number in range(50)]
    await asyncio.gather(
        *(store.open(tenant_id, customer, now, 72, now - number) for number, customer in enumerate(customers))
    )
    found = await asyncio.gather(*(store.last_inbound(tenant_id, customer) for customer in [*customers, customers[3]]))
    assert found == pytest.approx([*(now - number for number in range(50)), now - 3])
    assert await store.last_inbound(f"{tenant_id}-2", customers[0]) is None


async def note_send(
    pool: Pool, tenant_id: str, conversation: str, ago_s: float, *, direction: str = "outbound", parts: int = 0
) -> None:
    """A message of the conversation that was claimed so long ago, however long before it had been accepted."""
    async with connection(pool) as taken:
        await taken.execute(
            "INSERT INTO messages (tenant_id, message_id, wa_id, conversation_id, direction, kind, status, parts_done,"
            " claimed_at, accepted_at, created_at) SELECT %s, gen_random_uuid(), %s, %s::uuid, %s, 'text', 'delivered',"
            " %s, now() - make_interval(secs => %s), before, before FROM (SELECT now() - interval '2 days') d(before)",
            (tenant_id, CUSTOMER, conversation, direction, parts, ago_s),
        )


async def test_sends_to_the_customer_in_the_last_minutes_come_along(
    store: ConversationStore, second_store: ConversationStore, pool: Pool, tenant_id: str
) -> None:
    now = time.time()
    earlier = await store.open(tenant_id, CUSTOMER, now - 80 * HOUR_S, 72)
    await note_send(pool, tenant_id, earlier.conversation_id, 100)
    present = await store.open(tenant_id, CUSTOMER, now, 72)
    await note_send(pool, tenant_id, present.conversation_id, 20)
    await note_send(pool, tenant_id, present.conversation_id, 10, parts=3)
    await note_send(pool, tenant_id, present.conversation_id, 300)
    await note_send(pool, tenant_id, present.conversation_id, 5, direction="inbound")
    await note_send(pool, f"{tenant_id}-2", present.conversation_id, 5)
    sends = (await second_store.open(tenant_id, CUSTOMER, now, 72)).recent_sends
    assert sorted(now - at for at in sends) == pytest.approx([10, 10, 10, 20, 100], abs=5)


async def test_a_customer_with_a_strange_id_is_looked_up_like_any_other(
    store: ConversationStore, tenant_id: str
) -> None:
    now = time.time()
    await store.open(tenant_id, "GB.\x001", now, 72, now)
    assert await store.last_inbound(tenant_id, "GB.\x001") == pytest.approx(now)
