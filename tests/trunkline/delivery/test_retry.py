"""One fate for each failure."""

from __future__ import annotations

import random

import pytest

from trunkline.attempt import DeadLetter
from trunkline.delivery.retry import RetryIn, RetryPolicy
from trunkline.errors import CredentialsRefused, Rejected, StoreUnavailable, TrunklineError, Unavailable

LONGEST = RetryPolicy(draw=lambda low, high: high)
# Longer than this no delivery may be held, or the broker's time-out for it comes near.
LONGEST_HELD_S = 300


@pytest.mark.parametrize(
    ("error", "attempt", "fate"),
    [
        pytest.param(Unavailable("503"), 1, RetryIn(1.0), id="the first failure waits a second at most"),
        pytest.param(Unavailable("503"), 2, RetryIn(2.0), id="then twice as long"),
        pytest.param(Unavailable("503"), 5, RetryIn(16.0), id="and so on"),
        pytest.param(Unavailable("503"), 6, RetryIn(30.0), id="up to a limit"),
        pytest.param(Unavailable("503"), 11, RetryIn(30.0), id="the last but one attempt"),
        pytest.param(Unavailable("503"), 12, DeadLetter("exhausted", "503"), id="the last attempt"),
        pytest.param(Unavailable("503"), 99, DeadLetter("exhausted", "503"), id="more than the limit"),
        pytest.param(StoreUnavailable("Postgres"), 1, RetryIn(1.0), id="a store of our own"),
        pytest.param(Rejected("rejected", "400", "400"), 1, DeadLetter("rejected", "400"), id="a final no"),
        pytest.param(Rejected("window_closed", "131047"), 3, DeadLetter("window_closed", "131047"), id="its reason"),
        pytest.param(CredentialsRefused("401"), 1, DeadLetter("exhausted", "401"), id="what is no matter of retrying"),
    ],
)
def test_a_failed_delivery_meets_one_fate(error: TrunklineError, attempt: int, fate: RetryIn | DeadLetter) -> None:
    assert LONGEST.decide(error, attempt) == fate


def test_waits_are_drawn_between_nothing_and_the_longest() -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    policy = RetryPolicy(draw=draw)
    assert policy.decide(Unavailable("503"), 4) == RetryIn(0)
    assert drawn == [(0, 8.0)]


def test_all_waits_together_end_before_a_delivery_has_been_held_too_long() -> None:
    fates = [LONGEST.decide(Unavailable("503"), attempt) for attempt in range(1, LONGEST.limit)]
    assert sum(fate.wait_s for fate in fates if isinstance(fate, RetryIn)) < LONGEST_HELD_S


def test_two_messages_that_failed_together_do_not_come_back_together() -> None:
    policy = RetryPolicy(draw=random.Random(1).uniform)
    waits = {policy.decide(Unavailable("503"), 6) for _ in range(20)}
    assert len(waits) == 20
