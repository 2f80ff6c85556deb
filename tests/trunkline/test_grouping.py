"""Single calls become group calls, without waiting for company."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.fakes import until
from trunkline.grouping import Grouped


class Doubling:
    """A group call that answers each number with its double, when it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(items))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.go.wait()
        self.under_way -= 1
        if 13 in items:
            raise OSError("the call as a whole failed")
        return [ValueError(item) if item < 0 else item * 2 for item in items]


async def test_the_first_call_goes_at_once_and_the_others_together_after_it() -> None:
    call = Doubling()
    call.go.clear()
    grouped = Grouped(call, limit=100)
    first = grouped.submit(1)
    await until(lambda: call.groups == [[1]], "the first call")
    others = [grouped.submit(number) for number in (2, 3, 4)]
    call.go.set()
    assert [await first, *(await asyncio.gather(*others))] == [2, 4, 6, 8]
    assert call.groups == [[1], [2, 3, 4]]


async def test_no_group_is_larger_than_the_limit_and_one_is_under_way_at_a_time() -> None:
    call = Doubling()
    grouped = Grouped(call, limit=3)
    assert await asyncio.gather(*(grouped(number) for number in range(8))) == [number * 2 for number in range(8)]
    assert call.groups == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert call.most_under_way == 1


async def test_an_answer_that_is_an_error_reaches_its_caller_alone() -> None:
    grouped = Grouped(Doubling(), limit=10)
    answers = await asyncio.gather(grouped(1), grouped(-1), grouped(2), return_exceptions=True)
    assert [answers[0], answers[2]] == [2, 4]
    assert isinstance(answers[1], ValueError)


async def test_a_call_that_fails_fails_for_its_group_and_no_other() -> None:
    grouped = Grouped(Doubling(), limit=2)
    answers = await asyncio.gather(*(grouped(number) for number in (1, 13, 2, 3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError, int, int]


async def test_a_caller_who_has_gone_takes_nobodys_answer_along() -> None:
    call = Doubling()
    call.go.clear()
    grouped = Grouped(call, limit=10)
    gone = asyncio.create_task(grouped(1))
    stays = asyncio.create_task(grouped(2))
    await until(lambda: call.under_way, "the call")
    gone.cancel()
    call.go.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_too_few_answers_leave_nobody_waiting() -> None:
    async def forgetful(items: Sequence[int]) -> list[int]:
        return list(items)[:-1]

    grouped = Grouped(forgetful, limit=10)
    calls = [asyncio.wait_for(grouped(number), timeout=2) for number in (1, 2)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]


async def test_a_group_that_nobody_waits_for_gathers_company_unless_it_is_full() -> None:
    call = Doubling()
    grouped = Grouped(call, limit=3, gather_s=0.02)
    answers = [grouped.submit(1)]
    await asyncio.sleep(0)
    answers.append(grouped.submit(2))
    await asyncio.gather(*answers)
    await asyncio.gather(*(grouped.submit(number) for number in range(3)))
    assert call.groups == [[1, 2], [0, 1, 2]]


async def test_in_a_busy_time_groups_grow_and_the_first_of_a_quiet_one_goes_at_once() -> None:
    call = Doubling()
    call.go.clear()
    grouped = Grouped(call, limit=100, rest_s=0.02)
    answers = [grouped.submit(1)]
    await until(lambda: call.groups == [[1]], "the first call")
    answers.append(grouped.submit(2))
    call.go.set()
    await answers[0]
    for _ in range(5):
        await asyncio.sleep(0)
    answers.append(grouped.submit(3))
    await asyncio.gather(*answers)
    assert call.groups == [[1], [2, 3]]


async def test_idle_returns_once_everything_is_answered() -> None:
    call = Doubling()
    grouped = Grouped(call, limit=2)
    answers = [grouped.submit(number) for number in range(5)]
    await grouped.idle()
    assert all(answer.done() for answer in answers)
    await grouped.idle()
