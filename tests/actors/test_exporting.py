"""What is handed to Ray's metrics, and under which names; without Ray."""

from __future__ import annotations

from typing import Any

import pytest

from actors import exporting
from actors.exporting import Exporter, RayMetrics, kind_of
from tests.fakes import Measured
from trunkline import metrics
from trunkline.measuring import Recorder


class Made:
    """Stands for Ray's classes: remembers what was made and told."""

    def __init__(self) -> None:
        self.names: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.told: list[tuple[str, float, dict[str, str]]] = []

    def kind(self, kind: str) -> Any:
        made = self

        class OfRay:
            def __init__(self, name: str, says: str, labels: tuple[str, ...]) -> None:
                assert name not in made.names, "Ray wants each made once"
                self._name = name
                made.names[name] = (kind, labels)

            def inc(self, amount: float, tags: dict[str, str]) -> None:
                assert amount > 0, "Ray refuses 0"
                self.set(amount, tags)

            def set(self, value: float, tags: dict[str, str]) -> None:
                assert tuple(sorted(tags)) == tuple(sorted(made.names[self._name][1]))
                made.told.append((self._name, value, tags))

        return OfRay


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    monkeypatch.setattr(exporting, "Counter", made.kind("counter"))
    monkeypatch.setattr(exporting, "Gauge", made.kind("gauge"))
    return made


def test_counters_and_gauges_keep_their_names_and_labels(made: Made) -> None:
    recorder, sink = Recorder(), RayMetrics()
    for _ in range(2):
        recorder.count(metrics.ADMIN_REQUESTS, "200")
        recorder.set(metrics.OLDEST, 0.0, "inbound", "no")
        recorder.hand_over(sink)
    assert made.names == {
        "trunkline_admin_requests": ("counter", ("answer",)),
        "trunkline_oldest_message_age_seconds": ("gauge", ("direction", "held")),
    }
    assert made.told[:2] == [
        ("trunkline_admin_requests", 1, {"answer": "200"}),
        ("trunkline_oldest_message_age_seconds", 0.0, {"direction": "inbound", "held": "no"}),
    ]


def test_a_histograms_buckets_hold_what_those_before_them_hold_too(made: Made) -> None:
    recorder = Recorder()
    for value in (0.004, 0.004, 0.03, 1000.0):
        recorder.observe(metrics.ACCEPT, value, "meta")
    recorder.hand_over(RayMetrics())
    buckets = {tags["le"]: value for name, value, tags in made.told if name == "trunkline_accept_seconds_bucket"}
    assert (buckets["0.005"], buckets["0.025"], buckets["0.05"], buckets["300.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert "0.001" not in buckets
    rest = {name: (value, tags) for name, value, tags in made.told if not name.endswith("_bucket")}
    assert rest["trunkline_accept_seconds_count"] == (4, {"source": "meta"})
    assert rest["trunkline_accept_seconds_sum"][0] == pytest.approx(1000.038)
    assert made.names["trunkline_accept_seconds_bucket"] == ("counter", ("source", "le"))


def test_a_process_says_what_it_uses_itself(made: Made) -> None:
    recorder = Recorder()
    exporter = Exporter(recorder, "cell:0", "cell")
    exporter.hand_over(RayMetrics())
    told = {name: (value, tags) for name, value, tags in made.told}
    assert told["trunkline_process_cpu_seconds"][1] == {"actor": "cell:0", "kind": "cell"}
    assert told["trunkline_process_memory_bytes"][0] > 1_000_000
    handing_over = Measured(recorder)(metrics.METRICS_CPU, "cell:0", "cell")
    assert handing_over is not None
    assert 0 < handing_over < told["trunkline_process_cpu_seconds"][0]


@pytest.mark.parametrize(
    ("actor", "kind"),
    [
        ("supervisor", "supervisor"),
        ("transformer:inbound:0", "transformer"),
        ("cell:0", "cell"),
        ("tenant:acme", "cell"),
        ("SERVE_REPLICA::webhooks#intake#abc123", "intake"),
        ("SERVE_REPLICA::admin#admin#abc123", "admin"),
        ("driver", "other"),
    ],
)
def test_an_actor_is_known_by_its_name(actor: str, kind: str) -> None:
    assert kind_of(actor) == kind
