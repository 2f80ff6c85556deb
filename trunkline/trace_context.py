"""A message's place in its OpenTelemetry trace, as it travels with the message (W3C Trace Context). Pure."""

from __future__ import annotations

import re

TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1
# Of a trace's id the lower half decides, as OpenTelemetry's own samplers do it.
_DECIDING_DIGITS = 16
_LOWER_HALVES = 2**64


def trace_id_of(message_id: str) -> str:
    """The id of a message's trace: the message's own in other letters, so whoever has the one finds the other."""
    return message_id.replace("-", "")


def is_traced(message_id: str, ratio: float) -> bool:
    """Whether a message is among the `ratio` of all that are traced; a repeated webhook is where the first one was."""
    return int(trace_id_of(message_id)[-_DECIDING_DIGITS:], 16) < ratio * _LOWER_HALVES


def traceparent(trace_id: int, span_id: int) -> str:
    """The place of what comes after a span."""
    return f"00-{trace_id:032x}-{span_id:016x}-{_SAMPLED:02x}"


def read_traceparent(text: str | None) -> tuple[int, int] | None:
    """The ids of trace and span; None for what is no place in a trace, or in one that is not recorded."""
    found = _TRACEPARENT.fullmatch(text) if text is not None else None
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return (trace_id, span_id) if trace_id and span_id and flags & _SAMPLED else None
