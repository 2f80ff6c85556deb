"""The dashboards' panels as PNGs, from Prometheus' own answers: for a page, or where there is no Grafana."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import matplotlib

from scripts.launcher.errors import LauncherError
from scripts.observability.panels import DASHBOARDS, Dashboard, Panel

matplotlib.use("Agg")

from matplotlib import dates, pyplot
from matplotlib.ticker import EngFormatter, PercentFormatter

COLUMNS = 3
INCHES = (5.4, 2.9)
POINTS = 180
CURVES_NAMED = 9


def draw(url: str, folder: Path, minutes: float) -> Iterator[Path]:
    """A picture for each dashboard; raises LauncherError when Prometheus does not answer."""
    ends = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for dashboard in DASHBOARDS:
            path = folder / Path(dashboard.file).with_suffix(".png").name
            _draw(client, dashboard, ends - minutes * 60, ends, path)
            yield path


def _draw(client: httpx.Client, dashboard: Dashboard, begins: float, ends: float, path: Path) -> None:
    rows = -(-len(dashboard.panels) // COLUMNS)
    figure, places = pyplot.subplots(rows, COLUMNS, figsize=(INCHES[0] * COLUMNS, INCHES[1] * rows), squeeze=False)
    for place in places.flat[len(dashboard.panels) :]:
        place.set_visible(False)
    for panel, place in zip(dashboard.panels, places.flat, strict=False):
        _draw_panel(client, panel, place, begins, ends)
    when = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
    figure.suptitle(f"{dashboard.title}, {when}")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.25 / (INCHES[1] * rows)))
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _draw_panel(client: httpx.Client, panel: Panel, place: Any, begins: float, ends: float) -> None:
    drawn = 0
    for expression, legend in panel.curves:
        for curve in _ask(client, expression, begins, ends):
            times = [datetime.fromtimestamp(float(at), UTC) for at, _ in curve["values"]]
            values = [float(value) for _, value in curve["values"]]
            name = _named(legend, curve["metric"]) if drawn < CURVES_NAMED else None
            place.plot(times, values, label=name, linewidth=1.2)
            drawn += 1
    place.set_title(panel.title, fontsize=9)
    place.tick_params(labelsize=7)
    place.grid(alpha=0.3)
    place.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]
    place.set_xlim(datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC))
    if panel.unit == "percentunit":
        place.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    elif panel.unit in ("s", "bytes"):
        place.yaxis.set_major_formatter(EngFormatter(unit={"s": "s", "bytes": "B"}[panel.unit]))
    if drawn:
        place.legend(fontsize=6, loc="upper left")
        place.set_ylim(bottom=min(0.0, place.get_ylim()[0]))
    else:
        place.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=place.transAxes, fontsize=8)


def _ask(client: httpx.Client, expression: str, begins: float, ends: float) -> list[dict[str, Any]]:
    asked: dict[str, str | float] = {
        "query": expression,
        "start": begins,
        "end": ends,
        "step": max(1.0, (ends - begins) / POINTS),
    }
    try:
        answer = client.get("/api/v1/query_range", params=asked)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise LauncherError(f"Prometheus at {client.base_url} does not answer: {error}") from error
    curves: list[dict[str, Any]] = answer.json()["data"]["result"]
    return curves


def _named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
