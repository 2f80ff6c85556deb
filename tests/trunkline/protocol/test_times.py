"""Times on the wire."""

from __future__ import annotations

import pytest

from trunkline.protocol.times import customer_time, iso_milliseconds, unix_seconds, window_opened_at

NONSENSE: list[object] = [None, "", "not-a-number", "-1", 0, "0", True, [], {}, "999999999999", "1e9", 10**40]


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        pytest.param("1795435200", 1795435200.0, id="seconds"),
        pytest.param(1795435200, 1795435200.0, id="a number"),
        pytest.param("1795435200123", 1795435200.123, id="milliseconds"),
        pytest.param(1795435200123, 1795435200.123, id="milliseconds as a number"),
        pytest.param(1795435200.5, 1795435200.5, id="a fraction"),
        *(pytest.param(nonsense, 7.0, id=f"nonsense: {nonsense!r}") for nonsense in NONSENSE),
        pytest.param("١٧٩٥٤٣٥٢٠٠", 7.0, id="digits of another script"),
    ],
)
def test_a_timestamp_is_seconds_or_nonsense(timestamp: object, seconds: float) -> None:
    assert unix_seconds(timestamp, otherwise=7.0) == seconds


@pytest.mark.parametrize(
    ("at", "iso"),
    [
        (1795435200, "2026-11-23T12:00:00.000Z"),
        (1795435200.123, "2026-11-23T12:00:00.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_genesys_reads_milliseconds_in_utc(at: float, iso: str) -> None:
    assert iso_milliseconds(at) == iso


@pytest.mark.parametrize(
    ("message", "at"),
    [
        pytest.param({"timestamp": "90"}, 90.0, id="as it says"),
        pytest.param({"timestamp": "90000"}, 100.0, id="but not after it was accepted"),
        pytest.param({}, 100.0, id="unsaid"),
        pytest.param({"timestamp": "soon"}, 100.0, id="nonsense"),
        pytest.param(None, 100.0, id="no message"),
        pytest.param([1], 100.0, id="no object"),
    ],
)
def test_a_customer_wrote_when_the_message_says(message: object, at: float) -> None:
    assert customer_time(message, 100.0) == at
    assert window_opened_at(message, 100.0) == at


@pytest.mark.parametrize("kind", ["system", "request_welcome", "edit", "revoke", "reaction"])
def test_what_is_no_message_of_the_customer_opens_no_window(kind: str) -> None:
    assert window_opened_at({"type": kind, "timestamp": "90"}, 100.0) is None


@pytest.mark.parametrize("kind", ["text", "image", "unsupported", "a new one", None, 7, ["edit"]])
def test_any_other_kind_does(kind: object) -> None:
    assert window_opened_at({"type": kind, "timestamp": "90"}, 100.0) == 90.0
