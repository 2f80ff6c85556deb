"""Pictures of a result: rates, latencies, and what a message costs, as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: there may be no screen

from matplotlib import pyplot
from matplotlib.axes import Axes

from scripts.benchmark.processes import ASIDE
from scripts.benchmark.report import STAGES

WIDTH = 9.0
COLOURS = {"platform": "#2563a8", "yardstick": "#c9852b"}
SHARES = (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))


def draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what there is of the result into the folder; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [file for file in _drawn(result, folder)]


def _drawn(result: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    rows, medians = result["rows"], result["medians"]
    if flat_out := [row for row in rows if not row["rate"]]:
        yield _save(folder / "rates.png", _rates, flat_out, medians)
    if paced := [row for row in rows if row["rate"]]:
        yield _save(folder / "latencies.png", _latencies, paced, medians)
    yield _save(folder / "processor-time.png", _stacked("cpu_us", "µs of CPU for a message"), rows, medians)
    yield _save(folder / "memory.png", _stacked("memory_mib", "MiB (PSS) after the row"), rows, medians)


def _save(file: Path, plot: Any, rows: Sequence[Mapping[str, Any]], medians: Mapping[str, Any]) -> Path:
    figure, axes = pyplot.subplots(figsize=(WIDTH, 1.6 + 0.42 * max(len(rows), 4)), layout="constrained")
    plot(axes, rows, medians)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return file


def _rates(axes: Axes, rows: Sequence[Mapping[str, Any]], medians: Mapping[str, Any]) -> None:
    """Two bars for each row."""
    for offset, stage in zip((-0.2, 0.2), STAGES, strict=True):
        measured = medians[stage]["rows"]
        there = [(place, measured[row["name"]]["rate"]) for place, row in enumerate(rows) if row["name"] in measured]
        bars = axes.barh(
            [place + offset for place, _ in there], [rate for _, rate in there], 0.38, label=stage, color=COLOURS[stage]
        )
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    _label_rows(axes, rows)
    axes.set_xlabel("messages a second")
    axes.legend(frameon=False)


def _latencies(axes: Axes, rows: Sequence[Mapping[str, Any]], medians: Mapping[str, Any]) -> None:
    """A line for each percentile over the rates."""
    for stage in STAGES:
        measured = medians[stage]["rows"]
        there = [row for row in rows if row["name"] in measured]
        for (name, shown), style in zip(SHARES, ("-", "--", ":"), strict=True):
            axes.plot(
                [row["rate"] for row in there],
                [measured[row["name"]][name] for row in there],
                style, marker="o", markersize=4, color=COLOURS[stage], label=f"{stage}, {shown}",
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("messages a second")
    axes.set_ylabel("ms, end to end")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(axis="y", alpha=0.3)


def _stacked(figure: str, unit: str) -> Any:
    """A bar for each row of the platform, made of its parts."""

    def plot(axes: Axes, rows: Sequence[Mapping[str, Any]], medians: Mapping[str, Any]) -> None:
        measured = medians["platform"]["rows"]
        parts = sorted({part for row in measured.values() for part in row[figure]} - set(ASIDE))
        parts.sort(key=lambda part: -sum(row[figure].get(part, 0.0) for row in measured.values()))
        left = [0.0] * len(rows)
        colours = pyplot.get_cmap("tab20")
        for number, part in enumerate(parts):
            widths = [measured[row["name"]][figure].get(part, 0.0) for row in rows]
            axes.barh(range(len(rows)), widths, 0.7, left=left, label=part, color=colours(number % 20))
            left = [start + width for start, width in zip(left, widths, strict=True)]
        _label_rows(axes, rows)
        axes.set_xlabel(unit)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return plot


def _label_rows(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.set_yticks(range(len(rows)), [row["what"] for row in rows], fontsize=8)
    axes.invert_yaxis()
