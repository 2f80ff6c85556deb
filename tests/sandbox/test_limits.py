"""The clouds' own limits."""

from __future__ import annotations

import pytest

from sandbox.limits import Limiters, PairRate, RollingWindow


def test_a_rolling_window_never_holds_more_than_its_limit() -> None:
    window = RollingWindow(10, 60.0)
    granted = [now for now in (step * 0.7 for step in range(1000)) if window.take(now) == 0]

    for start in granted:
        assert sum(start <= now < start + 60 for now in granted) <= 10
    assert len(granted) >= 110


def test_a_refusal_says_when_the_next_is_granted() -> None:
    window = RollingWindow(2, 60.0)
    window.take(0.0)
    window.take(20.0)

    wait = window.take(45.0)

    assert wait == pytest.approx(15.0)
    assert window.take(45.0 + wait) == 0


def test_what_is_counted_without_asking_uses_the_window_up() -> None:
    window = RollingWindow(1, 1.0)
    window.count(0.0)

    assert window.take(0.5) > 0


def test_a_burst_is_borrowed_from_the_time_that_follows() -> None:
    pairs = PairRate()
    now = 0.0
    burst = [pairs.take("number", "person", 10, 45, now) for _ in range(46)]

    assert burst[:45] == [0.0] * 45
    assert burst[45] == pytest.approx(6.0)
    granted_later = sum(pairs.take("number", "person", 10, 45, float(now)) == 0 for now in range(1, 601))
    assert granted_later == 100


def test_a_changed_limit_holds_at_once() -> None:
    limiters = Limiters()
    assert limiters.genesys_client("c", 1).take(0.0) == 0
    assert limiters.genesys_client("c", 1).take(0.0) > 0

    assert limiters.genesys_client("c", 2).take(0.0) == 0
