"""The spool on a real Postgres: kept in order, once, and given out when due."""

from __future__ import annotations

import pytest

from tests.trunkline.stores.attempts import claim, envelope, outcome, rows
from trunkline.envelope import Direction, Envelope
from trunkline.stores.database import Pool
from trunkline.stores.messages import MessageStore
from trunkline.stores.spool import SpoolStore
from trunkline.stores.take_overs import TakeOverCounts

pytestmark = pytest.mark.services

CUSTOMER = "447700900123"


@pytest.fixture
def spool(pool: Pool) -> SpoolStore:
    return SpoolStore(pool)


def numbered(tenant_id: str, *numbers: int, conversation: str = CUSTOMER) -> list[Envelope]:
    return [
        envelope(tenant_id, external_id=str(number), accepted_at=1_795_435_200.0 + number, conversation=conversation)
        for number in numbers
    ]


async def names(spool: SpoolStore, tenant_id: str, conversation: str = CUSTOMER) -> list[str]:
    found = await spool.of_conversation(tenant_id, Direction.INBOUND, conversation)
    return [each.external_id for each in found]


async def due(spool: SpoolStore, tenant_id: str) -> list[str]:
    found = await spool.due([(tenant_id, Direction.INBOUND), (tenant_id, Direction.OUTBOUND)], 100)
    return sorted(conversation for _, _, conversation in found)


async def test_envelopes_come_back_as_they_were_in_order_of_acceptance(spool: SpoolStore, tenant_id: str) -> None:
    given = numbered(tenant_id, 2, 1)
    await spool.append(given)
    assert await spool.of_conversation(tenant_id, Direction.INBOUND, CUSTOMER) == [given[1], given[0]]


async def test_what_was_accepted_at_the_same_moment_keeps_the_order_in_which_it_was_given(
    spool: SpoolStore, tenant_id: str
) -> None:
    await spool.append([envelope(tenant_id, external_id=name, accepted_at=5.0) for name in "cab"])
    assert await names(spool, tenant_id) == ["c", "a", "b"]


async def test_a_repeated_envelope_keeps_its_place(spool: SpoolStore, tenant_id: str) -> None:
    first, second = numbered(tenant_id, 1, 2)
    await spool.append([first, second, first])
    await spool.append([first])
    assert await names(spool, tenant_id) == ["1", "2"]


async def test_a_tenants_spool_is_its_own(spool: SpoolStore, tenant_id: str) -> None:
    await spool.append(numbered(tenant_id, 1))
    assert await names(spool, "somebody-else") == []
    assert (tenant_id, Direction.INBOUND) in await spool.lanes()
    assert await spool.due([("somebody-else", Direction.INBOUND)], 100) == []


async def test_what_is_removed_is_gone(spool: SpoolStore, tenant_id: str) -> None:
    given = numbered(tenant_id, 1, 2)
    await spool.append(given)
    await spool.remove(given[:1])
    assert await names(spool, tenant_id) == ["2"]


async def test_a_parked_conversation_is_not_due_before_its_time_and_others_are(
    spool: SpoolStore, tenant_id: str
) -> None:
    await spool.append(numbered(tenant_id, 1, conversation="447700900999"))
    parked = numbered(tenant_id, 1, 2)
    await spool.park(parked, 100.0)
    assert await due(spool, tenant_id) == ["447700900999"]
    assert await names(spool, tenant_id) == []
    await spool.park(parked, 0.0)
    assert await due(spool, tenant_id) == ["447700900123", "447700900999"]
    assert await names(spool, tenant_id) == ["1", "2"]


async def test_what_waits_behind_the_first_waits_with_it(spool: SpoolStore, tenant_id: str) -> None:
    first, second = numbered(tenant_id, 1, 2)
    await spool.park([second], 0.0)
    await spool.park([first], 100.0)
    assert await due(spool, tenant_id) == []


async def test_a_take_over_is_counted_until_the_message_passes(pool: Pool, tenant_id: str) -> None:
    counts, message = TakeOverCounts(pool), envelope(tenant_id)
    assert [await counts.note(message) for _ in range(3)] == [1, 2, 3]
    await counts.forget(message)
    assert await counts.note(message) == 1


async def test_a_message_that_was_claimed_is_no_poison(pool: Pool, tenant_id: str) -> None:
    store, counts = MessageStore(pool), TakeOverCounts(pool)
    wish = claim(envelope(tenant_id))
    await store.exchange([], [wish])
    assert await counts.note(wish.envelope) == 0
    await store.exchange([outcome(wish, "waiting", event="retry")], [])
    assert await counts.note(wish.envelope) == 0
    assert await rows(pool, "SELECT FROM take_overs WHERE tenant_id = %s", tenant_id) == []
