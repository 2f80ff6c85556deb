"""Grafana's form of the dashboards."""

from __future__ import annotations

import json
from typing import Any

from scripts.observability.panels import Dashboard, Panel

COLUMNS, HEIGHT, NUMBER_HEIGHT = 2, 8, 4
WIDTH = 24 // COLUMNS
# Picked in the page's head; every Grafana has some Prometheus.
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GRAFANA_UNITS = {"bool": "bool_yes_no", "reqps": "ops"}


def as_json(dashboard: Dashboard) -> str:
    """The file that Grafana is given."""
    return json.dumps(_dashboard(dashboard), indent=2) + "\n"


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    chosen = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
    }
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["trunkline"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [chosen]},
        "links": [{"type": "dashboards", "tags": ["trunkline"], "title": "Trunkline", "asDropdown": False}],
        "panels": [_panel(panel, number) for number, panel in enumerate(dashboard.panels)],
    }


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    place = {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": NUMBER_HEIGHT if panel.number else HEIGHT}
    targets = [
        {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for at, (expression, legend) in enumerate(panel.curves)
    ]
    legend = {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]}
    return {
        "id": number + 1,
        "type": "stat" if panel.number else "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": GRAFANA_UNITS.get(panel.unit, panel.unit), "min": 0 if panel.unit != "s" else None},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.number else {"legend": legend},
    }
