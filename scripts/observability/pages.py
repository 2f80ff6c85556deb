"""What is written from the tables of metrics and panels: Grafana's files, and the table in docs/observability.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.launcher.service import ROOT
from scripts.observability.dashboards import as_json
from scripts.observability.panels import DASHBOARDS
from trunkline.metrics import METRICS, Kind

GRAFANA = ROOT / "config" / "grafana"
PAGE = ROOT / "docs" / "observability.md"
BEGIN, END = "<!-- written from trunkline/metrics.py -->", "<!-- to here -->"


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is written, with its content."""
    for dashboard in DASHBOARDS:
        yield GRAFANA / dashboard.file, as_json(dashboard)
    yield PAGE, _with_table(PAGE.read_text())


def table() -> str:
    """The table of all metrics."""
    lines = ["| in Prometheus | kind, unit | labels | what it says |", "|---|---|---|---|"]
    for metric in METRICS:
        names = "`, `".join(metric.exported) if metric.kind is not Kind.HISTOGRAM else f"ray_{metric.name}_*_total"
        labels = ", ".join(metric.labels) or "none"
        lines.append(f"| `{names}` | {metric.kind.value}, {metric.unit} | {labels} | {metric.says} |")
    return "\n".join(lines)


def _with_table(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
