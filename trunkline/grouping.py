"""Grouping calls: one goes at once when none is under way, else with all that has gathered; or waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Grouped(Generic[Item, Answer]):
    """Turns single calls into group calls of at most `limit` items, one group under way at a time.

    `call` answers with one entry for each item, in their order; an entry that is an exception is raised to its caller,
    and an exception from `call` itself to all callers of the group. A group that is not full waits `gather_s` for more:
    for work whose answer nobody awaits. Between two groups of a busy time lies `rest_s`: the first of a quiet time goes
    at once, and under load groups grow instead of calls.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        limit: int,
        gather_s: float = 0.0,
        rest_s: float = 0.0,
    ) -> None:
        self._call = call
        self._limit = limit
        self._gather_s = gather_s
        self._rest_s = rest_s
        self._gathered: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        """The answer to `item`."""
        return await self.submit(item)

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """Put `item` into the next group; the future holds its answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._gathered.append((item, answer))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return answer

    async def idle(self) -> None:
        """Return when nothing is under way."""
        while self._runner is not None:
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        try:
            while self._gathered:
                if self._gather_s and len(self._gathered) < self._limit:
                    await asyncio.sleep(self._gather_s)
                group, self._gathered = self._gathered[: self._limit], self._gathered[self._limit :]
                await self._answer_group(group)
                if self._rest_s and 0 < len(self._gathered) < self._limit:
                    await asyncio.sleep(self._rest_s)
        finally:
            self._runner = None

    async def _answer_group(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers: Sequence[Answer | Exception] = await self._call([item for item, _ in group])
            if len(answers) != len(group):
                raise RuntimeError(f"{len(answers)} answers to {len(group)} items")
        except Exception as error:
            answers = [error] * len(group)
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
