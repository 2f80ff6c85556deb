"""Conversations: one per customer and window, looked up once."""

from __future__ import annotations

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
