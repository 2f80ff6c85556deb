"""Hands what a process has measured to `ray.util.metrics`, all of it in one go every few seconds."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import ray
from ray.util.metrics import Counter, Gauge

from actors.directory import DEDICATED, REPLICA, SHARED, SUPERVISOR, TRANSFORMER
from trunkline import metrics
from trunkline.measuring import Labels, Recorder
from trunkline.metrics import Metric

log = logging.getLogger(__name__)

# Ray's agent is told every 10 s.
EXPORT_EVERY_S = 5.0
KINDS = {SUPERVISOR: "supervisor", TRANSFORMER: "transformer", SHARED: "cell", DEDICATED: "cell"}
STATM = Path("/proc/self/statm")


class RayMetrics:
    """A sink: Ray's counters and gauges, each made at its first use."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def add(self, metric: Metric, labels: Labels, amount: float) -> None:
        """Add to a counter."""
        if amount > 0:
            self._counter(metric.name, metric.says, metric.labels).inc(amount, _tags(metric.labels, labels))

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        """Set a gauge."""
        gauge = self._made.get(metric.name)
        if gauge is None:
            gauge = self._made[metric.name] = Gauge(metric.name, metric.says, metric.labels)
        gauge.set(value, _tags(metric.labels, labels))

    def observe(self, metric: Metric, labels: Labels, counts: list[int], total: float) -> None:
        """Add observations to the three counters of a histogram, whose buckets hold what the ones before do too."""
        tags = _tags(metric.labels, labels)
        buckets = self._counter(f"{metric.name}_bucket", metric.says, (*metric.labels, "le"))
        for bound, held in zip((*map(str, metric.bounds), "+Inf"), accumulate(counts), strict=True):
            if held:
                buckets.inc(held, {**tags, "le": bound})
        self._counter(f"{metric.name}_count", metric.says, metric.labels).inc(sum(counts), tags)
        if total > 0:
            self._counter(f"{metric.name}_sum", metric.says, metric.labels).inc(total, tags)

    def _counter(self, name: str, says: str, labels: Labels) -> Any:
        counter = self._made.get(name)
        if counter is None:
            counter = self._made[name] = Counter(name, says, labels)
        return counter


async def export(recorder: Recorder) -> None:
    """Hand over again and again, until cancelled; with it what the process itself uses."""
    sink = RayMetrics()
    actor = ray.get_runtime_context().get_actor_name() or "driver"
    exporter = Exporter(recorder, actor, kind_of(actor))
    while True:
        await asyncio.sleep(EXPORT_EVERY_S)
        try:
            exporter.hand_over(sink)
        except Exception:
            log.exception("metrics.failed")  # whatever it is, the work goes on


class Exporter:
    """One process's way out for what it measures."""

    def __init__(self, recorder: Recorder, actor: str, kind: str) -> None:
        self._recorder = recorder
        self._labels = (actor, kind)
        self._cpu_s = 0.0

    def hand_over(self, sink: Any) -> None:
        """Give everything to `sink`, and what giving it took with the next."""
        began = time.thread_time()
        used = time.process_time()
        self._recorder.count(metrics.CPU, *self._labels, by=used - self._cpu_s)
        self._cpu_s = used
        self._recorder.set(metrics.MEMORY, _resident_bytes(), *self._labels)
        self._recorder.hand_over(sink)
        self._recorder.count(metrics.METRICS_CPU, *self._labels, by=time.thread_time() - began)


def kind_of(actor: str) -> str:
    """What an actor of this name is; of a replica, its deployment."""
    if actor.startswith(REPLICA):
        return actor.removeprefix(REPLICA).split("#")[1] if "#" in actor else "replica"
    return next((kind for prefix, kind in KINDS.items() if actor.startswith(prefix)), "other")


def _tags(names: Labels, values: Labels) -> dict[str, str]:
    return dict(zip(names, values, strict=True))


def _resident_bytes() -> int:
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
