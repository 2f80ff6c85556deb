"""What was used of a limit in the last minute."""

from __future__ import annotations

from trunkline.tenancy.usage import Usage

NOON = 1_795_435_200.0


def test_calls_count_from_when_they_leave_until_a_minute_later() -> None:
    usage = Usage()
    for at in (0.0, 0.9, 30.0, 45.0):
        usage.add(NOON + at)
    assert [usage.last_minute(NOON + at) for at in (0, 29, 30, 59, 60, 89, 90, 105)] == [2, 2, 3, 4, 2, 2, 1, 0]


def test_what_was_counted_long_ago_is_forgotten() -> None:
    usage = Usage()
    usage.add(NOON)
    assert usage.last_minute(NOON + 128) == 0
    usage.add(NOON + 128)
    assert usage.last_minute(NOON + 128) == 1
