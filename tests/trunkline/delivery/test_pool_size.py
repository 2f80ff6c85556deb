"""A pool has the size that an operator gave it, or finds it by the age of what waits."""

from __future__ import annotations

import pytest

from trunkline.delivery.pool_size import EARLY_FOR_S, EARLY_S, LATE_ROUNDS, LATE_S, Bounds, PoolSize

NOW = 1000.0
LATE = LATE_S + 0.1


def observe(pool: PoolSize, oldest_s: float | None, rounds: int, since: float = NOW) -> None:
    """So many rounds, a second apart."""
    for number in range(rounds):
        pool.observe(oldest_s, since + number)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 65), (3, 2)])
def test_bounds_that_no_pool_can_have_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 64"):
        Bounds(low, high)


@pytest.mark.parametrize(("running", "size"), [(0, 2), (2, 2), (3, 3), (9, 4)])
def test_as_many_as_run_stay_as_far_as_the_bounds_let_them(running: int, size: int) -> None:
    assert PoolSize(Bounds(2, 4), running).size == size


def test_a_fixed_pool_stays_as_it_is() -> None:
    pool = PoolSize(Bounds(2, 2), 2)
    observe(pool, LATE, 10)
    observe(pool, None, 100)
    assert pool.size == 2


def test_other_bounds_move_the_size_into_them() -> None:
    pool = PoolSize(Bounds(1, 1), 1)
    pool.rebound(Bounds(3, 5))
    assert pool.size == 3
    pool.rebound(Bounds(1, 2))
    assert pool.size == 2


def test_a_pool_grows_by_one_after_rounds_that_were_all_late() -> None:
    pool = PoolSize(Bounds(1, 3), 1)
    observe(pool, LATE, LATE_ROUNDS - 1)
    observe(pool, LATE_S, 1)
    observe(pool, LATE, LATE_ROUNDS - 1)
    assert pool.size == 1
    observe(pool, LATE, 1)
    assert pool.size == 2
    observe(pool, LATE, 2 * LATE_ROUNDS)
    assert pool.size == 3  # and no further


def test_a_pool_shrinks_by_one_after_a_minute_without_anything_old() -> None:
    pool = PoolSize(Bounds(1, 3), 3)
    pool.observe(None, NOW)
    pool.observe(EARLY_S, NOW + EARLY_FOR_S / 2)
    pool.observe(0.0, NOW + EARLY_FOR_S / 2 + 1)
    pool.observe(0.0, NOW + EARLY_FOR_S)
    assert pool.size == 3
    pool.observe(0.9, NOW + EARLY_FOR_S * 1.5 + 1)
    assert pool.size == 2
    pool.observe(None, NOW + EARLY_FOR_S * 1.5 + 2)
    assert pool.size == 2  # the next one after another minute
