"""Claims and outcomes on a real Postgres: who may send, what became of it, and that it is sent once."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import secrets
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.trunkline.stores.attempts import (
    CLAIM_S,
    OWNER,
    age,
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
from trunkline.attempt import (
    NEWS_WITHIN_S,
    Behind,
    Busy,
    DeadLetter,
    Granted,
    Outcome,
    OutOfDate,
    ReceiptNote,
    Settled,
    Uncertain,
    new_attempt_id,
)
from trunkline.envelope import Direction, Envelope
from trunkline.stores.activations import ActivationStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Pool, connection, open_pool
from trunkline.stores.messages import MessageStore
from trunkline.stores.spool import SpoolStore

pytestmark = pytest.mark.services


@pytest.fixture
def store(pool: Pool) -> MessageStore:
    return MessageStore(pool)


@pytest.fixture
async def second_store(database_url: str) -> AsyncIterator[MessageStore]:
    """The store of another process."""
    async with open_pool(database_url, min_size=1, max_size=2) as pool:
        yield MessageStore(pool)


# --- claims ---


async def test_a_message_never_seen_is_granted_and_written_down_before_it_leaves(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    wish = claim(envelope(tenant_id))
    assert await ask(store, wish) == Granted(attempt=1, parts_done=0, unknowns=0)
    written = await row(pool, wish.envelope)
    assert (written["status"], written["owner"], str(written["attempt_id"])) == ("sending", OWNER, wish.attempt_id)
    assert (written["wamid"], written["text"]) == (wish.envelope.external_id, "hello")


async def test_what_arrived_before_is_granted_as_its_first_attempt(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    wish = claim(envelope(tenant_id))
    await ArrivalStore(pool).record([Arrival(wish.envelope, "hello", 72, is_message=True)])
    assert await ask(store, wish) == Granted(1, 0, 0)


async def test_a_second_claim_is_told_who_may_be_sending(store: MessageStore, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    answer = await ask(store, claim(first.envelope))
    assert isinstance(answer, Busy)
    assert (answer.attempt_id, answer.owner) == (first.attempt_id, OWNER)
    assert CLAIM_S - 5 < answer.left_s <= CLAIM_S


async def test_a_claim_past_its_deadline_counts_as_abandoned(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    await age(pool, first.envelope, CLAIM_S + 1)
    answer = await ask(store, claim(first.envelope))
    assert isinstance(answer, Busy)
    assert answer.left_s < 0


async def test_of_many_claims_at_once_one_is_granted(
    store: MessageStore, second_store: MessageStore, tenant_id: str
) -> None:
    wished = envelope(tenant_id)
    answers = await asyncio.gather(*(ask(each, claim(wished)) for each in (store, second_store) for _ in range(5)))
    assert sum(isinstance(answer, Granted) for answer in answers) == 1
    assert sum(isinstance(answer, Busy) for answer in answers) == 9


async def test_a_claim_of_an_older_activation_is_out_of_date_and_leaves_nothing(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    assert await ActivationStore(pool).activate(tenant_id, "cell:1") == 2
    wished = envelope(tenant_id)
    assert await ask(store, claim(wished, epoch=1)) == OutOfDate()
    assert await rows(pool, "SELECT FROM messages WHERE message_id = %s::uuid", wished.message_id) == []
    assert await ask(store, claim(wished, epoch=2)) == Granted(1, 0, 0)


async def test_one_group_answers_each_claim_on_its_own(store: MessageStore, tenant_id: str) -> None:
    busy, settled = claim(envelope(tenant_id)), claim(envelope(tenant_id))
    await store.exchange([], [busy, settled])
    await settle(store, outcome(settled, "delivered"))
    fresh, stale = claim(envelope(tenant_id)), claim(envelope(tenant_id), epoch=0)
    answers = await store.exchange([], [claim(busy.envelope), fresh, stale, claim(settled.envelope)])
    assert isinstance(answers[0], Busy)
    assert answers[1:] == [Granted(1, 0, 0), OutOfDate(), Settled("delivered")]


async def test_of_two_claims_of_one_message_in_a_group_one_is_granted(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    for wished in (envelope(tenant_id), await recorded(pool, tenant_id)):
        first, second = claim(wished), claim(wished)
        answers = await store.exchange([], [first, second])
        assert sorted(type(answer).__name__ for answer in answers) == ["Busy", "Granted"]


async def test_a_claim_waits_for_nobody_who_holds_the_message(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    """Waiting here, with outcomes settled in the same transaction, is how two processes came to wait for each other."""
    held, settled = await recorded(pool, tenant_id), claim(envelope(tenant_id))
    await ask(store, settled)
    async with connection(pool) as other, asyncio.timeout(5):
        await other.execute("SELECT FROM messages WHERE message_id = %s::uuid FOR UPDATE", (held.message_id,))
        assert await ask(store, claim(held), [outcome(settled, "delivered")]) == Uncertain(0.0)
    assert await ask(store, claim(held)) == Granted(1, 0, 0)


@pytest.mark.parametrize("direction", [Direction.INBOUND, Direction.STATUS])
async def test_an_unknown_outcome_towards_genesys_is_repeated_at_once(
    store: MessageStore, tenant_id: str, direction: Direction
) -> None:
    first = claim(envelope(tenant_id, direction))
    await ask(store, first)
    await settle(store, outcome(first, "unknown"))
    assert await ask(store, claim(first.envelope)) == Granted(attempt=2, parts_done=0, unknowns=1)


async def test_an_unknown_outcome_towards_whatsapp_waits_for_news_before_it_is_repeated(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    first = claim(envelope(tenant_id, Direction.OUTBOUND))
    await ask(store, first)
    await settle(store, outcome(first, "unknown"))
    answer = await ask(store, claim(first.envelope))
    assert isinstance(answer, Uncertain)
    assert NEWS_WITHIN_S - 5 < answer.wait_s <= NEWS_WITHIN_S

    await age(pool, first.envelope, NEWS_WITHIN_S)
    assert await ask(store, claim(first.envelope)) == Granted(attempt=2, parts_done=0, unknowns=1)


@pytest.mark.parametrize("status", ["delivered", "dead"])
async def test_what_has_come_to_its_end_is_never_granted_again(
    store: MessageStore, tenant_id: str, status: str
) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    await settle(store, outcome(first, status))
    assert await ask(store, claim(first.envelope)) == Settled(status)


async def test_what_was_erased_since_is_remembered_as_seen(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    await settle(store, outcome(first, "delivered"))
    async with connection(pool) as taken:
        await taken.execute("DELETE FROM messages WHERE message_id = %s::uuid", (first.envelope.message_id,))
    assert await ask(store, claim(first.envelope)) == Settled("erased")
    assert await rows(pool, "SELECT FROM messages WHERE message_id = %s::uuid", first.envelope.message_id) == []


async def test_where_messages_stand_can_be_asked_without_a_claim(store: MessageStore, tenant_id: str) -> None:
    wish = claim(envelope(tenant_id))
    await ask(store, wish)
    assert await store.statuses([envelope(tenant_id), wish.envelope]) == [None, "sending"]


# --- order with the spool ---


def later(message: Envelope, seconds: float) -> Envelope:
    """Another message of the same conversation, accepted so many seconds later."""
    return envelope(message.tenant_id, message.direction, accepted_at=message.accepted_at + seconds)


async def test_what_is_older_in_the_spool_is_claimed_first(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    spool, older = SpoolStore(pool), envelope(tenant_id)
    newer = later(older, 0.001)
    await spool.append([older])
    answer = await ask(store, claim(newer))
    assert isinstance(answer, Behind)
    assert answer.due_in_s is not None
    assert answer.due_in_s <= 0
    assert await ask(store, claim(older)) == Granted(1, 0, 0), "its own row is not in its way"
    await spool.remove([older])
    assert await ask(store, claim(newer)) == Granted(1, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"conversation": "447700900999"}, id="of another conversation"),
        pytest.param({"direction": Direction.OUTBOUND}, id="of another direction"),
        pytest.param({"accepted_at": 1.0}, id="older than it"),
    ],
)
async def test_nothing_else_waits_for_the_spool(
    store: MessageStore, pool: Pool, tenant_id: str, changes: dict[str, Any]
) -> None:
    spooled = envelope(tenant_id)
    await SpoolStore(pool).append([spooled])
    other = dataclasses.replace(later(spooled, 1.0), **changes)
    assert await ask(store, claim(other)) == Granted(1, 0, 0)


async def test_a_settled_message_is_settled_whatever_the_spool_holds(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    older = envelope(tenant_id)
    wish = claim(later(older, 1.0))
    await ask(store, wish)
    await settle(store, outcome(wish, "delivered"))
    await SpoolStore(pool).append([older])
    assert await ask(store, claim(wish.envelope)) == Settled("delivered")


async def test_a_parked_message_says_when_it_is_due(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    older = envelope(tenant_id)
    await SpoolStore(pool).park([older], 100.0)
    answer = await ask(store, claim(later(older, 1.0)))
    assert isinstance(answer, Behind)
    assert answer.due_in_s is not None
    assert 90 < answer.due_in_s <= 100


async def test_what_is_spooled_waits_for_what_has_not_come_from_the_queue_yet(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    queued = await recorded(pool, tenant_id)
    spooled = later(queued, 1.0)
    wish = dataclasses.replace(claim(spooled), spooled=True)
    assert await ask(store, wish) == Behind(None)
    assert await ask(store, dataclasses.replace(wish, alone=True)) == Granted(1, 0, 0)


async def test_what_is_spooled_waits_for_what_is_being_sent_even_if_the_queue_is_empty(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    queued = await recorded(pool, tenant_id)
    sending = claim(queued)
    await ask(store, sending)
    wish = dataclasses.replace(claim(later(queued, 1.0)), spooled=True, alone=True)
    assert await ask(store, wish) == Behind(None)
    await settle(store, outcome(sending, "delivered"))
    assert await ask(store, wish) == Granted(1, 0, 0)


# --- outcomes ---


async def test_an_outcome_and_the_next_claim_of_the_same_message_go_together(
    store: MessageStore, tenant_id: str
) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    again = await ask(store, claim(first.envelope), [outcome(first, "waiting", event="retry")])
    assert again == Granted(attempt=2, parts_done=0, unknowns=0)


async def test_an_attempt_that_does_not_count_uses_up_none(store: MessageStore, tenant_id: str) -> None:
    wish = claim(envelope(tenant_id))
    assert await ask(store, wish) == Granted(1, 0, 0)
    for _ in range(3):
        held = outcome(wish, "waiting", event="throttled", counted=False)
        wish = claim(wish.envelope)
        assert await ask(store, wish, [held]) == Granted(1, 0, 0)


async def test_parts_that_were_sent_are_not_sent_again(store: MessageStore, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    part = outcome(first, "waiting", event="part_sent", parts_done=1, counted=False)
    assert await ask(store, claim(first.envelope), [part]) == Granted(1, parts_done=1, unknowns=0)


async def test_the_same_outcome_twice_is_one(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    unknown = outcome(first, "unknown")
    await settle(store, unknown)
    await settle(store, unknown)
    written = await row(pool, first.envelope)
    assert (written["status"], written["attempts"], written["unknowns"]) == ("unknown", 1, 1)


async def test_the_outcome_of_an_attempt_that_was_superseded_changes_nothing(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    await settle(store, outcome(first, "unknown"))
    second = claim(first.envelope)
    await ask(store, second)
    await settle(store, outcome(first, "waiting", event="retry"))
    written = await row(pool, first.envelope)
    assert (written["status"], str(written["attempt_id"])) == ("sending", second.attempt_id)


async def test_a_late_delivery_is_believed_whoever_made_it(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    await settle(store, outcome(first, "unknown"))
    await ActivationStore(pool).activate(tenant_id, "cell:1")  # and whatever activation it belongs to
    await settle(store, outcome(first, "delivered", genesys_id="g-1"))
    written = await row(pool, first.envelope)
    assert (written["status"], written["genesys_id"], written["owner"]) == ("delivered", "g-1", None)
    assert await ask(store, claim(first.envelope, epoch=2)) == Settled("delivered")


async def test_nothing_takes_a_delivery_back(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    await settle(store, outcome(first, "delivered"))
    for status in ("waiting", "unknown", "dead"):
        await settle(store, outcome(first, status))
        assert (await row(pool, first.envelope))["status"] == "delivered"


async def test_what_never_was_tried_can_be_given_up(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    given_up = envelope(tenant_id)
    await ArrivalStore(pool).record([Arrival(given_up, "hello", 72, is_message=True)])
    await settle(
        store,
        Outcome(given_up, new_attempt_id(), "dead", "dead", dead_letter=DeadLetter("tenant_deleted", "it was deleted")),
    )
    assert (await row(pool, given_up))["status"] == "dead"
    (letter,) = await rows(pool, "SELECT * FROM dead_letters WHERE message_id = %s::uuid", given_up.message_id)
    assert (letter["reason"], letter["attempts"]) == ("tenant_deleted", 0)


async def test_a_dead_letter_keeps_its_reason_the_answer_and_the_envelope_once(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    first = claim(envelope(tenant_id))
    await ask(store, first)
    dead = outcome(first, "dead", dead_letter=DeadLetter("rejected", "400 bad.request"), detail={"code": "400"})
    await settle(store, dead)
    await settle(store, dead)
    (letter,) = await rows(pool, "SELECT * FROM dead_letters WHERE message_id = %s::uuid", first.envelope.message_id)
    assert (letter["reason"], letter["answer"], letter["attempts"]) == ("rejected", "400 bad.request", 1)
    assert (letter["wamid"], letter["genesys_id"]) == (first.envelope.external_id, None)
    assert Envelope.from_bytes(bytes(letter["envelope"])) == first.envelope
    assert letter["last_attempt_at"] is not None


async def test_a_plain_delivery_has_no_event_and_everything_else_has_one(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    plain, bumpy = claim(envelope(tenant_id)), claim(envelope(tenant_id))
    await store.exchange([], [plain, bumpy])
    await settle(store, outcome(plain, "delivered"), outcome(bumpy, "unknown"))
    again = claim(bumpy.envelope)
    await ask(store, again)
    await settle(store, outcome(again, "delivered", event="repeated"))
    assert await events(pool, plain.envelope) == []
    assert await events(pool, bumpy.envelope) == ["unknown", "repeated"]


async def test_genesys_conversation_is_learned_from_a_delivery(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    wished = envelope(tenant_id)
    await ArrivalStore(pool).record([Arrival(wished, "hello", 72, is_message=True)])
    conversation_id = str((await row(pool, wished))["conversation_id"])
    first = dataclasses.replace(claim(wished), conversation_id=conversation_id)
    await ask(store, first)
    await settle(
        store, outcome(first, "delivered", conversation_id=conversation_id, genesys_conversation_id="g-conversation")
    )
    (known,) = await rows(pool, "SELECT * FROM conversation_mappings WHERE tenant_id = %s", tenant_id)
    assert known["genesys_conversation_id"] == "g-conversation"


async def test_what_is_no_envelope_is_kept_as_poison_once(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    message_id = str(uuid.uuid4())
    for _ in range(2):
        await store.bury_unreadable(tenant_id, Direction.INBOUND, message_id, b"not an envelope")
    (letter,) = await rows(pool, "SELECT * FROM dead_letters WHERE message_id = %s::uuid", message_id)
    assert (letter["reason"], bytes(letter["envelope"])) == ("poison", b"not an envelope")


# --- what a text column cannot hold, and many at once ---


async def test_characters_that_postgres_cannot_hold_stop_nothing(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    wished = envelope(tenant_id, conversation="447700900123\0\ud800", external_id="wamid.\0\udfff", kind="te\0xt")
    wish = claim(wished, text="a\0b\ud800c")
    assert await ask(store, wish) == Granted(1, 0, 0)
    await settle(store, outcome(wish, "waiting", event="retry", detail={"error": "said \0 and \ud83d"}))
    again = claim(wished)
    await ask(store, again)
    # An envelope itself travels as JSON in UTF-8, which has no lone surrogates; a NUL it can have.
    buried = dataclasses.replace(wished, conversation="447\0", external_id="wamid.\0", kind="te\0xt")
    dead = dataclasses.replace(
        outcome(again, "dead", dead_letter=DeadLetter("rejected", "no \0 \ud800")), envelope=buried
    )
    await settle(store, dead)
    written = await row(pool, wished)
    assert (written["status"], "\0" in written["text"]) == ("dead", False)
    assert await events(pool, wished) == ["retry", "dead"]


async def test_groups_of_many_from_two_processes_do_not_wait_for_each_other_in_a_circle(
    store: MessageStore, second_store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    """Two processes that claim, settle, record and touch the same rows, each in an order of its own."""
    arrivals = ArrivalStore(pool)
    customers = [f"4477009{number:05d}" for number in range(40)]
    wished = [envelope(tenant_id, conversation=customer) for customer in customers for _ in range(5)]
    rng = random.Random(7)

    async def work(store: MessageStore) -> int:
        granted = 0
        mine = [claim(each) for each in rng.sample(wished, len(wished))]
        for start in range(0, len(mine), 50):
            group = mine[start : start + 50]
            answers = await store.exchange([], group)
            won = [each for each, answer in zip(group, answers, strict=True) if isinstance(answer, Granted)]
            granted += len(won)
            done = [outcome(each, "delivered") for each in rng.sample(won, len(won))]
            await store.exchange(done, [claim(each.envelope) for each in rng.sample(group, 10)])
        return granted

    async def record() -> None:
        for start in range(0, len(wished), 50):
            shuffled = rng.sample(wished[start : start + 50], 50)
            await arrivals.record([Arrival(each, "hello", 72, is_message=True) for each in shuffled])

    async with asyncio.timeout(30):
        first, second, *_ = await asyncio.gather(work(store), work(second_store), record(), record())
    assert first + second == len(wished)
    left = await rows(
        pool, "SELECT status, count(*) AS n FROM messages WHERE tenant_id = %s GROUP BY status", tenant_id
    )
    assert left == [{"status": "delivered", "n": len(wished)}]


async def test_a_conversation_being_touched_stops_no_outcome_of_it(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    """An outcome that teaches a conversation waits for who touches it, never the other way round."""
    wished = [envelope(tenant_id, conversation=f"4477008{number:05d}") for number in range(20)]
    arrivals = ArrivalStore(pool)
    await arrivals.record([Arrival(each, "hello", 72, is_message=True) for each in wished])
    claims = [
        dataclasses.replace(claim(each), conversation_id=str((await row(pool, each))["conversation_id"]))
        for each in wished
    ]
    await store.exchange([], claims)
    learned = [
        outcome(each, "delivered", conversation_id=each.conversation_id, genesys_conversation_id=secrets.token_hex(4))
        for each in claims
    ]
    more = [envelope(tenant_id, conversation=each.conversation) for each in reversed(wished)]
    async with asyncio.timeout(30):
        await asyncio.gather(
            settle(store, *learned),
            *(arrivals.record([Arrival(each, "again", 72, is_message=True) for each in more]) for _ in range(3)),
        )
    known = await rows(
        pool, "SELECT count(genesys_conversation_id) AS n FROM conversation_mappings WHERE tenant_id = %s", tenant_id
    )
    assert known == [{"n": 20}]


# --- parts and receipts ---


async def test_the_parts_of_a_message_are_kept_with_their_wamids(
    store: MessageStore, pool: Pool, tenant_id: str
) -> None:
    message = envelope(tenant_id, Direction.OUTBOUND)
    await send_in_parts(store, message, 2)
    kept = await rows(
        pool, "SELECT part, parts, wamid FROM message_parts WHERE tenant_id = %s ORDER BY part", tenant_id
    )
    assert kept == [{"part": part, "parts": 2, "wamid": f"wamid.{part}"} for part in (1, 2)]


async def test_a_message_that_stays_whole_has_no_parts(store: MessageStore, pool: Pool, tenant_id: str) -> None:
    attempt = claim(envelope(tenant_id, Direction.OUTBOUND))
    await ask(store, attempt)
    await settle(store, outcome(attempt, "delivered", parts_done=1, wamid="wamid.1"))
    assert await rows(pool, "SELECT FROM message_parts WHERE tenant_id = %s", tenant_id) == []


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        pytest.param("Delivered", "Failed", "delivered", id="nothing comes after Delivered"),
        pytest.param("Failed", "Delivered", "failed", id="nothing comes after Failed"),
    ],
)
async def test_the_first_receipt_of_a_message_stays(
    store: MessageStore, pool: Pool, tenant_id: str, first: str, second: str, status: str
) -> None:
    message = claim(envelope(tenant_id, Direction.OUTBOUND))
    await ask(store, message)
    await settle(store, outcome(message, "delivered", wamid="wamid.1"))
    for receipt in (first, second):
        told = claim(envelope(tenant_id, Direction.STATUS))
        await ask(store, told)
        note = ReceiptNote(message.envelope.message_id, receipt)
        await settle(store, outcome(told, "delivered", receipt=note))
    kept = await row(pool, message.envelope)
    assert (kept["receipt"], kept["status"]) == (first, status)
