"""Adding up what is measured, in plain Python, until it is handed over in one go. Knows neither Ray nor a clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from trunkline.metrics import OTHER, TENANTS_EVER_NAMED, TENANTS_NAMED, Metric

Labels = tuple[str, ...]


class Sink(Protocol):
    """Where measurements go in the end; labels are values, in the order of the metric's."""

    def add(self, metric: Metric, labels: Labels, amount: float) -> None:
        """Add to a counter."""

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        """Set a gauge."""

    def observe(self, metric: Metric, labels: Labels, counts: list[int], total: float) -> None:
        """Add observations to a histogram: how many up to each of its bounds and no lower one, the rest last."""


class Tally:
    """One value of a counter, as far as it has not been handed over."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Spread:
    """One histogram's observations, as far as they have not been handed over."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Add an observation."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Recorder:
    """Takes measurements of one process; cheap enough for several a message.

    What is counted for every message holds on to its `tally` or `spread`: looking it up costs more than adding to it.
    `hand_over` gives a sink what has changed since, each gauge always: Ray forgets one that is not set again.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[Metric, Labels], Tally] = {}
        self._spreads: dict[tuple[Metric, Labels], Spread] = {}
        self._gauges: dict[tuple[Metric, Labels], float] = {}
        self._by_tenant: dict[Metric, dict[Labels, float]] = {}
        self._names: dict[Metric, BusiestTenants] = {}

    def tally(self, metric: Metric, *labels: str) -> Tally:
        """Where a counter's value is added to."""
        found = self._tallies.get((metric, labels))
        if found is None:
            found = self._tallies[metric, labels] = Tally()
        return found

    def spread(self, metric: Metric, *labels: str) -> Spread:
        """Where a histogram's observations are added to."""
        found = self._spreads.get((metric, labels))
        if found is None:
            found = self._spreads[metric, labels] = Spread(metric.bounds)
        return found

    def by_tenant(self, metric: Metric) -> dict[Labels, float]:
        """Where a counter whose first label is the tenant is added to; only the busiest are handed over by name."""
        if metric not in self._by_tenant:
            self._by_tenant[metric] = {}
            self._names[metric] = BusiestTenants()
        return self._by_tenant[metric]

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        self.tally(metric, *labels).value += by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        self.spread(metric, *labels).add(value)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set one value of a gauge."""
        self._gauges[metric, labels] = value

    def set_all(self, metric: Metric, values: Mapping[Labels, float]) -> None:
        """Set every value of a gauge: those it had before and has no more become 0 once, and are forgotten then."""
        for key in [key for key in self._gauges if key[0] is metric and key[1] not in values]:
            if self._gauges[key] == 0.0:
                del self._gauges[key]
            else:
                self._gauges[key] = 0.0
        for labels, value in values.items():
            self._gauges[metric, labels] = value

    def hand_over(self, sink: Sink) -> None:
        """Give everything to `sink`, counters and histograms as what came since the last time."""
        for metric, counts in self._by_tenant.items():
            for labels, amount in self._names[metric].named(counts).items():
                sink.add(metric, labels, amount)
            counts.clear()
        for (metric, labels), tally in self._tallies.items():
            if tally.value:
                sink.add(metric, labels, tally.value)
                tally.value = 0.0
        for (metric, labels), spread in self._spreads.items():
            if any(spread.counts):
                sink.observe(metric, labels, spread.counts, spread.total)
                spread.counts = [0] * len(spread.counts)
                spread.total = 0.0
        for (metric, labels), value in self._gauges.items():
            sink.set(metric, labels, value)


class BusiestTenants:
    """Who is called by name in a counter: the busiest of late, so that its series stay few. The others are `other`.

    A name is given up only for a tenant twice as busy; after `ever` names there is no new one, for what a counter has
    counted under a name is never taken back.
    """

    def __init__(self, at_once: int = TENANTS_NAMED, ever: int = TENANTS_EVER_NAMED) -> None:
        self._at_once = at_once
        self._ever = ever
        self._known: set[str] = set()
        self._scores: dict[str, float] = {}

    def named(self, counts: Mapping[Labels, float]) -> dict[Labels, float]:
        """The counts with `other` for those who have no name."""
        amounts: Counter[str] = Counter()
        for (tenant_id, *_), amount in counts.items():
            amounts[tenant_id] += amount  # type: ignore[assignment]
        self._scores = {tenant_id: score / 2 + amounts.pop(tenant_id, 0) for tenant_id, score in self._scores.items()}
        for tenant_id, amount in amounts.most_common(self._at_once):
            self._consider(tenant_id, amount)
        found: dict[Labels, float] = {}
        for (tenant_id, *rest), amount in counts.items():
            labels = (tenant_id if tenant_id in self._scores else OTHER, *rest)
            found[labels] = found.get(labels, 0) + amount
        return found

    def _consider(self, tenant_id: str, amount: float) -> None:
        if tenant_id not in self._known and len(self._known) >= self._ever:
            return
        if len(self._scores) >= self._at_once:
            quietest = min(self._scores, key=self._scores.__getitem__)
            if amount < 2 * self._scores[quietest]:
                return
            del self._scores[quietest]
        self._known.add(tenant_id)
        self._scores[tenant_id] = amount


def largest(values: Mapping[Labels, float], at_once: int = TENANTS_NAMED) -> dict[Labels, float]:
    """Of values by tenant and other labels, the largest by tenant; the largest of the rest is under `other`."""
    ranked = sorted(values.items(), key=lambda item: item[1], reverse=True)
    found = dict(ranked[:at_once])
    for (_, *labels), value in ranked[at_once:]:
        found.setdefault((OTHER, *labels), value)
    return found


def some(keys: Iterable[Labels], at_once: int = TENANTS_NAMED) -> dict[Labels, float]:
    """1 for the first of these by tenant and other labels; how many more there are is under `other`."""
    found: dict[Labels, float] = {}
    for tenant_id, *labels in sorted(keys):
        key = (tenant_id if len(found) < at_once else OTHER, *labels)
        found[key] = found.get(key, 0) + 1
    return found
