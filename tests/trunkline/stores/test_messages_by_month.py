"""Messages in a partition for each month, on a real Postgres: one row whatever the month, and one look to find it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tests.trunkline.stores.attempts import (
    ask,
    claim,
    envelope,
    move_rows,
    outcome,
    partitions_of,
    recorded,
    row,
    rows,
    settle,
    written_in,
)
from tests.trunkline.stores.test_plans import PARAMETER
from tests.waiting import POLL_S
from trunkline.arrival import Arrival
from trunkline.attempt import Busy, Callback, DeadLetter, Granted, Outcome, ReceiptNote, Settled
from trunkline.envelope import Direction
from trunkline.stores import arrivals, messages, sent_messages
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import BY_KEY, Pool, connection, conninfo, open_pool
from trunkline.stores.messages import MessageStore
from trunkline.stores.values import as_rows

pytestmark = pytest.mark.services

LONG_AGO = "2024-03"


@pytest.fixture
def store(pool: Pool) -> MessageStore:
    return MessageStore(pool)


@pytest.fixture
async def second_pool(database_url: str) -> AsyncIterator[Pool]:
    """The connections of another process."""
    async with open_pool(database_url, min_size=1, max_size=4, planning=BY_KEY) as opened:
        yield opened


@pytest.mark.parametrize("first", ["a claim", "an arrival"])
async def test_of_those_who_see_a_message_first_at_the_turn_of_a_month_one_makes_its_row(
    store: MessageStore, pool: Pool, second_pool: Pool, tenant_id: str, first: str
) -> None:
    """The first began in the old month and commits in the new one, when the others have begun."""
    message = envelope(tenant_id)
    await rows(pool, "SELECT make_messages_partition('2024-02-01')")
    async with connection(pool) as early:
        if first == "a claim":
            wish = claim(message)
            parameters = {"rows": as_rows([messages._claim_row(wish)]), "news": 30.0}
            await early.execute(messages._CLAIM, parameters)
        else:
            await arrivals._record_messages(early, [Arrival(message, "hello", 72, is_message=True)])
        # What it wrote belongs to the last month.
        await move_rows(early, "2024-02-29 23:59:59.99+00", [message.message_id])
        late = [
            asyncio.create_task(ask(MessageStore(second_pool), claim(message))),
            asyncio.create_task(ArrivalStore(second_pool).record([Arrival(message, "hello", 72, is_message=True)])),
        ]
        await _until_waiting(pool, 2)
    claimed, _ = await asyncio.wait_for(asyncio.gather(*late), 10)
    assert await partitions_of(pool, message) == ["messages_2024_02"]
    if first == "a claim":
        assert isinstance(claimed, Busy)
        assert claimed.attempt_id == wish.attempt_id
    else:
        assert claimed == Granted(1, 0, 0)


async def test_a_webhook_repeated_in_the_next_month_is_a_repetition(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    wish = claim(envelope(tenant_id))
    message = wish.envelope
    await ask(store, wish)
    await settle(store, outcome(wish, "delivered"))
    await written_in(pool, LONG_AGO, message)
    await ArrivalStore(pool).record([Arrival(message, "again", 72, is_message=True)])
    assert await ask(store, claim(message)) == Settled("delivered")
    assert await partitions_of(pool, message) == ["messages_2024_03"]


async def test_a_message_of_last_month_goes_on_in_its_own_partition(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    message = await recorded(pool, tenant_id)
    await written_in(pool, LONG_AGO, message)
    assert await store.statuses([message]) == ["received"]
    wish = claim(message)
    assert await ask(store, wish) == Granted(1, 0, 0)
    await settle(store, outcome(wish, "unknown"))
    again = claim(message)
    assert await ask(store, again) == Granted(2, 0, 1)
    dead = outcome(again, "dead", dead_letter=DeadLetter("rejected", "no"))
    await settle(store, dead)
    assert (await row(pool, message))["status"] == "dead"
    (letter,) = await rows(pool, "SELECT attempts FROM dead_letters WHERE message_id = %s::uuid", message.message_id)
    assert letter["attempts"] == 2
    assert await partitions_of(pool, message) == ["messages_2024_03"]


async def test_claims_arrivals_and_outcomes_across_months_never_wait_for_each_other_in_a_circle(
    store: MessageStore, pool: Pool, second_pool: Pool, tenant_id: str
) -> None:
    rng = random.Random(7)
    wished = [envelope(tenant_id, conversation=f"4477{number:08d}") for number in range(120)]
    await ArrivalStore(pool).record([Arrival(each, "hello", 72, is_message=True) for each in wished[::2]])
    await written_in(pool, LONG_AGO, *wished[::4])
    second = MessageStore(second_pool)

    async def work(mine: MessageStore) -> int:
        granted = 0
        done: list[Outcome] = []
        for start in range(0, len(wished), 20):
            claims = [claim(each) for each in rng.sample(wished[start : start + 20], 20)]
            answers = await mine.exchange(done, claims)
            won = [each for each, answer in zip(claims, answers, strict=True) if isinstance(answer, Granted)]
            granted += len(won)
            done = [outcome(each, "delivered") for each in rng.sample(won, len(won))]
        await mine.exchange(done, [])
        return granted

    async def record(into: Pool) -> None:
        for start in range(0, len(wished), 30):
            shuffled = rng.sample(wished[start : start + 30], 30)
            await ArrivalStore(into).record([Arrival(each, "hello", 72, is_message=True) for each in shuffled])

    async with asyncio.timeout(30):
        first, other, *_ = await asyncio.gather(work(store), work(second), record(pool), record(second_pool))
    # What was being inserted or held when it was asked for is asked for again; here nobody does.
    left = [each for each in wished if not isinstance(await ask(store, claim(each)), Settled)]
    assert first + other + len(left) == len(wished)
    found = await rows(pool, "SELECT message_id::text AS id FROM messages WHERE tenant_id = %s", tenant_id)
    assert sorted(each["id"] for each in found) == sorted(each.message_id for each in wished)


@pytest.mark.parametrize("what", ["claim", "settle", "statuses", "receipts", "adopt"])
async def test_who_looks_a_message_up_looks_into_one_partition(
    store: MessageStore, pool: Pool, database_url: str, tenant_id: str, what: str
) -> None:
    message = envelope(tenant_id, Direction.OUTBOUND)
    await ArrivalStore(pool).record([Arrival(message, "hello", 72, is_message=True)])
    wish = claim(message)
    if what != "claim":
        await ask(store, wish)
    await written_in(pool, LONG_AGO, message)
    key = {"tenant": [tenant_id], "message": [message.message_id]}
    proof = sent_messages._proof_row(tenant_id, Callback(message.message_id), "wamid.none")
    receipt = outcome(wish, "delivered", receipt=ReceiptNote(message.message_id, "Delivered"))
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "claim": (messages._CLAIM, {"rows": [messages._claim_row(wish)], "news": 30.0}),
        "settle": (messages._SETTLE, {"rows": [messages._outcome_row(outcome(wish, "delivered"))]}),
        "statuses": (messages._STATUSES, key),
        "receipts": (messages._RECEIPTS, {"rows": [messages._receipt_row(receipt)]}),
        "adopt": (sent_messages._ADOPT.format(or_not=""), {"rows": [proof]}),
    }
    touched = _partitions_looked_into(database_url, *asked[what])
    assert touched == {"messages_2024_03"}


def _partitions_looked_into(database_url: str, statement: str, parameters: dict[str, Any]) -> set[str]:
    """Partitions of which a prepared statement, whose plan serves any argument, has executed a scan."""
    names: list[str] = []
    numbered = PARAMETER.sub(lambda found: f"${_number(names, found[1])}", statement)
    given = [as_rows(parameters[n]) if n == "rows" else parameters[n] for n in names]
    with psycopg.connect(conninfo(database_url, options=BY_KEY)) as link:
        link.execute("SET plan_cache_mode = force_generic_plan")
        link.execute(f"PREPARE asked AS {numbered}".encode())
        places = ", ".join(["%s"] * len(given))
        cursor = psycopg.ClientCursor(link)
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked({places})".encode(), given)
        (plan,) = cursor.fetchone() or ([],)
        link.rollback()
    found: set[str] = set()
    _walk(plan[0]["Plan"], found)
    return found


def _number(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name) + 1


def _walk(node: dict[str, Any], found: set[str]) -> None:
    relation = str(node.get("Relation Name", ""))
    if "Scan" in node["Node Type"] and relation.startswith("messages_") and node["Actual Loops"]:
        found.add(relation)
    for inner in node.get("Plans", []):
        _walk(inner, found)


async def _until_waiting(pool: Pool, count: int) -> None:
    """Return when so many wait for a lock."""
    query = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while (await rows(pool, query))[0]["n"] < count:
            await asyncio.sleep(POLL_S)
