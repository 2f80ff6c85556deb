"""What Trunkline is meant to reach on two cores, and whether a result does. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.benchmark.processes import ASIDE

# The platform's figures by row.
Figures = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """Something wanted; `measured` is the figure, or None where its rows were not measured."""

    what: str
    wanted: str
    shown: str
    holds: bool | None


def check(figures: Figures) -> list[Target]:
    """Every target, with what was measured beside it."""
    return [
        _at_least("inbound flat out, end to end", 1_500, "/s", _figure(figures, "flat", "rate")),
        _at_most(
            "CPU for a message flat out, all but driver and clouds", 1_000, " µs",
            _of(figures, "flat", lambda row: cpu_us(row)),
        ),
        _at_most("p99 at 100/s", 25, " ms", _figure(figures, "paced-100", "p99_ms")),
        _at_most("p99 at 600/s", 60, " ms", _figure(figures, "paced-600", "p99_ms")),
        _at_least("accepted alone over 64 connections", 2_500, "/s", _figure(figures, "accept-64", "rate")),
        _at_most("p99 of the answer meanwhile", 60, " ms", _figure(figures, "accept-64", "p99_ms")),
        _at_least("clouds that take 100 ms, 50 tenants", 1_200, "/s", _figure(figures, "latency-100", "rate")),
        _at_least("4 transformers to 1, clouds that take 200 ms", 3.5, " times", _times(figures, "pool-4", "pool-1")),
    ]  # fmt: skip


def cpu_us(row: Mapping[str, Any]) -> float:
    """Microseconds of processor time for a message, of everything but the driver and the clouds."""
    return float(sum(value for part, value in row["cpu_us"].items() if part not in ASIDE))


def _figure(figures: Figures, row: str, name: str) -> float | None:
    return _of(figures, row, lambda measured: float(measured[name]))


def _of(figures: Figures, row: str, figure: Callable[[Mapping[str, Any]], float]) -> float | None:
    return figure(figures[row]) if row in figures else None


def _times(figures: Figures, many: str, one: str) -> float | None:
    if many not in figures or one not in figures or not figures[one]["rate"]:
        return None
    return float(figures[many]["rate"] / figures[one]["rate"])


def _at_least(what: str, wanted: float, unit: str, measured: float | None) -> Target:
    return _target(what, f"at least {wanted:,g}{unit}", unit, measured, measured is not None and measured >= wanted)


def _at_most(what: str, wanted: float, unit: str, measured: float | None) -> Target:
    word = "at most" if unit == " µs" else "under"
    holds = measured is not None and (measured <= wanted if word == "at most" else measured < wanted)
    return _target(what, f"{word} {wanted:,g}{unit}", unit, measured, holds)


def _target(what: str, wanted: str, unit: str, measured: float | None, holds: bool) -> Target:
    if measured is None:
        return Target(what, wanted, "", None)
    shown = f"{measured:,.2f}" if measured < 10 else f"{measured:,.1f}" if measured < 100 else f"{measured:,.0f}"
    return Target(what, wanted, f"{shown}{unit}", holds)
