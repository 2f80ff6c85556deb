"""Conversations: one per customer and window, looked up once."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import Clock, MemoryConversations
from trunkline.tenancy.conversations import CONVERSATIONS_REMEMBERED, Conversations

HOUR_S = 3600.0


@pytest.fixture
def source() -> MemoryConversations:
    return MemoryConversations()


@pytest.fixture
def conversations(source: MemoryConversations) -> Conversations:
    return Conversations("acme", source, Clock())


async def test_a_customer_stays_in_one_conversation_and_is_looked_up_once(
    conversations: Conversations, source: MemoryConversations
) -> None:
    found = {(await conversations.of("4477", at, 72)).conversation_id for at in (0.0, HOUR_S, 60 * HOUR_S)}
    assert found == {"conversation-1"}
    assert source.opened == [("acme", "4477")]


async def test_customers_have_conversations_of_their_own(conversations: Conversations) -> None:
    first, second = await conversations.of("4477", 0, 72), await conversations.of("4478", 0, 72)
    assert first.conversation_id != second.conversation_id


async def test_after_a_window_without_activity_the_next_message_asks_for_another(conversations: Conversations) -> None:
    await conversations.of("4477", 0, 72)
    assert (await conversations.of("4477", 72 * HOUR_S, 72)).conversation_id == "conversation-1"
    assert (await conversations.of("4477", 145 * HOUR_S, 72)).conversation_id == "conversation-2"


async def test_a_message_accepted_earlier_does_not_shorten_the_window(conversations: Conversations) -> None:
    await conversations.of("4477", 10 * HOUR_S, 72)
    await conversations.of("4477", 5 * HOUR_S, 72)
    assert (await conversations.of("4477", 80 * HOUR_S, 72)).conversation_id == "conversation-1"


async def test_the_customer_heard_of_longest_ago_is_forgotten_first(
    conversations: Conversations, source: MemoryConversations
) -> None:
    for number in range(CONVERSATIONS_REMEMBERED):
        await conversations.of(str(number), 0, 72)
    await conversations.of("0", 0, 72)
    await conversations.of("one more", 0, 72)
    assert len(conversations) == CONVERSATIONS_REMEMBERED
    opened = len(source.opened)
    await conversations.of("0", 0, 72)
    assert len(source.opened) == opened
    await conversations.of("1", 0, 72)
    assert len(source.opened) == opened + 1


async def test_what_is_known_of_the_person_comes_along(
    conversations: Conversations, source: MemoryConversations
) -> None:
    source.inbound_at, source.recent_sends = 50.0, (90.0, 91.0)
    found = await conversations.of("4477", 100.0, 72)
    assert (found.last_inbound_at, found.recent_sends) == (50.0, (90.0, 91.0))
    assert found.window_ends_at() == 50.0 + 24 * HOUR_S


async def test_a_customer_never_heard_of_has_no_window(conversations: Conversations) -> None:
    assert (await conversations.of("4477", 100.0, 72)).window_ends_at() is None


async def test_a_customers_message_moves_the_window_and_never_back(conversations: Conversations) -> None:
    await conversations.of("4477", 100.0, 72, said_at=90.0)
    await conversations.of("4477", 200.0, 72, said_at=190.0)
    await conversations.of("4477", 300.0, 72, said_at=95.0)  # redelivered after days
    assert (await conversations.of("4477", 400.0, 72)).last_inbound_at == 190.0


async def test_nobody_writes_later_than_the_message_was_accepted(conversations: Conversations) -> None:
    assert (await conversations.of("4477", 100.0, 72, said_at=5000.0)).last_inbound_at == 100.0


async def test_a_message_after_a_long_silence_is_noted_in_the_source_and_others_are_not(
    conversations: Conversations, source: MemoryConversations
) -> None:
    for minute in (0, 30, 89, 150):
        await conversations.of("4477", minute * 60.0, 72, said_at=minute * 60.0)
    assert source.noted == [0.0, 150 * 60.0]


async def test_the_first_words_of_a_customer_who_was_written_to_first_are_noted(
    conversations: Conversations, source: MemoryConversations
) -> None:
    await conversations.of("4477", 0.0, 72)
    await conversations.of("4477", 10.0, 72, said_at=9.0)
    assert source.noted == [None, 9.0]


async def test_another_look_finds_what_was_heard_elsewhere(
    conversations: Conversations, source: MemoryConversations
) -> None:
    known = await conversations.of("4477", 100.0, 72, said_at=90.0)
    source.inbound_at = 500.0
    assert (await conversations.refreshed("4477", known)).last_inbound_at == 500.0
    assert (await conversations.of("4477", 600.0, 72)).last_inbound_at == 500.0
    assert source.looked_up == ["4477"]


async def test_what_was_heard_during_a_look_up_is_not_forgotten(
    conversations: Conversations, source: MemoryConversations
) -> None:
    await asyncio.gather(conversations.of("4477", 100.0, 72, said_at=99.0), conversations.of("4477", 101.0, 72))
    assert (await conversations.of("4477", 102.0, 72)).last_inbound_at == 99.0


async def test_whoever_was_erased_is_met_anew(conversations: Conversations, source: MemoryConversations) -> None:
    first = await conversations.of("4477", 100.0, 72)
    other = await conversations.of("4488", 100.0, 72)
    conversations.forget(["4477", "nobody"])
    assert await conversations.of("4477", 101.0, 72) != first
    assert (await conversations.of("4488", 100.0, 72)).conversation_id == other.conversation_id
