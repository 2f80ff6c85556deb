"""The benchmark of the admin API: what it asks, and what it calls slow."""

from __future__ import annotations

from scripts.benchmark import admin, admin_run
from scripts.benchmark.admin import QUESTIONS, Figures
from scripts.benchmark.options import parse
from tests.trunkline.web import described


def test_every_route_that_reads_is_asked() -> None:
    asked = {question.route for question in QUESTIONS}
    paths = described.document()["paths"]
    assert {f"GET {path}" for path, methods in paths.items() if "get" in methods} <= asked


def test_what_is_asked_is_there() -> None:
    paths = described.document()["paths"]
    for question in QUESTIONS:
        method, _, path = question.route.partition(" ")
        assert method.lower() in paths[path], question.route


def test_a_route_is_slow_when_its_95th_percentile_is() -> None:
    quick = Figures("GET /tenants", "", p50_ms=3.0, p95_ms=100.0, worst_ms=900.0)
    slow = Figures("GET /dead-letters", "of a tenant", p50_ms=3.0, p95_ms=100.1, worst_ms=101.0)
    assert admin.slow([quick, slow]) == [slow]


def test_the_table_names_each_route_and_how_it_was_asked() -> None:
    page = admin_run.markdown(
        {
            "at": "2026-11-25T14:00:00+00:00",
            "machine": {"commit": "abc", "cores": 2, "cpu": "CPU"},
            "versions": {"PostgreSQL": "15.18"},
            "options": {"tenants": 1000, "messages": 100_000, "asked": 300},
            "routes": [{"route": "GET /audit", "how": "of a tenant", "p50_ms": 1.0, "p95_ms": 2.0, "worst_ms": 3.0}],
        }
    )
    assert "100,000 messages of 1,000 tenants" in page
    assert "| GET /audit, of a tenant | 1.0 | 2.0 | 3.0 |" in page


def test_the_admin_api_is_measured_when_it_is_asked_for() -> None:
    assert not parse([]).admin
    assert (parse(["--admin"]).admin, parse(["--admin"]).asked) == (True, 300)
    assert parse(["--admin", "--quick"]).asked == 50
