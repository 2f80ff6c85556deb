"""Times on the wire."""

from __future__ import annotations

import pytest

from trunkline.protocol.times import iso_milliseconds, unix_seconds

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
