"""Agents' messages on a real Postgres, found again by what statuses, answers and typing know of them."""

from __future__ import annotations

import dataclasses
import time

import pytest

from tests.trunkline.stores.attempts import (
    ask,
    claim,
    envelope,
    events,
    outcome,
    recorded,
    row,
    rows,
    send_in_parts,
    settle,
)
from trunkline.arrival import Arrival
from trunkline.attempt import Callback, Claim, Granted, ReceiptNote, Settled
from trunkline.envelope import Direction
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.messages import MessageStore
from trunkline.stores.sent_messages import PARKED_FOR_S, SentMessageStore

pytestmark = pytest.mark.services


@pytest.fixture
def messages(pool: Pool) -> MessageStore:
    return MessageStore(pool)


@pytest.fixture
def sent(pool: Pool) -> SentMessageStore:
    return SentMessageStore(pool)


async def sending(messages: MessageStore, tenant_id: str) -> Claim:
    """An agent's message that is being sent."""
    attempt = claim(envelope(tenant_id, Direction.OUTBOUND))
    await ask(messages, attempt)
    return attempt


async def test_an_agents_message_is_found_by_our_callback_and_by_its_wamid(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    by_callback = await sent.find(tenant_id, "wamid.unknown-yet", Callback(first.envelope.message_id))
    assert by_callback is not None
    assert (by_callback.genesys_id, by_callback.status, by_callback.receipt) == (
        first.envelope.external_id, "sending", None,
    )  # fmt: skip
    assert await sent.find(tenant_id, "wamid.sent") is None
    told = claim(envelope(tenant_id, Direction.STATUS))
    await ask(messages, told)
    note = ReceiptNote(first.envelope.message_id, "Delivered")
    await settle(messages, outcome(first, "delivered", wamid="wamid.sent"), outcome(told, "delivered", receipt=note))
    by_wamid = await sent.find(tenant_id, "wamid.sent")
    assert by_wamid is not None
    assert (by_wamid.message_id, by_wamid.receipt) == (first.envelope.message_id, "Delivered")
    assert (by_wamid.part, by_wamid.parts) == (1, 1)


@pytest.mark.parametrize("part", [1, 2])
async def test_a_message_is_found_by_the_wamid_of_each_of_its_parts(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str, part: int
) -> None:
    message = envelope(tenant_id, Direction.OUTBOUND)
    await send_in_parts(messages, message, 2)
    found = await sent.find(tenant_id, f"wamid.{part}")
    assert found is not None
    assert (found.message_id, found.part, found.parts) == (message.message_id, part, 2)


async def test_no_tenant_finds_the_message_of_another(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await settle(messages, outcome(first, "delivered", wamid="wamid.x"))
    assert await sent.find("somebody-else", "wamid.x", Callback(first.envelope.message_id)) is None


async def test_a_status_that_proves_a_send_of_unknown_outcome_settles_it(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await settle(messages, outcome(first, "unknown"))
    await sent.adopt(tenant_id, Callback(first.envelope.message_id), "wamid.proof")
    assert await ask(messages, claim(first.envelope)) == Settled("delivered")
    assert await sent.find(tenant_id, "wamid.proof") is not None


async def test_a_proof_of_one_part_lets_the_next_part_go(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await settle(messages, outcome(first, "unknown", parts_done=0, parts=3))
    await sent.adopt(tenant_id, Callback(first.envelope.message_id, 1, 3), "wamid.1")
    assert await ask(messages, claim(first.envelope)) == Granted(attempt=2, parts_done=1, unknowns=0)


async def test_late_news_of_an_earlier_part_proves_nothing_of_the_next(
    messages: MessageStore, sent: SentMessageStore, pool: Pool, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await settle(messages, outcome(first, "waiting", parts_done=1, parts=3, wamid="wamid.1"))
    second = claim(first.envelope)
    await ask(messages, second)
    await settle(messages, outcome(second, "unknown", parts_done=1, parts=3))
    await sent.adopt(tenant_id, Callback(first.envelope.message_id, 1, 3), "wamid.1")
    assert (await row(pool, first.envelope))["status"] == "unknown"


async def test_a_proof_that_comes_before_the_answer_is_lost_leaves_nothing_unknown(
    messages: MessageStore, sent: SentMessageStore, pool: Pool, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await sent.adopt(tenant_id, Callback(first.envelope.message_id), "wamid.proof")
    await settle(messages, outcome(first, "unknown"))
    written = await row(pool, first.envelope)
    assert (written["status"], written["wamid"], written["unknowns"]) == ("delivered", "wamid.proof", 0)
    assert await ask(messages, claim(first.envelope)) == Settled("delivered")


async def test_an_answer_after_its_proof_changes_nothing(
    messages: MessageStore, sent: SentMessageStore, pool: Pool, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await sent.adopt(tenant_id, Callback(first.envelope.message_id), "wamid.1")
    await settle(messages, outcome(first, "delivered", parts_done=1, wamid="wamid.1"))
    written = await row(pool, first.envelope)
    assert (written["status"], written["wamid"], written["attempts"]) == ("delivered", "wamid.1", 1)


async def test_news_of_an_unknown_send_is_a_step_of_its_message(
    messages: MessageStore, sent: SentMessageStore, pool: Pool, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    await settle(messages, outcome(first, "unknown"))
    for _ in range(2):
        await sent.adopt(tenant_id, Callback(first.envelope.message_id), "wamid.proof")
    assert await events(pool, first.envelope) == ["unknown", "adopted"]


async def test_a_status_proves_its_send_as_soon_as_it_arrives(
    messages: MessageStore, pool: Pool, tenant_id: str
) -> None:
    unknown, other = await sending(messages, tenant_id), await sending(messages, tenant_id)
    await settle(messages, outcome(unknown, "unknown"))
    raw = {"id": "wamid.proof", "status": "sent", "biz_opaque_callback_data": unknown.envelope.message_id}
    status = envelope(tenant_id, Direction.STATUS, external_id="wamid.proof", kind="sent", payload={"status": raw})
    foreign = envelope(tenant_id, Direction.STATUS, payload={"status": {"biz_opaque_callback_data": "not ours"}})
    await ArrivalStore(pool).record([Arrival(each, None, 72, is_message=False) for each in (status, foreign)])
    assert (await row(pool, unknown.envelope))["status"] == "delivered"
    assert (await row(pool, other.envelope))["status"] == "sending"


async def test_a_message_is_delivered_once_all_its_parts_are(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    first = await sending(messages, tenant_id)
    told = []
    for part in (3, 1, 1, 2):  # in any order, repeated, before the answers to the sends
        callback = Callback(first.envelope.message_id, part, 3)
        told.append(await sent.mark_delivered(tenant_id, callback, f"wamid.{part}"))
    assert told == [False, False, False, True]


# --- the customer's latest message ---


async def test_the_latest_message_of_a_customer_is_found_while_it_is_young(
    sent: SentMessageStore, pool: Pool, tenant_id: str
) -> None:
    assert await sent.last_inbound(tenant_id, "447700900123") is None
    await recorded(pool, tenant_id)
    latest = await recorded(pool, tenant_id)
    assert await sent.last_inbound(tenant_id, "447700900123") == latest.external_id
    assert await sent.last_inbound("somebody-else", "447700900123") is None
    assert await sent.last_inbound(tenant_id, "447700900999") is None
    async with connection(pool) as taken:
        query = "UPDATE messages SET created_at = created_at - interval '25 hours' WHERE tenant_id = %s"
        await taken.execute(query, (tenant_id,))
    assert await sent.last_inbound(tenant_id, "447700900123") is None


# --- statuses that came too early ---


async def test_a_parked_status_is_found_once_its_message_is_known(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    early = dataclasses.replace(envelope(tenant_id, Direction.STATUS), external_id=f"wamid.early-{tenant_id}")
    for _ in range(2):  # repeated
        await sent.park(early)
    assert early not in await sent.parked(100)
    attempt = await sending(messages, tenant_id)
    await settle(messages, outcome(attempt, "delivered", wamid=early.external_id))
    assert await sent.parked(100) == [early]
    await sent.unpark([early])
    assert await sent.parked(100) == []


async def test_a_parked_status_of_a_part_is_found_too(
    messages: MessageStore, sent: SentMessageStore, tenant_id: str
) -> None:
    early = dataclasses.replace(envelope(tenant_id, Direction.STATUS), external_id=f"wamid.part-{tenant_id}")
    await sent.park(early)
    attempt = await sending(messages, tenant_id)
    await settle(messages, outcome(attempt, "waiting", parts_done=1, parts=2, wamid=early.external_id))
    again = claim(attempt.envelope)
    await ask(messages, again)
    await settle(messages, outcome(again, "delivered", parts_done=2, parts=2, wamid="wamid.last"))
    assert await sent.parked(100) == [early]
    await sent.unpark([early])


async def test_a_status_of_somebody_elses_message_is_forgotten_after_a_while(
    sent: SentMessageStore, pool: Pool, tenant_id: str
) -> None:
    await sent.park(envelope(tenant_id, Direction.STATUS, accepted_at=time.time()))
    await sent.parked(100)
    kept = "SELECT FROM parked_statuses WHERE tenant_id = %s"
    assert len(await rows(pool, kept, tenant_id)) == 1
    async with connection(pool) as taken:
        query = "UPDATE parked_statuses SET parked_at = parked_at - make_interval(secs => %s) WHERE tenant_id = %s"
        await taken.execute(query, (PARKED_FOR_S + 1, tenant_id))
    await sent.parked(100)
    assert await rows(pool, kept, tenant_id) == []
