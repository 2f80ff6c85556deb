"""Circuits: trouble opens them, a probe decides, and nobody hammers."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.tenancy.circuit import (
    FIRST_PAUSE_S,
    LONGEST_FAILING_PAUSE_S,
    LONGEST_REFUSED_PAUSE_S,
    PROBE_TIMEOUT_S,
    PROBES_APART_S,
    SUSPECT_WAITS_S,
    Circuit,
    CircuitState,
)

NOW = 1000.0
AFTER = NOW + FIRST_PAUSE_S

Trouble = Callable[[Circuit, float], None]


def refused(circuit: Circuit, now: float) -> None:
    circuit.refused("401", now)


def failing(circuit: Circuit, now: float) -> None:
    circuit.failing("503", now)


@pytest.fixture
def circuit() -> Circuit:
    """One whose pauses are the longest that may be drawn."""
    return Circuit(draw=lambda shortest, longest: longest)


def test_while_it_is_closed_calls_leave_and_none_is_a_probe(circuit: Circuit) -> None:
    assert circuit.wait_s(NOW) == 0
    assert not circuit.take_probe(NOW)
    assert circuit.describe(NOW) == {"state": "closed", "reason": None, "nextTryInSeconds": None}


@pytest.mark.parametrize("trouble", [refused, failing])
def test_once_open_nothing_leaves_until_the_pause_is_over(circuit: Circuit, trouble: Trouble) -> None:
    trouble(circuit, NOW)
    assert circuit.state(NOW) is CircuitState.OPEN
    assert circuit.wait_s(AFTER - 0.1) == pytest.approx(0.1)
    assert not circuit.take_probe(AFTER - 0.1)
    assert circuit.wait_s(AFTER) == 0
    assert circuit.state(AFTER) is CircuitState.HALF_OPEN


@pytest.mark.parametrize("trouble", [refused, failing])
def test_then_one_call_is_the_probe_and_the_others_wait_for_its_answer(circuit: Circuit, trouble: Trouble) -> None:
    trouble(circuit, NOW)
    assert [circuit.take_probe(AFTER) for _ in range(3)] == [True, False, False]
    assert circuit.wait_s(AFTER) == PROBE_TIMEOUT_S


def test_it_is_described_in_words_and_numbers(circuit: Circuit) -> None:
    circuit.failing("503 service.unavailable", NOW)
    reason = "503 service.unavailable"
    assert circuit.describe(NOW + 0.5) == {"state": "open", "reason": reason, "nextTryInSeconds": 1.5}
    assert circuit.describe(AFTER) == {"state": "half_open", "reason": reason, "nextTryInSeconds": 0.0}
    circuit.take_probe(AFTER)
    assert circuit.describe(AFTER) == {"state": "half_open", "reason": reason, "nextTryInSeconds": PROBE_TIMEOUT_S}


def test_an_accepted_probe_lets_all_leave(circuit: Circuit) -> None:
    circuit.failing("503", NOW)
    circuit.take_probe(AFTER)
    circuit.accepted()
    assert circuit.reason is None
    assert [circuit.take_probe(AFTER), circuit.wait_s(AFTER)] == [False, 0]


@pytest.mark.parametrize(
    ("trouble", "pauses"),
    [
        pytest.param(refused, [2, 4, 8, LONGEST_REFUSED_PAUSE_S, LONGEST_REFUSED_PAUSE_S, 8], id="refused"),
        pytest.param(failing, [2, 4, 8, 16, LONGEST_FAILING_PAUSE_S, LONGEST_FAILING_PAUSE_S], id="failing"),
    ],
)
def test_each_failed_probe_pauses_longer_up_to_a_limit(circuit: Circuit, trouble: Trouble, pauses: list[float]) -> None:
    now, seen = NOW, []
    for _ in pauses:
        trouble(circuit, now)
        seen.append(circuit.wait_s(now))
        now += circuit.wait_s(now)
        assert circuit.take_probe(now)
    assert seen == pauses


def test_corrected_credentials_are_tried_soon_even_after_a_long_failure(circuit: Circuit) -> None:
    now = NOW
    for _ in range(6):
        circuit.failing("503", now)
        now += circuit.wait_s(now)
        circuit.take_probe(now)
    circuit.refused("401", now)
    assert circuit.wait_s(now) == LONGEST_REFUSED_PAUSE_S


def test_an_accepted_probe_forgets_how_long_the_pauses_had_become(circuit: Circuit) -> None:
    now = NOW
    for _ in range(4):
        circuit.failing("503", now)
        now += circuit.wait_s(now)
        circuit.take_probe(now)
    circuit.accepted()
    circuit.failing("503", now + 100)
    assert circuit.wait_s(now + 100) == FIRST_PAUSE_S


@pytest.mark.parametrize("trouble", [refused, failing])
def test_calls_that_left_before_it_opened_do_not_lengthen_the_pause(circuit: Circuit, trouble: Trouble) -> None:
    for late in range(20):
        trouble(circuit, NOW + late * 0.05)
    assert circuit.wait_s(NOW) == FIRST_PAUSE_S


def test_a_slow_call_that_left_before_it_opened_does_not_lengthen_the_pause_either(circuit: Circuit) -> None:
    circuit.failing("503", NOW)
    circuit.failing("timed out", AFTER + 5)
    assert circuit.reason == "503"
    assert circuit.take_probe(AFTER + 5)


def test_throttling_pauses_for_as_long_as_it_says_and_no_longer_each_time(circuit: Circuit) -> None:
    for now in (NOW, NOW + 60, NOW + 120):
        circuit.throttled("429", now, 17.0)
        assert circuit.wait_s(now) == 17.0


def test_the_longest_wait_asked_for_counts(circuit: Circuit) -> None:
    circuit.throttled("429", NOW, 30.0)
    circuit.throttled("429", NOW + 1, 5.0)
    assert circuit.wait_s(NOW + 1) == 29.0


def test_throttling_does_not_make_the_next_pause_longer(circuit: Circuit) -> None:
    for now in (NOW, NOW + 60):
        circuit.throttled("429", now, 17.0)
    circuit.take_probe(NOW + 77)
    circuit.failing("503", NOW + 77)
    assert circuit.wait_s(NOW + 77) == FIRST_PAUSE_S


def test_a_throttled_probe_waits_as_long_as_it_was_told_to(circuit: Circuit) -> None:
    circuit.throttled("429", NOW, 2.0)
    assert circuit.take_probe(NOW + 2)
    circuit.throttled("429", NOW + 2.1, 3.0)
    assert circuit.wait_s(NOW + 2.1) == pytest.approx(3.0)


def test_probes_keep_their_distance_however_soon_the_cloud_wants_the_next(circuit: Circuit) -> None:
    circuit.throttled("429", NOW, 1.0)
    assert circuit.take_probe(NOW + 1)
    circuit.throttled("429", NOW + 1.1, 0.5)
    assert circuit.wait_s(NOW + 1.1) == pytest.approx(PROBES_APART_S - 0.1)


def test_a_probe_that_nobody_heard_of_again_blocks_the_next_for_a_while_only(circuit: Circuit) -> None:
    circuit.refused("401", NOW)
    circuit.take_probe(AFTER)
    later = AFTER + PROBE_TIMEOUT_S
    assert not circuit.take_probe(later - 0.1)
    assert circuit.take_probe(later)


def test_the_probe_has_its_time_from_when_it_leaves(circuit: Circuit) -> None:
    circuit.failing("503", NOW)
    circuit.take_probe(AFTER, leaves_in_s=60.0)
    assert circuit.wait_s(AFTER) == 60 + PROBE_TIMEOUT_S


def test_a_probe_that_told_nothing_makes_room_for_the_next(circuit: Circuit) -> None:
    circuit.failing("503", NOW)
    circuit.take_probe(AFTER)
    circuit.void_probe()
    assert circuit.wait_s(AFTER) == PROBES_APART_S
    assert circuit.take_probe(AFTER + PROBES_APART_S)


def test_a_suspect_leaves_the_probe_to_others_for_a_while(circuit: Circuit) -> None:
    circuit.failing("503", NOW)
    assert circuit.wait_s(AFTER, suspect=True) == SUSPECT_WAITS_S
    assert not circuit.take_probe(AFTER + SUSPECT_WAITS_S - 0.1, suspect=True)
    assert circuit.take_probe(AFTER + SUSPECT_WAITS_S, suspect=True)


def test_a_suspect_waits_for_the_probe_of_another_and_leaves_freely_afterwards(circuit: Circuit) -> None:
    circuit.failing("503", NOW)
    circuit.take_probe(AFTER + 1)
    assert not circuit.take_probe(AFTER + 10, suspect=True)
    circuit.accepted()
    assert circuit.wait_s(AFTER + 10, suspect=True) == 0


def test_other_credentials_are_tried_at_once(circuit: Circuit) -> None:
    circuit.refused("401", NOW)
    circuit.take_probe(AFTER)
    circuit.reset()
    assert circuit.wait_s(AFTER) == 0
    circuit.refused("401", NOW + 3)
    assert circuit.wait_s(NOW + 3) == FIRST_PAUSE_S


def test_tenants_of_one_cloud_do_not_come_back_together() -> None:
    waits = set()
    for seed in range(20):
        circuit, now = Circuit(draw=random.Random(seed).uniform), NOW
        for _ in range(3):
            circuit.failing("503", now)
            now += circuit.wait_s(now)
            circuit.take_probe(now)
        waits.add(now)
    assert len(waits) == 20


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 20), st.sampled_from("rfaxt")), max_size=60))
def test_whatever_comes_in_probes_are_never_closer_than_two_seconds(seed: int, story: list[tuple[float, str]]) -> None:
    circuit, now, probes = Circuit(draw=random.Random(seed).uniform), NOW, []
    for gap_s, event in story:
        now += gap_s
        if circuit.take_probe(now):
            probes.append(now)
        match event:
            case "r":
                circuit.refused("401", now)
            case "f":
                circuit.failing("503", now)
            case "t":
                circuit.throttled("429", now, 1.0)
            case "a" if circuit.reason is not None:
                circuit.accepted()
            case _:
                pass
    assert all(after - before >= PROBES_APART_S - 1e-6 for before, after in pairwise(probes))
