"""Waiting for another process: the one place where tests sleep, always between two looks and before a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Another process gives no event to wait for; this is how often it is looked at.
POLL_S = 0.1


def until(condition: Callable[[], T], within_s: float, what: str = "the condition") -> T:
    """The condition's first true value; fails if there is none in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(POLL_S)
    return value
