"""Waiting for another process: the one place that sleeps for it, always between two looks and before a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Another process gives no event to wait for; this is how often it is looked at.
POLL_S = 0.1


class NotInTime(AssertionError):
    """What was waited for did not happen."""


def until(condition: Callable[[], T | None], within_s: float, what: str = "the condition") -> T:
    """The condition's first true value; raises NotInTime if there is none in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise NotInTime(f"{what}: not within {within_s:g} s")
        time.sleep(POLL_S)
    return value


async def eventually(
    condition: Callable[[], T | None], within_s: float, what: str = "the condition", every_s: float = POLL_S
) -> T:
    """The same beside other work of this loop: each look is taken in a thread."""
    deadline = time.monotonic() + within_s
    while not (value := await asyncio.to_thread(condition)):
        if time.monotonic() >= deadline:
            raise NotInTime(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(every_s)
    return value
