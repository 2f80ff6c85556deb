"""What is measured is added up until it is handed over, and tenants without a name are `other`."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.fakes import GatheringSink
from trunkline import metrics
from trunkline.measuring import BusiestTenants, Labels, Recorder, largest, some
from trunkline.metrics import EXPORTED, METRICS, OTHER, Kind
from trunkline.web.admin_dead_letters import Reason

HISTOGRAM = metrics.ACCEPT
ENDS = len(HISTOGRAM.bounds)


@pytest.fixture
def sink() -> GatheringSink:
    return GatheringSink()


def test_counts_are_handed_over_once(sink: GatheringSink) -> None:
    recorder = Recorder()
    recorder.count(metrics.ATTEMPTS, "inbound", "delivered")
    recorder.count(metrics.ATTEMPTS, "inbound", "delivered", by=2)
    recorder.hand_over(sink)
    recorder.hand_over(sink)
    assert sink.added == [(metrics.ATTEMPTS, ("inbound", "delivered"), 3)]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        pytest.param(0.0, 0, id="nothing"),
        pytest.param(HISTOGRAM.bounds[0], 0, id="a bound belongs below"),
        pytest.param(HISTOGRAM.bounds[0] * 1.01, 1, id="just over a bound"),
        pytest.param(HISTOGRAM.bounds[-1] * 2, ENDS, id="over all bounds"),
    ],
)
def test_an_observation_is_counted_below_the_bound_that_it_does_not_exceed(
    sink: GatheringSink, value: float, place: int
) -> None:
    recorder = Recorder()
    recorder.observe(HISTOGRAM, value, "meta")
    recorder.hand_over(sink)
    recorder.hand_over(sink)
    ((metric, labels, counts, total),) = sink.observed
    assert (metric, labels, total) == (HISTOGRAM, ("meta",), value)
    assert [at for at, count in enumerate(counts) if count] == [place]
    assert len(counts) == ENDS + 1


def test_a_gauge_is_handed_over_each_time_as_it_is(sink: GatheringSink) -> None:
    recorder = Recorder()
    recorder.set(metrics.DISK_FREE, 5)
    recorder.hand_over(sink)
    recorder.hand_over(sink)
    recorder.set(metrics.DISK_FREE, 4)
    recorder.hand_over(sink)
    assert [value for *_, value in sink.was_set] == [5, 5, 4]


def test_what_a_gauge_has_no_more_is_zero_once_and_gone_then(sink: GatheringSink) -> None:
    recorder = Recorder()
    recorder.set(metrics.DISK_FREE, 1)
    rounds: list[dict[Labels, float]] = [{("rejected",): 3.0}, {("poison",): 1.0}, {("poison",): 2.0}]
    for values in rounds:
        recorder.set_all(metrics.DEAD_LETTERS, values)
        recorder.hand_over(sink)
    of_letters = [(labels, value) for metric, labels, value in sink.was_set if metric is metrics.DEAD_LETTERS]
    assert of_letters == [
        (("rejected",), 3),
        (("rejected",), 0), (("poison",), 1),
        (("poison",), 2),
    ]  # fmt: skip
    assert len(sink.was_set) == len(of_letters) + 3, "the other gauge stays"


def test_only_the_busiest_tenants_are_called_by_name() -> None:
    names = BusiestTenants(at_once=2)
    found = names.named({("a", "in"): 5, ("b", "in"): 9, ("c", "in"): 1, ("d", "in"): 2})
    assert found == {("a", "in"): 5, ("b", "in"): 9, (OTHER, "in"): 3}


def test_a_name_is_kept_until_another_tenant_is_twice_as_busy() -> None:
    names = BusiestTenants(at_once=1)
    assert names.named({("a",): 8}) == {("a",): 8}
    assert names.named({("b",): 7}) == {(OTHER,): 7}, "a's last 8 still count half, and 7 is not twice that"
    assert names.named({("b",): 7}) == {("b",): 7}


def test_after_so_many_names_there_is_no_new_one() -> None:
    names = BusiestTenants(at_once=1, ever=2)
    for tenant in ("a", "b"):
        for _ in range(5):
            named = names.named({(tenant,): 100})
        assert named == {(tenant,): 100}
    for _ in range(9):
        named = names.named({("c",): 1000})
    assert named == {(OTHER,): 1000}
    assert names.named({("a",): 100}) == {("a",): 100}, "one that was named before may be again"


def test_a_thousand_tenants_make_no_more_series_than_are_allowed(sink: GatheringSink) -> None:
    recorder = Recorder()
    for tenant in range(1000):
        recorder.by_tenant(metrics.TENANT_MESSAGES)[f"t-{tenant}", "inbound", "delivered"] = tenant + 1
    recorder.hand_over(sink)
    named = {labels[0]: amount for _, labels, amount in sink.added}
    assert set(named) == {OTHER, *(f"t-{tenant}" for tenant in range(980, 1000))}
    assert sum(named.values()) == sum(range(1001)), "nothing is lost"
    recorder.hand_over(sink)
    assert sum(amount for *_, amount in sink.added) == sum(range(1001)), "and nothing told twice"


def test_of_many_tenants_the_largest_values_are_named_and_the_next_one_stands_for_the_rest() -> None:
    values: dict[Labels, float] = {(f"t-{number}", "genesys"): float(number) for number in range(5)}
    assert largest(values, at_once=2) == {("t-4", "genesys"): 4, ("t-3", "genesys"): 3, (OTHER, "genesys"): 2}


def test_of_many_open_circuits_some_are_named_and_the_rest_counted() -> None:
    assert some([("b", "genesys"), ("a", "genesys"), ("c", "genesys"), ("d", "whatsapp")], at_once=2) == {
        ("a", "genesys"): 1,
        ("b", "genesys"): 1,
        (OTHER, "genesys"): 1,
        (OTHER, "whatsapp"): 1,
    }


def test_the_reasons_are_those_of_dead_letters() -> None:
    assert set(metrics.REASONS) == set(get_args(Reason))


def test_names_units_and_labels_follow_one_rule() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) > 40
    assert len(EXPORTED) == sum(len(metric.exported) for metric in METRICS)
    for metric in METRICS:
        assert metric.name.startswith("trunkline_")
        assert not metric.says.endswith("."), metric.name
        assert "le" not in metric.labels
        assert (metric.bounds == tuple(sorted(metric.bounds))) and bool(metric.bounds) == (
            metric.kind is Kind.HISTOGRAM
        )
        for unit in ("seconds", "bytes", "ratio"):
            assert (metric.unit == unit) == metric.name.endswith(f"_{unit}"), metric.name
        assert not metric.name.endswith("_total"), "Ray adds it"
