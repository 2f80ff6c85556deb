"""Holds: a refusal pauses, a probe decides, and nobody hammers."""

from __future__ import annotations

import pytest

from trunkline.tenancy.hold import FIRST_PAUSE_S, LONGEST_PAUSE_S, PROBE_TIMEOUT_S, Hold

NOW = 1000.0


@pytest.fixture
def hold() -> Hold:
    return Hold()


def test_without_a_refusal_calls_leave_and_none_is_a_probe(hold: Hold) -> None:
    assert hold.wait_s(NOW) == 0
    assert not hold.take_probe(NOW)


def test_after_a_refusal_nothing_leaves_until_the_pause_is_over(hold: Hold) -> None:
    hold.refused("401", NOW)
    assert hold.reason == "401"
    assert hold.wait_s(NOW + FIRST_PAUSE_S - 0.1) == pytest.approx(0.1)
    assert not hold.take_probe(NOW + FIRST_PAUSE_S - 0.1)
    assert hold.wait_s(NOW + FIRST_PAUSE_S) == 0


def test_then_one_call_is_the_probe_and_the_others_wait_for_its_answer(hold: Hold) -> None:
    hold.refused("401", NOW)
    after = NOW + FIRST_PAUSE_S
    assert [hold.take_probe(after) for _ in range(3)] == [True, False, False]
    assert hold.wait_s(after) == PROBE_TIMEOUT_S


def test_an_accepted_probe_lets_all_leave(hold: Hold) -> None:
    hold.refused("401", NOW)
    hold.take_probe(NOW + FIRST_PAUSE_S)
    hold.accepted()
    assert hold.reason is None
    assert hold.wait_s(NOW + FIRST_PAUSE_S) == 0


def test_each_refused_probe_pauses_longer_up_to_a_limit(hold: Hold) -> None:
    now, pauses = NOW, []
    for _ in range(5):
        hold.refused("401", now)
        pauses.append(hold.wait_s(now))
        now += hold.wait_s(now)
        assert hold.take_probe(now)
    assert pauses == [2, 4, 8, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_an_accepted_probe_forgets_how_long_the_pauses_had_become(hold: Hold) -> None:
    for now in (NOW, NOW + 10, NOW + 30):
        hold.refused("401", now)
    hold.accepted()
    hold.refused("401", NOW + 100)
    assert hold.wait_s(NOW + 100) == FIRST_PAUSE_S


def test_refusals_of_calls_that_left_before_do_not_lengthen_the_pause(hold: Hold) -> None:
    for late in range(20):
        hold.refused("401", NOW + late * 0.05)
    assert hold.until == NOW + FIRST_PAUSE_S


def test_throttling_pauses_for_as_long_as_it_says_and_no_longer_each_time(hold: Hold) -> None:
    for now in (NOW, NOW + 60, NOW + 120):
        hold.throttled("429", now, 17.0)
        assert hold.wait_s(now) == 17.0


def test_the_longest_wait_asked_for_counts(hold: Hold) -> None:
    hold.throttled("429", NOW, 30.0)
    hold.throttled("429", NOW + 1, 5.0)
    assert hold.wait_s(NOW + 1) == 29.0


def test_a_throttled_probe_waits_as_long_as_it_was_told_to(hold: Hold) -> None:
    hold.throttled("429", NOW, 2.0)
    assert hold.take_probe(NOW + 2)
    hold.throttled("429", NOW + 2.1, 3.0)
    assert hold.wait_s(NOW + 2.1) == pytest.approx(3.0)


def test_a_probe_that_nobody_heard_of_again_blocks_the_next_for_a_while_only(hold: Hold) -> None:
    hold.refused("401", NOW)
    hold.take_probe(NOW + FIRST_PAUSE_S)
    later = NOW + FIRST_PAUSE_S + PROBE_TIMEOUT_S
    assert not hold.take_probe(later - 0.1)
    assert hold.take_probe(later)


def test_other_credentials_are_tried_at_once(hold: Hold) -> None:
    hold.refused("401", NOW)
    hold.take_probe(NOW + FIRST_PAUSE_S)
    hold.reset()
    assert hold.wait_s(NOW + FIRST_PAUSE_S) == 0
    hold.refused("401", NOW + 3)
    assert hold.wait_s(NOW + 3) == FIRST_PAUSE_S
