"""What Ray's agent exports after a message has gone its way, as Prometheus reads it."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from scripts.faults.platform import Platform, TenantUnderTest
from tests.waiting import until
from trunkline import metrics
from trunkline.metrics import METRICS, Kind, Metric

pytestmark = pytest.mark.ray

CUSTOMER = "447700900140"
# Our processes hand over every 5 s, Ray's agent is told every 10 s.
EXPORTED_WITHIN_S = 60.0
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
# Told only when there is something to tell.
SELDOM = {
    metrics.CERTIFICATE,  # of https
    metrics.DEAD_LETTERS_MADE,
    metrics.ACTOR_RESTARTS,
    metrics.SPOOLED,
    metrics.TENANT_CIRCUIT,
    metrics.TENANT_OLDEST,
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(platform: Platform) -> Samples:
    """Everything of ours that is exported, without the labels that Ray adds."""
    port = json.loads((platform.home / "ray" / "ports.json").read_text())["metrics_export"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).text
    found: Samples = {}
    for name, labels, value in SAMPLE.findall(text):
        if name in metrics.EXPORTED:
            ours = {*metrics.EXPORTED[name].labels, "le"}
            key = (name, frozenset(pair for pair in LABEL.findall(labels) if pair[0] in ours))
            found[key] = found.get(key, 0.0) + float(value)
    return found


def value(samples: Samples, metric: Metric, **labels: str) -> float | None:
    return part_of(samples, metric, 0, labels)


def part_of(samples: Samples, metric: Metric, part: int, labels: dict[str, str]) -> float | None:
    return samples.get((metric.exported[part], frozenset(labels.items())))


@pytest.fixture
def samples(platform: Platform, tenant: TenantUnderTest) -> Samples:
    """What is exported once a message each way has arrived."""
    platform.send(tenant, "customer", CUSTOMER, "hello")
    platform.arrived(tenant, "genesys_message", 1)
    platform.send(tenant, "agent", CUSTOMER, "hello yourself")
    platform.arrived(tenant, "graph_send", 1)

    def exported() -> Samples | None:
        found = scrape(platform)
        names = {name for name, _ in found}
        lacking = [each.name for each in METRICS if each not in SELDOM and not names.issuperset(each.exported)]
        mine = value(found, metrics.TENANT_MESSAGES, tenant=tenant.tenant_id, direction="outbound", end="delivered")
        return found if not lacking and mine else None

    return until(exported, EXPORTED_WITHIN_S, "every metric of the table, and this tenant's messages")


def test_metrics_tell_of_a_message_that_has_gone_its_way(samples: Samples, tenant: TenantUnderTest) -> None:
    # Of many tenants only some have a name: other tests have used this platform too.
    named = [
        value(samples, metrics.TENANT_MESSAGES, direction="inbound", tenant=shown, end="delivered")
        for shown in (tenant.tenant_id, "other")
    ]
    assert named[0] == 1 or (named[0] is None and (named[1] or 0) >= 1)
    assert (value(samples, metrics.WEBHOOKS, source="meta", method="POST", answer="200") or 0) >= 1
    assert (value(samples, metrics.ACCEPTED, direction="inbound", kept="queue") or 0) >= 1
    for stage in ("queue", "admit", "claim", "send", "total"):
        bucket, count, total = (
            part_of(samples, metrics.STAGES, part, {"direction": "inbound", "stage": stage, **labels})
            for part, labels in enumerate(({"le": "+Inf"}, {}, {}))
        )
        assert bucket and count == bucket and total, stage
    assert (value(samples, metrics.CLOUD_CALLS, cloud="whatsapp", answer="200") or 0) >= 1
    limits = [dict(labels) for name, labels in samples if name == metrics.LIMIT_USED.exported[0]]
    assert any(labels["cloud"] == "genesys" for labels in limits)


def test_metrics_tell_of_what_runs(samples: Samples) -> None:
    assert value(samples, metrics.POOLS, pool="inbound", count="running") == 1
    assert value(samples, metrics.POOLS, pool="outbound", count="missing") == 0
    assert {value(samples, metrics.STORE_UP, store=store) for store in ("postgres", "redis", "rabbitmq")} == {1.0}
    up = {dict(labels)["actor"].split("#")[0] for name, labels in samples if name == metrics.ACTOR_UP.exported[0]}
    assert up >= {"cell:0", "transformer:inbound:0", "transformer:outbound:0", "SERVE_REPLICA::webhooks"}
    kinds = {dict(labels)["kind"] for name, labels in samples if name == metrics.MEMORY.exported[0]}
    assert kinds == {"supervisor", "transformer", "cell", "intake", "admin"}
    assert value(samples, metrics.AUDIT_WHOLE) == 1
    assert (value(samples, metrics.TENANTS) or 0) >= 2


def test_no_metric_is_exported_that_the_table_does_not_have(platform: Platform, samples: Samples) -> None:
    port = json.loads((platform.home / "ray" / "ports.json").read_text())["metrics_export"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).text
    ours = set(re.findall(r"^(ray_trunkline_\w+)", text, re.MULTILINE))
    assert ours <= metrics.EXPORTED.keys()
    kinds = dict(re.findall(r"^# TYPE (ray_trunkline_\w+) (\w+)$", text, re.MULTILINE))
    for name, kind in kinds.items():
        metric = metrics.EXPORTED.get(name) or metrics.EXPORTED[f"{name}_total"]
        assert kind == ("gauge" if metric.kind is Kind.GAUGE else "counter"), name
