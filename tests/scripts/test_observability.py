"""Dashboards, alerts and the page about them name what there is, and Prometheus can read them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.launcher.errors import LauncherError
from scripts.launcher.service import ROOT
from scripts.observability import pages, prometheus
from scripts.observability.panels import DASHBOARDS
from tests.docs.pages import COMMAND, mistake_in
from trunkline.metrics import EXPORTED, METRICS, Kind

GUARANTEES = [f"G{number}" for number in range(1, 12)]
CHECKLIST = ROOT / "docs" / "troubleshooting.md"
UNIT_TESTS = Path(__file__).parent.parent / "data" / "alerts.yml"
SERIES = re.compile(r"ray_trunkline_\w+")
SELECTOR = re.compile(r"(ray_trunkline_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
BY = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
PROMTOOL_WITHIN_S = 60


@dataclass(frozen=True)
class Expression:
    """One expression, and where it stands."""

    where: str
    text: str

    def __str__(self) -> str:
        return self.where


def in_dashboards() -> Iterator[Expression]:
    for path in sorted(pages.GRAFANA.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield Expression(f"{path.name}: {panel['title']} {target['refId']}", target["expr"])


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(prometheus.ALERTS.read_text())["groups"]
    return found


ALERTS = [rule for group in groups() for rule in group["rules"]]
EXPRESSIONS = [*in_dashboards(), *(Expression(rule["alert"], rule["expr"]) for rule in ALERTS)]


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus' own checker, fetched once into the checkout."""
    try:
        return prometheus.obtain("promtool")
    except LauncherError:
        pytest.skip("this machine has no promtool, and no Debian package of it: names and labels are checked above")


def check(promtool: Path, *arguments: str) -> None:
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=PROMTOOL_WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_written_from_tables_is_what_the_tables_say() -> None:
    stale = [path.name for path, text in pages.files() if not path.exists() or path.read_text() != text]
    assert stale == [], "scripts/prometheus write"
    assert {path.name for path in pages.GRAFANA.glob("*.json")} == {each.file for each in DASHBOARDS}
    assert {each.file for each in DASHBOARDS} == {"overview.json", "tenants.json", "delivery.json", "pools.json"}


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_an_expression_names_only_metrics_and_labels_that_there_are(expression: Expression) -> None:
    labels = {"le"}
    found = SELECTOR.findall(expression.text)
    assert found
    for series, matchers in found:
        assert series in EXPORTED, series
        own = {*EXPORTED[series].labels, *(("le",) if series.endswith("_bucket_total") else ())}
        labels |= own
        assert {matcher for matcher in MATCHER.findall(matchers)} <= own, series
    for by in BY.findall(expression.text):
        assert {label.strip() for label in by.split(",") if label.strip()} <= labels


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_counters_are_asked_for_their_rate_and_gauges_never(expression: Expression) -> None:
    for series in SERIES.findall(expression.text):
        is_rated = re.search(rf"(?:rate|increase)\({series}\b", expression.text) is not None
        assert is_rated == (EXPORTED[series].kind is not Kind.GAUGE), series


def test_every_metric_is_in_a_panel() -> None:
    shown = {series for each in in_dashboards() for series in SERIES.findall(each.text)}
    missing = [metric.name for metric in METRICS if not shown.intersection(metric.exported)]
    assert missing == []


def test_every_guarantee_has_alerts_and_every_alert_its_first_step() -> None:
    by_group = {group["name"].split()[0]: group["rules"] for group in groups()}
    assert [name for name in GUARANTEES if not by_group.get(name)] == []
    for name, rules in by_group.items():
        for rule in rules:
            assert rule["labels"].get("guarantee") == (name if name in GUARANTEES else None), rule["alert"]
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]
            first = re.sub(r"\{\{.*?\}\}", "redis", rule["annotations"]["first"])
            assert first.startswith(COMMAND) and mistake_in(first) is None, first
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)


def test_every_line_of_the_checklist_names_metrics_with_a_panel() -> None:
    _, _, chapter = CHECKLIST.read_text().partition("## Monitoring checklist")
    rows = [line for line in chapter.splitlines() if line.startswith("| ") and not line.startswith("| what ")]
    shown = {series for each in in_dashboards() for series in SERIES.findall(each.text)}
    assert len(rows) > 20
    for row in rows:
        named = SERIES.findall(row)
        assert named and set(named) <= shown, row


def test_the_configuration_and_the_rules_are_prometheus_own(promtool: Path) -> None:
    check(promtool, "check", "config", str(prometheus.CONFIG))


def test_every_expression_of_a_panel_can_be_read(promtool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"panel_{at}", "expr": each.text} for at, each in enumerate(in_dashboards())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    check(promtool, "check", "rules", str(file))


def test_alerts_fire_when_they_should_and_not_else(promtool: Path) -> None:
    tried = {each["alertname"] for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
             for each in test["alert_rule_test"]}  # fmt: skip
    guaranteed = {rule["alert"] for rule in ALERTS if "guarantee" in rule["labels"]}
    assert tried >= guaranteed, "every alert of a guarantee is tried"
    check(promtool, "test", "rules", str(UNIT_TESTS))


def test_a_panel_without_a_unit_for_people_is_not_written() -> None:
    units = {panel["fieldConfig"]["defaults"]["unit"] for path in pages.GRAFANA.glob("*.json")
             for panel in json.loads(path.read_text())["panels"]}  # fmt: skip
    assert units <= {"short", "s", "percentunit", "bytes", "ops", "bool_yes_no"}
