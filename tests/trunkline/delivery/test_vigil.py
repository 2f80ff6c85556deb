"""Who has stopped answering is found by its silence, unless it is being started or we were not there."""

from __future__ import annotations

import pytest

from trunkline.delivery.vigil import PAUSED_AFTER_S, SILENT_AFTER_S, STARTS_WITHIN_S, Vigil

NOW = 1000.0
LATER = NOW + SILENT_AFTER_S + 0.1


@pytest.fixture
def vigil() -> Vigil:
    """Two that have answered and are asked again; one of them always answers in time."""
    made = Vigil()
    for name in ("hangs", "well"):
        made.asked(name, NOW - 1)
        made.answered(name, NOW - 1)
        made.asked(name, NOW)
    return made


def rounds(vigil: Vigil, until: float) -> None:
    """Rounds a second apart, in which `well` answers."""
    now = NOW
    while now < until:
        vigil.begin_round(now)
        vigil.answered("well", now)
        vigil.asked("well", now)
        now += 1
    vigil.begin_round(until)


def test_silence_is_noticed_after_its_time(vigil: Vigil) -> None:
    rounds(vigil, NOW + SILENT_AFTER_S)
    assert vigil.silent(NOW + SILENT_AFTER_S) == []
    rounds(vigil, LATER)
    assert vigil.silent(LATER) == ["hangs"]


def test_a_question_that_was_lost_and_asked_again_makes_the_silence_no_younger(vigil: Vigil) -> None:
    rounds(vigil, NOW + 5)
    vigil.asked("hangs", NOW + 5)
    rounds(vigil, LATER)
    assert vigil.silent(LATER) == ["hangs"]


def test_one_that_is_being_started_has_more_time(vigil: Vigil) -> None:
    vigil.unreachable("hangs")
    vigil.asked("hangs", NOW)
    vigil.asked("first start", NOW)
    rounds(vigil, NOW + STARTS_WITHIN_S)
    assert vigil.silent(NOW + STARTS_WITHIN_S) == []
    rounds(vigil, NOW + STARTS_WITHIN_S + 1)
    assert vigil.silent(NOW + STARTS_WITHIN_S + 1) == ["hangs", "first start"]


def test_our_own_pause_is_nobodys_silence(vigil: Vigil) -> None:
    vigil.begin_round(NOW)
    back = NOW + SILENT_AFTER_S + PAUSED_AFTER_S
    vigil.begin_round(back)
    vigil.answered("well", back)
    assert vigil.silent(back) == []
    for second in range(1, 8):
        vigil.begin_round(back + second)
        vigil.asked("well", back + second)
        vigil.answered("well", back + second)
    assert vigil.silent(back + 7) == ["hangs"]


def test_while_nobody_answers_it_may_be_us_who_are_cut_off(vigil: Vigil) -> None:
    assert vigil.silent(LATER) == []
    assert set(vigil.silent(NOW + STARTS_WITHIN_S + 1)) == {"hangs", "well"}


def test_on_a_crowded_machine_everybody_takes_longer(vigil: Vigil) -> None:
    rounds(vigil, LATER)
    assert vigil.silent(LATER, crowd=2.0) == []
    assert vigil.silent(LATER, crowd=0.1) == ["hangs"]
    rounds(vigil, NOW + 2 * SILENT_AFTER_S + 0.1)
    assert vigil.silent(NOW + 2 * SILENT_AFTER_S + 0.1, crowd=2.0) == ["hangs"]


def test_one_that_is_no_more_is_not_missed(vigil: Vigil) -> None:
    vigil.forget("hangs")
    rounds(vigil, LATER)
    assert vigil.silent(LATER) == []
