"""Purging on a real Postgres: accounted for, never sent again, and whatever was settled before stays as it is."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from tests.trunkline.stores.attempts import ask, claim, envelope, events, outcome, recorded, row, rows, settle
from trunkline.arrival import Arrival
from trunkline.attempt import Settled
from trunkline.envelope import Direction
from trunkline.people import person_key
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.messages import MessageStore
from trunkline.stores.purges import PurgeStore
from trunkline.stores.spool import SpoolStore

pytestmark = pytest.mark.services

BY = "key_1"


async def test_a_message_that_waits_is_purged_and_its_trace_says_by_whom(pool: Pool, tenant_id: str) -> None:
    message = await recorded(pool, tenant_id)
    await PurgeStore(pool).purge([message, message], BY)  # its webhook was repeated
    assert (await row(pool, message))["status"] == "purged"
    told = await rows(pool, "SELECT event, detail FROM message_events WHERE message_id = %s::uuid", message.message_id)
    assert told == [{"event": "purged", "detail": {"by": BY}}]


@pytest.mark.parametrize("direction", list(Direction))
async def test_one_that_was_not_recorded_yet_is_accounted_for_too(
    pool: Pool, tenant_id: str, direction: Direction
) -> None:
    message = envelope(tenant_id, direction, payload={"status": {}})
    await PurgeStore(pool).purge([message], BY)
    found = await row(pool, message)
    ids = (message.external_id, None) if direction is not Direction.OUTBOUND else (None, message.external_id)
    assert (found["status"], found["wamid"], found["genesys_id"]) == ("purged", *ids)
    assert await events(pool, message) == ["purged"]
    # The record of its arrival comes late, or its webhook is repeated: neither brings it back.
    await ArrivalStore(pool).record([Arrival(message, "hello", 72, is_message=True)])
    assert (await row(pool, message))["status"] == "purged"


async def test_a_purged_message_that_is_repeated_is_not_delivered(pool: Pool, tenant_id: str) -> None:
    message = await recorded(pool, tenant_id)
    await PurgeStore(pool).purge([message], BY)
    again = dataclasses.replace(message, accepted_at=time.time())
    assert await ask(MessageStore(pool), claim(again)) == Settled("purged")
    async with connection(pool) as taken:  # as retention does with old rows
        await taken.execute("DELETE FROM messages WHERE message_id = %s::uuid", (message.message_id,))
    assert await ask(MessageStore(pool), claim(again)) == Settled("erased")


@pytest.mark.parametrize("status", ["delivered", "dead"])
async def test_what_was_settled_before_stays_as_it_is(pool: Pool, tenant_id: str, status: Any) -> None:
    store, message = MessageStore(pool), await recorded(pool, tenant_id)
    attempt = claim(message)
    await ask(store, attempt)
    await settle(store, outcome(attempt, status))
    before = await row(pool, message)
    await PurgeStore(pool).purge([message], BY)
    assert await row(pool, message) == before
    assert "purged" not in await events(pool, message)


async def test_one_whose_sender_has_died_is_purged_and_a_late_delivery_is_believed(pool: Pool, tenant_id: str) -> None:
    store, message = MessageStore(pool), await recorded(pool, tenant_id)
    attempt = claim(message)
    await ask(store, attempt)
    await PurgeStore(pool).purge([message], BY)
    assert (await row(pool, message))["status"] == "purged"
    await settle(store, outcome(attempt, "waiting"))
    assert (await row(pool, message))["status"] == "purged"
    await settle(store, outcome(attempt, "delivered"))
    assert (await row(pool, message))["status"] == "delivered"


async def test_a_purged_message_of_an_erased_person_names_nobody(pool: Pool, tenant_id: str) -> None:
    message = envelope(tenant_id)
    async with connection(pool) as taken:
        await taken.execute(
            "INSERT INTO erasures VALUES (%s, %s::uuid, now() + interval '1 s')",
            (tenant_id, person_key(tenant_id, message.conversation)),
        )
    await PurgeStore(pool).purge([message], BY)
    found = await row(pool, message)
    assert (found["status"], found["wa_id"], found["wamid"]) == ("purged", "", None)


async def test_the_spool_gives_what_was_put_there_before_and_what_is_purged_is_gone_from_it(
    pool: Pool, tenant_id: str
) -> None:
    purges, spool = PurgeStore(pool), SpoolStore(pool)
    first, typing = envelope(tenant_id), envelope(tenant_id)
    await spool.append([first, typing, envelope(tenant_id, Direction.STATUS)])
    assert await purges.spooled(tenant_id, Direction.INBOUND, time.time() - 60, 10) == []
    found = await purges.spooled(tenant_id, Direction.INBOUND, time.time() + 1, 10)
    assert sorted(each.message_id for each in found) == sorted([first.message_id, typing.message_id])
    await purges.purge([first], BY)
    await purges.remove([typing])
    assert await purges.spooled(tenant_id, Direction.INBOUND, time.time() + 1, 10) == []
    assert await rows(pool, "SELECT event FROM message_events WHERE message_id = %s::uuid", typing.message_id) == []
    assert len(await purges.spooled(tenant_id, Direction.STATUS, time.time() + 1, 10)) == 1


async def test_what_is_no_envelope_is_in_the_way_of_nothing_in_the_spool(pool: Pool, tenant_id: str) -> None:
    purges, message = PurgeStore(pool), envelope(tenant_id)
    await SpoolStore(pool).append([message, envelope(tenant_id, conversation="1")])
    async with connection(pool) as taken:
        await taken.execute(
            "UPDATE intake_spool SET envelope = '{}' WHERE tenant_id = %s AND wa_id = '1'", (tenant_id,)
        )
    assert await purges.spooled(tenant_id, Direction.INBOUND, time.time() + 1, 1) == [message]
    await purges.purge([message], BY)
    assert await rows(pool, "SELECT FROM intake_spool WHERE tenant_id = %s", tenant_id) == []


async def test_what_was_recorded_and_is_nowhere_is_settled_and_nothing_else(pool: Pool, tenant_id: str) -> None:
    lost, spooled, fresh = [await recorded(pool, tenant_id) for _ in range(3)]
    elsewhere = envelope(tenant_id, Direction.OUTBOUND)
    await ArrivalStore(pool).record([Arrival(elsewhere, "hello", 72, is_message=True)])
    await SpoolStore(pool).append([spooled])
    async with connection(pool) as taken:
        await taken.execute(
            "UPDATE messages SET accepted_at = accepted_at - interval '10 min' WHERE message_id = ANY(%s::uuid[])",
            ([each.message_id for each in (lost, spooled, elsewhere)],),
        )
    purges = PurgeStore(pool)
    assert await purges.settle_lost(tenant_id, Direction.INBOUND, time.time() - 60, BY) == 1
    assert [(await row(pool, each))["status"] for each in (lost, spooled, fresh, elsewhere)] == [
        "purged", "received", "received", "received",
    ]  # fmt: skip
    assert await purges.settle_lost(tenant_id, Direction.INBOUND, time.time() - 60, BY) == 0
    assert await ask(MessageStore(pool), claim(lost)) == Settled("purged")
