"""A trial: how long it was silent after the fault."""

from __future__ import annotations

import pytest

from scripts.faults.trial import longest_silence_s

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("moments", "fault_ended", "posted", "silence_s"),
    [
        pytest.param([1, 5, 6], 4, 8, 2.0, id="the longest one until the last post"),
        pytest.param([1, 12, 20], 4, 8, 8.0, id="until the first arrival when that comes after the last post"),
        pytest.param([5, 6, 30], 4, 8, 2.0, id="what comes long after the last post is no silence"),
        pytest.param([1], 4, 8, 4.0, id="nothing arrives"),
        pytest.param([1], 4, 2, 0.0, id="nothing was posted after the fault"),
    ],
)
def test_the_recovery_is_the_longest_silence_after_the_fault(
    moments: list[int], fault_ended: int, posted: int, silence_s: float
) -> None:
    assert (
        longest_silence_s([moment * SECOND for moment in moments], fault_ended * SECOND, posted * SECOND) == silence_s
    )
