"""Percentiles, medians, and one figure out of those of several rounds. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

# What must not happen at all is added up over the rounds: a median would hide it.
COUNTS = frozenset({"sent", "lost", "doubled", "reordered", "refused"})


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent of all do not exceed; 0 where there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def over_rounds(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the same shape: the median of each, the sum of those that count something."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in rounds for name in each):
        values = [each[name] for each in rounds if name in each]
        if isinstance(values[0], dict):
            merged[name] = over_rounds(values)
        elif name in COUNTS:
            merged[name] = sum(values)
        else:
            merged[name] = statistics.median(values)
    return merged
