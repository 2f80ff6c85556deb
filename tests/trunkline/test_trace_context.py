"""A message's place in its trace: its id, whether it is traced, how it is written and read."""

from __future__ import annotations

import pytest

from trunkline.envelope import Direction, message_id_for
from trunkline.trace_context import is_traced, read_traceparent, trace_id_of, traceparent

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
# The example of the W3C.
WRITTEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDS = [message_id_for("acme", Direction.INBOUND, str(number)) for number in range(4000)]
LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
FIRST = "ffffffff-ffff-ffff-0000-000000000000"


def test_a_trace_has_the_id_of_its_message() -> None:
    assert trace_id_of("01234567-89ab-cdef-0123-456789abcdef") == "0123456789abcdef0123456789abcdef"


def test_a_place_is_read_as_it_was_written() -> None:
    assert traceparent(TRACE, SPAN) == WRITTEN
    assert read_traceparent(WRITTEN) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param(WRITTEN.upper(), id="capitals"),
        pytest.param(f"{WRITTEN}-more", id="more behind"),
        pytest.param(WRITTEN[1:], id="a digit short"),
        pytest.param(f"ff{WRITTEN[2:]}", id="a version that is none"),
        pytest.param(f"{WRITTEN[:-2]}00", id="not recorded"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", id="no trace"),
        pytest.param(f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", id="no span"),
    ],
)
def test_what_is_no_place_in_a_trace_is_none(text: str | None) -> None:
    assert read_traceparent(text) is None


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0.0, 0), (0.25, 1000), (1.0, 4000)],
)
def test_so_large_a_part_of_all_messages_is_traced(ratio: float, expected: int) -> None:
    assert sum(is_traced(each, ratio) for each in IDS) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("message_id", [FIRST, LAST])
def test_all_and_nothing_have_no_exception(message_id: str) -> None:
    assert is_traced(message_id, 1.0)
    assert not is_traced(message_id, 0.0)


def test_what_is_traced_of_few_is_traced_of_more() -> None:
    assert {each for each in IDS if is_traced(each, 0.1)} < {each for each in IDS if is_traced(each, 0.3)}
