"""Pacing: no rolling window ever holds more calls than the limit."""

from __future__ import annotations

import bisect
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.tenancy.rate_limit import PERSONS_REMEMBERED, Pace, PersonPaces, WindowPace

START = 1_795_435_200.0
# Clouds count in windows of their own clock; ours may be off by the rounding of floats.
ROUNDING_S = 1e-6


def most_in_a_window(times: list[float], window_s: float) -> int:
    """The largest number of calls in any window of this length."""
    times = sorted(times)
    return max(bisect.bisect_left(times, at + window_s - ROUNDING_S) - index for index, at in enumerate(times))


def leaving(pace: Pace, asked: list[float]) -> list[float]:
    """When the calls asked for at these times leave."""
    return [at + pace.reserve(at) for at in asked]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 60)), min_size=1, max_size=25),
)
def test_no_rolling_minute_exceeds_the_limit_however_calls_come(limit: int, gaps: list[tuple[float, int]]) -> None:
    now, asked = START, []
    for gap_s, together in gaps:
        now += gap_s
        asked += [now] * together
    assert most_in_a_window(leaving(WindowPace(limit, 60, now=START), asked), 60) <= limit


@pytest.mark.parametrize("limit", [*range(1, 40), 300, 999, 6000])
def test_a_queue_that_never_ends_stays_within_the_limit_and_uses_nine_tenths_of_it(limit: int) -> None:
    times = leaving(WindowPace(limit, 60, now=START), [START] * (limit * 3))
    assert most_in_a_window(times, 60) <= limit
    assert times[-1] - START <= 60 * limit * 3 / (0.9 * limit) + 1


def test_genesys_default_is_four_and_a_half_a_second_with_a_burst_of_thirty() -> None:
    pace = WindowPace(300, 60, now=START)
    rested = START + 60
    times = leaving(pace, [rested] * 40)
    assert sum(at - rested < 1e-5 for at in times) == 30
    assert times[30] - rested == pytest.approx(1 / 4.5, abs=1e-5)
    assert [after - before for before, after in pairwise(times[30:])] == pytest.approx([1 / 4.5] * 9, abs=1e-5)


@pytest.mark.parametrize("limit", [10, 16, 26, 300, 999])
def test_a_burst_is_at_most_a_tenth_of_the_limit(limit: int) -> None:
    rested = START + 600
    times = leaving(WindowPace(limit, 60, now=START), [rested] * limit)
    assert sum(at - rested < 1e-5 for at in times) <= limit / 10


def test_an_owner_that_knows_no_past_use_starts_without_burst() -> None:
    times = leaving(WindowPace(300, 60, now=START), [START] * 10)
    assert times.count(START) == 1


def test_two_activations_in_a_row_stay_within_the_limit() -> None:
    before = leaving(WindowPace(300, 60, now=START - 60), [START - 30] * 60)
    after = leaving(WindowPace(300, 60, now=START), [START] * 300)
    assert most_in_a_window([at for at in before if at < START] + after, 60) <= 300


def test_a_raised_limit_is_in_force_with_the_next_call() -> None:
    pace = WindowPace(60, 60, now=START)
    leaving(pace, [START] * 3)
    pace.change_limit(6000)
    first, second = leaving(pace, [START + 10] * 2)
    assert (first, second) == (START + 10, START + 10)


def test_a_lowered_limit_is_in_force_with_the_next_call() -> None:
    pace = WindowPace(6000, 60, now=START)
    pace.change_limit(60)
    later = START + 1000
    times = leaving(pace, [later] * 61)
    assert most_in_a_window(times, 60) <= 60


def test_dropped_bookings_are_free_again_and_the_limit_still_holds() -> None:
    pace = WindowPace(300, 60, now=START)
    booked = leaving(pace, [START] * 200)
    dropped_at = START + 10
    left = [at for at in booked if at <= dropped_at]
    pace.drop_bookings(dropped_at)
    anew = leaving(pace, [dropped_at + 2] * 300)
    assert anew[0] == dropped_at + 2
    assert most_in_a_window(left + anew, 60) <= 300


def test_dropping_nothing_gives_no_burst() -> None:
    pace = WindowPace(300, 60, now=START)
    pace.drop_bookings(START)
    assert leaving(pace, [START] * 10).count(START) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 20)), min_size=1, max_size=30))
def test_a_person_gets_at_most_what_whatsapp_lends(gaps: list[tuple[float, int]]) -> None:
    paces, now, times = PersonPaces(per_minute=10, burst=45), START, []
    for gap_s, together in gaps:
        now += gap_s
        times += [now + paces.reserve("447700900111", now) for _ in range(together)]
    assert most_in_a_window(times, 6) <= 45 + 1
    # Whatever was lent in the burst is paid back: never more than the burst above one per six seconds.
    for first in range(0, len(times), 7):
        span_s = max(times) - times[first]
        assert len(times) - first <= 45 + span_s / 6 + 1


def test_persons_do_not_wait_for_each_other() -> None:
    paces = PersonPaces(per_minute=10, burst=1)
    paces.reserve("447700900111", START)
    assert paces.reserve("447700900111", START) == pytest.approx(6)
    assert paces.reserve("447700900222", START) == 0


def test_changed_limits_hold_for_persons_already_written_to() -> None:
    paces = PersonPaces(per_minute=10, burst=1)
    paces.reserve("447700900111", START)
    paces.change(per_minute=60, burst=1)
    paces.reserve("447700900111", START + 6)
    assert paces.reserve("447700900111", START + 6) == pytest.approx(1)


def test_the_person_written_to_longest_ago_is_forgotten_first() -> None:
    paces = PersonPaces(per_minute=10, burst=1)
    paces.reserve("first", START)
    paces.reserve("second", START)
    paces.reserve("first", START)
    for number in range(PERSONS_REMEMBERED - 1):
        paces.reserve(str(number), START)
    assert paces.reserve("first", START) > 6
    assert paces.reserve("second", START) == 0
