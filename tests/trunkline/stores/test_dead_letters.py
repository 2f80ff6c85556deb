"""Dead letters on a real Postgres: replayed in one piece, in order, once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes import Clock
from tests.trunkline.records import BY
from tests.trunkline.stores.attempts import ask, claim, envelope, events, outcome, recorded, row, rows, settle
from trunkline.attempt import DeadLetter, Granted, Settled
from trunkline.envelope import Direction, Envelope
from trunkline.stores.database import Pool, connection
from trunkline.stores.dead_letters import DeadLetterStore
from trunkline.stores.messages import MessageStore
from trunkline.stores.spool import SpoolStore
from trunkline.tenancy.history import LetterFilter, Revival, StoredLetter

pytestmark = pytest.mark.services


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def letters(pool: Pool, clock: Clock) -> DeadLetterStore:
    return DeadLetterStore(pool, clock)


@pytest.fixture
def messages(pool: Pool) -> MessageStore:
    return MessageStore(pool)


@pytest.fixture
def spool(pool: Pool) -> SpoolStore:
    return SpoolStore(pool)


async def give_up(messages: MessageStore, message: Envelope, **more: Any) -> None:
    attempt = claim(message)
    await ask(messages, attempt)
    refusal = DeadLetter(more.pop("reason", "rejected"), "131026 undeliverable")
    await settle(messages, outcome(attempt, "dead", dead_letter=refusal, **more))


async def found(letters: DeadLetterStore, tenant_id: str, **wanted: Any) -> list[StoredLetter]:
    places = await letters.oldest(LetterFilter(tenant_id, **wanted), 100)
    loaded = await letters.load(tenant_id, [letter_id for _, letter_id in places])
    assert [(each.ordered_at, each.id) for each in loaded] == places
    return loaded


def revivals(letters: Sequence[StoredLetter]) -> list[Revival]:
    return [Revival(each.id, each.reason, [Envelope.from_bytes(each.body)]) for each in letters]


async def replay(letters: DeadLetterStore, tenant_id: str) -> list[Revival]:
    return await letters.revive(revivals(await found(letters, tenant_id)), BY)


async def test_a_replayed_message_waits_in_the_spool_as_new_and_keeps_what_the_far_side_has_of_it(
    letters: DeadLetterStore, messages: MessageStore, spool: SpoolStore, pool: Pool, tenant_id: str, clock: Clock
) -> None:
    message = envelope(tenant_id, Direction.OUTBOUND, accepted_at=clock() - 3600)
    first = claim(message)
    await ask(messages, first)
    await settle(messages, outcome(first, "waiting", parts_done=1, parts=3, wamid="wamid.1"))
    await give_up(messages, message)
    (revived,) = await replay(letters, tenant_id)
    stored = await row(pool, message)
    assert (stored["status"], stored["attempts"], stored["unknowns"], stored["parts_done"]) == ("waiting", 0, 0, 1)
    assert stored["accepted_at"].timestamp() == pytest.approx(clock(), abs=1e-5)
    (spooled,) = await spool.of_conversation(tenant_id, Direction.OUTBOUND, message.conversation)
    assert spooled == revived.envelopes[0] == dataclasses.replace(message, accepted_at=clock())
    assert await found(letters, tenant_id) == []
    (told,) = await rows(
        pool, "SELECT detail FROM message_events WHERE message_id = %s::uuid AND event = 'replayed'", message.message_id
    )
    assert (told["detail"]["by"], told["detail"]["reason"]) == (BY.key_id, "rejected")
    assert isinstance(await ask(messages, dataclasses.replace(claim(spooled), spooled=True)), Granted)


async def test_letters_of_a_conversation_are_replayed_oldest_first_behind_all_that_waits_there(
    letters: DeadLetterStore, messages: MessageStore, spool: SpoolStore, tenant_id: str, clock: Clock
) -> None:
    made = [envelope(tenant_id, accepted_at=clock() - 100 + number) for number in range(3)]
    for message in (made[2], made[0], made[1]):
        await give_up(messages, message)
    # Accepted by a host whose clock is ahead of ours.
    waiting = envelope(tenant_id, accepted_at=clock() + 5)
    await spool.append([waiting])
    revived = await replay(letters, tenant_id)
    assert [each.envelopes[0].message_id for each in revived] == [message.message_id for message in made]
    spooled = await spool.of_conversation(tenant_id, Direction.INBOUND, waiting.conversation)
    assert [each.message_id for each in spooled] == [waiting.message_id, *(message.message_id for message in made)]
    times = [each.accepted_at for each in spooled]
    assert times == sorted(set(times))


@pytest.mark.parametrize("has_row", [pytest.param(True, id="with rows"), pytest.param(False, id="rows have gone")])
async def test_two_who_replay_the_same_letters_at_once_replay_each_once(
    letters: DeadLetterStore, messages: MessageStore, pool: Pool, tenant_id: str, has_row: bool
) -> None:
    made = [envelope(tenant_id) for _ in range(20)]
    for message in made:
        await give_up(messages, message)
    if not has_row:
        async with connection(pool) as taken:
            await taken.execute("DELETE FROM messages WHERE tenant_id = %s", (tenant_id,))
    chosen = revivals(await found(letters, tenant_id))
    answers = await asyncio.gather(*(letters.revive(chosen, BY) for _ in range(4)))
    replayed = [each.letter_id for answer in answers for each in answer]
    assert sorted(replayed) == sorted(each.letter_id for each in chosen)
    assert [await events(pool, message) for message in made] == [["dead", "replayed"]] * 20
    count = await rows(pool, "SELECT count(*) FROM intake_spool WHERE tenant_id = %s", tenant_id)
    assert count == [{"count": 20}]


async def test_a_letter_whose_message_is_being_settled_is_left_alone_and_not_waited_for(
    letters: DeadLetterStore, messages: MessageStore, pool: Pool, tenant_id: str
) -> None:
    message = envelope(tenant_id)
    await give_up(messages, message)
    async with connection(pool) as taken:
        await taken.execute("SELECT FROM messages WHERE message_id = %s::uuid FOR UPDATE", (message.message_id,))
        async with asyncio.timeout(5):
            assert await replay(letters, tenant_id) == []
    assert len(await replay(letters, tenant_id)) == 1


@pytest.mark.parametrize("status", ["delivered", "failed", "waiting", "sending", "purged"])
async def test_only_what_is_dead_is_replayed(
    letters: DeadLetterStore, messages: MessageStore, pool: Pool, tenant_id: str, status: str
) -> None:
    message = envelope(tenant_id)
    await give_up(messages, message)
    chosen = revivals(await found(letters, tenant_id))
    async with connection(pool) as taken:
        await taken.execute("UPDATE messages SET status = %s WHERE tenant_id = %s", (status, tenant_id))
    assert await found(letters, tenant_id) == []
    assert await letters.revive(chosen, BY) == []
    (letter,) = await letters.load(tenant_id, [chosen[0].letter_id])
    assert letter.state == status
    assert (await row(pool, message))["status"] == status


@pytest.mark.parametrize("direction", [Direction.INBOUND, Direction.OUTBOUND])
async def test_a_message_whose_row_has_gone_is_delivered_all_the_same(
    letters: DeadLetterStore, messages: MessageStore, spool: SpoolStore, pool: Pool, tenant_id: str,
    direction: Direction,
) -> None:  # fmt: skip
    message = envelope(tenant_id, direction)
    await give_up(messages, message)
    async with connection(pool) as taken:
        await taken.execute("DELETE FROM messages WHERE tenant_id = %s", (tenant_id,))
    assert isinstance(await ask(messages, claim(message)), Settled), "seen once, it would count as a repetition"
    await replay(letters, tenant_id)
    stored = await row(pool, message)
    assert (stored["status"], stored["wa_id"]) == ("waiting", message.conversation)
    assert message.external_id in (stored["wamid"], stored["genesys_id"])
    (spooled,) = await spool.of_conversation(tenant_id, direction, message.conversation)
    assert isinstance(await ask(messages, dataclasses.replace(claim(spooled), spooled=True)), Granted)


async def test_a_replayed_status_is_as_if_never_seen(
    letters: DeadLetterStore, messages: MessageStore, spool: SpoolStore, pool: Pool, tenant_id: str
) -> None:
    status = envelope(tenant_id, Direction.STATUS)
    await give_up(messages, status)
    await replay(letters, tenant_id)
    assert await rows(pool, "SELECT FROM messages WHERE tenant_id = %s", tenant_id) == []
    (spooled,) = await spool.of_conversation(tenant_id, Direction.STATUS, status.conversation)
    assert isinstance(await ask(messages, dataclasses.replace(claim(spooled), spooled=True)), Granted)


async def test_who_finished_the_message_before_does_not_take_it_from_the_spool_after_its_replay(
    letters: DeadLetterStore, messages: MessageStore, spool: SpoolStore, tenant_id: str
) -> None:
    message = envelope(tenant_id)
    await spool.park([message], 60)
    await give_up(messages, message)
    (revived,) = await replay(letters, tenant_id)
    await spool.remove([message])
    spooled = await spool.of_conversation(tenant_id, Direction.INBOUND, message.conversation)
    assert spooled == revived.envelopes, "there anew, and due at once"
    await spool.remove(spooled)
    assert await spool.of_conversation(tenant_id, Direction.INBOUND, message.conversation) == []


async def test_readers_that_ended_over_it_are_forgotten(
    letters: DeadLetterStore, messages: MessageStore, pool: Pool, tenant_id: str
) -> None:
    message = envelope(tenant_id)
    await give_up(messages, message, reason="poison")
    async with connection(pool) as taken:
        await taken.execute(
            "INSERT INTO take_overs (tenant_id, message_id, count) VALUES (%s, %s::uuid, 3)",
            (tenant_id, message.message_id),
        )
    await replay(letters, tenant_id)
    assert await rows(pool, "SELECT FROM take_overs WHERE tenant_id = %s", tenant_id) == []


async def test_a_message_that_dies_again_is_a_dead_letter_again(
    letters: DeadLetterStore, messages: MessageStore, spool: SpoolStore, pool: Pool, tenant_id: str
) -> None:
    message = await recorded(pool, tenant_id)
    await give_up(messages, message)
    await replay(letters, tenant_id)
    (spooled,) = await spool.of_conversation(tenant_id, Direction.INBOUND, message.conversation)
    await give_up(messages, spooled, reason="exhausted")
    await spool.remove([spooled])
    (letter,) = await found(letters, tenant_id)
    assert (letter.reason, letter.state) == ("exhausted", "dead")
    assert len(await replay(letters, tenant_id)) == 1


async def test_letters_are_found_by_filter_from_a_place_on(
    letters: DeadLetterStore, messages: MessageStore, pool: Pool, tenant_id: str, clock: Clock
) -> None:
    made = [envelope(tenant_id, accepted_at=clock() + number) for number in range(4)]
    made[3] = envelope(tenant_id, Direction.OUTBOUND, accepted_at=clock() + 3)
    for message in reversed(made):
        await give_up(messages, message, reason="exhausted" if message is made[1] else "rejected")
    every = await found(letters, tenant_id)
    assert [each.message_id for each in every] == [message.message_id for message in made]
    ids = [each.id for each in every]
    assert [each.id for each in await found(letters, tenant_id, reason="exhausted")] == [ids[1]]
    assert [each.id for each in await found(letters, tenant_id, direction="outbound")] == [ids[3]]
    assert [each.id for each in await found(letters, tenant_id, ids=[ids[2], ids[0], 10**17])] == [ids[0], ids[2]]
    behind = await letters.oldest(LetterFilter(tenant_id), 2, (every[0].ordered_at, ids[0]))
    assert [letter_id for _, letter_id in behind] == ids[1:3]
    assert await found(letters, "t-other") == []


async def test_letters_of_a_deleted_tenant_are_not_among_those_to_replay(
    letters: DeadLetterStore, messages: MessageStore, pool: Pool, tenant_id: str
) -> None:
    await give_up(messages, envelope(tenant_id), reason="tenant_deleted")
    (letter,) = await found(letters, tenant_id)
    assert letter.tenant_exists
    async with connection(pool) as taken:
        await taken.execute("UPDATE tenants SET status = 'deleted' WHERE tenant_id = %s", (tenant_id,))
    assert await found(letters, tenant_id) == []
    (still,) = await letters.load(None, [letter.id])
    assert not still.tenant_exists
    assert await letters.load("t-other", [letter.id]) == []
