"""Pacing: no rolling window ever holds more calls than the limit."""

from __future__ import annotations

import bisect
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.tenancy.rate_limit import (
    GROWTH_EVERY_S,
    LONGEST_PERSON_PAUSE_S,
    PERSONS_REMEMBERED,
    AdaptivePace,
    Pace,
    PersonPaces,
    WindowPace,
)

START = 1_795_435_200.0
# Clouds count in windows of their own clock; ours may be off by the rounding of floats.
ROUNDING_S = 1e-6
CUSTOMER = "447700900111"


def minute_pace(limit: int, now: float = START) -> WindowPace:
    """A client's minute, its calls leaving up to a second after their slots."""
    return WindowPace(limit, 60, slack_s=1.0, now=now)


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
    st.integers(0, 2**32),
)
def test_no_rolling_minute_exceeds_the_limit_however_calls_come_and_linger(
    limit: int, gaps: list[tuple[float, int]], seed: int
) -> None:
    now, asked = START, []
    for gap_s, together in gaps:
        now += gap_s
        asked += [now] * together
    linger = random.Random(seed)
    times = [at + linger.choice((0.0, 1.0, linger.random())) for at in leaving(minute_pace(limit), asked)]
    assert most_in_a_window(times, 60) <= limit


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 80, 300, 1000])
def test_calls_that_gather_for_a_second_stay_within_the_limit(limit: int) -> None:
    rested = START + 600
    times = leaving(minute_pace(limit), [rested] * limit * 3)
    gathered = [rested + 1 if at <= rested + 1 else at for at in times]
    assert most_in_a_window(gathered, 60) <= limit


@pytest.mark.parametrize("limit", [1, 2, 20, 80, 1000])
def test_a_numbers_second_has_room_for_calls_that_are_a_little_late(limit: int) -> None:
    rested = START + 600
    pace = AdaptivePace(limit, 1, slack_s=0.1, now=START).pace(START)
    times = [at + (0.1 if number % 2 else 0.0) for number, at in enumerate(leaving(pace, [rested] * limit * 5))]
    assert most_in_a_window(times, 1) <= limit


@pytest.mark.parametrize("limit", [*range(1, 40), 300, 999, 6000])
def test_a_queue_that_never_ends_stays_within_the_limit_and_uses_nine_tenths_of_it(limit: int) -> None:
    times = leaving(minute_pace(limit), [START] * (limit * 3))
    assert most_in_a_window(times, 60) <= limit
    assert times[-1] - START <= 60 * limit * 3 / (0.9 * limit) + 1


def test_genesys_default_is_four_and_a_half_a_second_with_a_burst_of_twenty_five() -> None:
    pace = minute_pace(300)
    rested = START + 60
    times = leaving(pace, [rested] * 40)
    assert sum(at - rested < 1e-5 for at in times) == 25
    assert times[25] - rested == pytest.approx(1 / 4.5, abs=1e-5)
    assert [after - before for before, after in pairwise(times[25:])] == pytest.approx([1 / 4.5] * 14, abs=1e-5)


@pytest.mark.parametrize("limit", [12, 16, 26, 300, 999])
def test_a_burst_is_at_most_a_tenth_of_the_limit(limit: int) -> None:
    rested = START + 600
    times = leaving(minute_pace(limit), [rested] * limit)
    assert sum(at - rested < 1e-5 for at in times) <= limit / 10


def test_an_owner_that_knows_no_past_use_starts_without_burst() -> None:
    times = leaving(minute_pace(300), [START] * 10)
    assert times.count(START) == 1


def test_two_activations_in_a_row_stay_within_the_limit() -> None:
    before = leaving(minute_pace(300, START - 60), [START - 30] * 60)
    after = leaving(minute_pace(300), [START] * 300)
    assert most_in_a_window([at for at in before if at < START] + after, 60) <= 300


def test_a_raised_limit_is_in_force_with_the_next_call() -> None:
    pace = minute_pace(60)
    leaving(pace, [START] * 3)
    pace.change_limit(6000, START)
    first, second = leaving(pace, [START + 10] * 2)
    assert (first, second) == (START + 10, START + 10)


def test_a_lowered_limit_is_in_force_with_the_next_call() -> None:
    pace = minute_pace(6000)
    pace.change_limit(60, START)
    later = START + 1000
    times = leaving(pace, [later] * 61)
    assert most_in_a_window(times, 60) <= 60


def test_a_raised_limit_does_not_wait_for_what_was_booked_at_the_old_one() -> None:
    pace = minute_pace(1)
    leaving(pace, [START] * 3)
    pace.change_limit(6000, START)
    assert pace.wait_s(START) < 0.1


def test_dropped_bookings_are_free_again_and_the_limit_still_holds() -> None:
    pace = minute_pace(300)
    booked = leaving(pace, [START] * 200)
    dropped_at = START + 10
    left = [at for at in booked if at <= dropped_at]
    pace.drop_bookings(dropped_at)
    anew = leaving(pace, [dropped_at + 2] * 300)
    assert anew[0] == dropped_at + 2
    assert most_in_a_window(left + anew, 60) <= 300


def test_dropping_nothing_gives_no_burst() -> None:
    pace = minute_pace(300)
    pace.drop_bookings(START)
    assert leaving(pace, [START] * 10).count(START) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 20)), min_size=1, max_size=30))
def test_a_person_gets_at_most_what_whatsapp_lends(gaps: list[tuple[float, int]]) -> None:
    paces, now, times = PersonPaces(per_minute=10, burst=45), START, []
    for gap_s, together in gaps:
        now += gap_s
        times += [now + paces.reserve(CUSTOMER, now) for _ in range(together)]
    assert most_in_a_window(times, 6) <= 45 + 1
    # Whatever was lent in the burst is paid back: never more than the burst above one per six seconds.
    for first in range(0, len(times), 7):
        span_s = max(times) - times[first]
        assert len(times) - first <= 45 + span_s / 6 + 1


def test_persons_do_not_wait_for_each_other() -> None:
    paces = PersonPaces(per_minute=10, burst=1)
    paces.reserve(CUSTOMER, START)
    assert paces.reserve(CUSTOMER, START) == pytest.approx(6)
    assert paces.reserve("447700900222", START) == 0


def test_changed_limits_hold_for_persons_already_written_to() -> None:
    paces = PersonPaces(per_minute=10, burst=1)
    paces.reserve(CUSTOMER, START)
    paces.change(per_minute=60, burst=1, now=START)
    paces.reserve(CUSTOMER, START + 6)
    assert paces.reserve(CUSTOMER, START + 6) == pytest.approx(1)


def test_the_person_written_to_longest_ago_is_forgotten_first() -> None:
    paces = PersonPaces(per_minute=10, burst=1)
    paces.reserve("first", START)
    paces.reserve("second", START)
    paces.reserve("first", START)
    for number in range(PERSONS_REMEMBERED - 1):
        paces.reserve(str(number), START)
    assert paces.reserve("first", START) > 6
    assert paces.reserve("second", START) == 0


def spare_slots(pace: WindowPace, now: float, left_share: float) -> int:
    """How many slots may be taken now by who leaves this share of the burst to others."""
    taken = 0
    while pace.spare_in_s(now, left_share) == 0:
        pace.reserve(now)
        taken += 1
    return taken


@pytest.mark.parametrize(
    ("limit", "left_share", "taken"),
    [
        pytest.param(300, 0.0, 25, id="all of a burst of 25"),
        pytest.param(300, 1 / 3, 17, id="but a third"),
        pytest.param(300, 2 / 3, 9, id="but two thirds"),
        pytest.param(12, 2 / 3, 1, id="a burst of one is for everybody"),
        pytest.param(30, 2 / 3, 1, id="half a burst of two"),
    ],
)
def test_who_comes_last_leaves_a_part_of_the_burst(limit: int, left_share: float, taken: int) -> None:
    assert spare_slots(minute_pace(limit), START + 600, left_share) == taken


def test_nothing_is_spare_while_slots_are_booked_ahead() -> None:
    pace = minute_pace(300)
    leaving(pace, [START] * 46)
    assert pace.wait_s(START) == pytest.approx(46 / 4.5, abs=1e-5)
    assert pace.spare_in_s(START, 0.0) == pytest.approx(46 / 4.5, abs=1e-5)
    spare_in_s = pace.spare_in_s(START, 2 / 3)
    assert spare_in_s == pytest.approx((46 + 16) / 4.5, abs=1e-5)
    assert pace.spare_in_s(START + spare_in_s, 2 / 3) == pytest.approx(0, abs=1e-5)


def test_asking_when_takes_nothing() -> None:
    pace = minute_pace(300)
    assert [pace.wait_s(START), pace.wait_s(START), pace.reserve(START)] == [0, 0, 0]
    assert pace.wait_s(START) == pytest.approx(1 / 4.5, abs=1e-5)


def number_pace(limit: int = 80) -> AdaptivePace:
    return AdaptivePace(limit, 1, slack_s=0.1, now=START)


def test_a_number_found_too_fast_goes_at_half_the_rate_and_grows_back() -> None:
    pace = number_pace()
    pace.slow_down(START)
    rates = [pace.effective(START + second) for second in (0, 9.9, 10, 20, 25, 40, 4000)]
    assert rates == [40, 40, 48, 56, 56, 72, 80]


def test_what_is_effective_is_what_leaves() -> None:
    pace = number_pace()
    pace.slow_down(START)
    times = leaving(pace.pace(START), [START] * 100)
    assert times[99] - times[0] == pytest.approx(99 / (0.9 * 40), rel=1e-4)
    assert pace.pace(START + GROWTH_EVERY_S).per_second == pytest.approx(0.9 * 48)


def test_each_time_again_halves_it_and_it_never_stops() -> None:
    pace = number_pace()
    rates = []
    for _ in range(9):
        pace.slow_down(START)
        rates.append(pace.effective(START))
    assert rates == [40, 20, 10, 5, 2.5, 1.25, 1, 1, 1]


def test_growth_starts_anew_after_each_cut() -> None:
    pace = number_pace()
    pace.slow_down(START)
    pace.slow_down(START + 9)
    assert [pace.effective(START + 18.9), pace.effective(START + 19)] == [20, 28]


@pytest.mark.parametrize(
    ("limit", "at_once", "at_last"),
    [pytest.param(1000, 40, 1000, id="raised"), pytest.param(20, 20, 20, id="lowered")],
)
def test_a_changed_limit_does_not_lift_a_cut(limit: int, at_once: float, at_last: float) -> None:
    pace = number_pace()
    pace.slow_down(START)
    pace.change_limit(limit, START)
    assert [pace.effective(START), pace.effective(START + 1000)] == [at_once, at_last]


def test_a_changed_limit_is_in_force_at_once_when_nothing_is_cut() -> None:
    pace = number_pace()
    pace.change_limit(1000, START)
    assert pace.effective(START) == 1000
    assert pace.pace(START).per_second == 900


def test_a_person_written_to_before_has_used_up_a_part_of_the_burst() -> None:
    known = [START - 1] * 45
    paces = PersonPaces(per_minute=10, burst=45)
    assert paces.wait_s(CUSTOMER, START, known) == pytest.approx(5)
    assert paces.wait_s("447700900222", START) == 0
    paid_back = PersonPaces(per_minute=10, burst=45)
    assert paid_back.wait_s(CUSTOMER, START, [START - 270] * 45) == 0
    assert spare_sends(paid_back, START) == 45


def test_sends_known_from_before_count_once() -> None:
    paces = PersonPaces(per_minute=10, burst=3)
    sends = [START - 2, START - 1]
    assert paces.reserve(CUSTOMER, START, sends) == 0
    assert paces.reserve(CUSTOMER, START + 6, sends) == 0
    assert paces.reserve(CUSTOMER, START + 6, sends) > 0


def spare_sends(paces: PersonPaces, now: float) -> int:
    """How many may be sent to the customer now."""
    count = 0
    while paces.wait_s(CUSTOMER, now) == 0:
        paces.reserve(CUSTOMER, now)
        count += 1
    return count


def test_each_refusal_in_a_row_pauses_a_person_four_times_as_long() -> None:
    paces, now, pauses = PersonPaces(per_minute=60, burst=45), START, []
    for _ in range(6):
        paces.reserve(CUSTOMER, now)
        paces.refused(CUSTOMER, now)
        pauses.append(paces.wait_s(CUSTOMER, now))
        now += pauses[-1] + ROUNDING_S
    assert pauses == pytest.approx([1, 4, 16, 64, 256, LONGEST_PERSON_PAUSE_S], abs=1e-4)


def test_a_send_that_was_accepted_ends_the_row() -> None:
    paces, now = PersonPaces(per_minute=10, burst=45), START
    for _ in range(3):
        paces.reserve(CUSTOMER, now)
        paces.refused(CUSTOMER, now)
        now += 100
    paces.reserve(CUSTOMER, now)
    paces.reserve(CUSTOMER, now + 10)
    paces.refused(CUSTOMER, now + 10)
    assert paces.wait_s(CUSTOMER, now + 10) == pytest.approx(1)


def test_after_the_pause_a_person_has_no_burst_left_and_others_are_not_touched() -> None:
    paces = PersonPaces(per_minute=10, burst=45)
    paces.reserve(CUSTOMER, START)
    paces.refused(CUSTOMER, START)
    assert spare_sends(paces, START + 1 + ROUNDING_S) == 1
    assert paces.wait_s("447700900222", START) == 0
