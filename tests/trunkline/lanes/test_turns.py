"""Turns: one at a time for each key, in order, whatever becomes of those before."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import until
from trunkline.lanes.turns import Turns


class Visitors:
    """Take turns, each ending when told to."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.inside: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def enter(self, name: str, key: str = "one") -> asyncio.Task[None]:
        self._ends[name] = asyncio.Event()
        return asyncio.create_task(self._visit(name, key))

    def end(self, name: str) -> None:
        self._ends[name].set()

    async def _visit(self, name: str, key: str) -> None:
        async with self.turns.of(key):
            self.inside.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.inside.remove(name)


@pytest.fixture
def visitors() -> Visitors:
    return Visitors()


async def test_turns_of_a_key_follow_each_other_in_order(visitors: Visitors) -> None:
    tasks = [visitors.enter(name) for name in "abc"]
    for name in "abc":
        await until(lambda name=name: visitors.inside == [name], f"the turn of {name}")  # type: ignore[misc]
        visitors.end(name)
    await asyncio.gather(*tasks)
    assert len(visitors.turns) == 0


async def test_keys_do_not_wait_for_each_other(visitors: Visitors) -> None:
    tasks = [visitors.enter("a", "one"), visitors.enter("b", "two")]
    await until(lambda: visitors.inside == ["a", "b"], "both turns")
    visitors.end("a")
    visitors.end("b")
    await asyncio.gather(*tasks)


async def test_who_fails_ends_the_turn(visitors: Visitors) -> None:
    with pytest.raises(OSError, match="broken"):
        async with visitors.turns.of("one"):
            raise OSError("broken")
    task = visitors.enter("b")
    await until(lambda: visitors.inside == ["b"], "the next turn")
    visitors.end("b")
    await task


async def test_who_is_cancelled_while_waiting_neither_ends_nor_skips_the_turn_before(visitors: Visitors) -> None:
    first, second, third = (visitors.enter(name) for name in "abc")
    await until(lambda: visitors.inside == ["a"], "the first turn")
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    for _ in range(10):
        await asyncio.sleep(0)
    assert visitors.inside == ["a"]
    visitors.end("a")
    await first
    await until(lambda: visitors.inside == ["c"], "the third turn")
    visitors.end("c")
    await third
    assert len(visitors.turns) == 0


async def test_a_key_stays_usable_after_its_last_was_cancelled(visitors: Visitors) -> None:
    first, last = visitors.enter("a"), visitors.enter("b")
    await until(lambda: visitors.inside == ["a"], "the first turn")
    last.cancel()
    visitors.end("a")
    await asyncio.gather(first, last, return_exceptions=True)
    assert len(visitors.turns) == 0
    again = visitors.enter("c")
    await until(lambda: visitors.inside == ["c"], "a turn afterwards")
    visitors.end("c")
    await again
