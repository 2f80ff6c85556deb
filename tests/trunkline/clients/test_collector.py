"""Sending spans: to whom, with what; and that no message waits for a collector that is away, refuses or hangs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from scripts.faults.waiting import until
from scripts.launcher import ports
from tests.fakes import Clock, envelope
from tests.otlp import Collector, collecting
from trunkline import tracing as tracing_module
from trunkline.clients import collector as collector_module
from trunkline.clients.collector import BATCH, COMPLAIN_EVERY_S, QUEUE_LIMIT, Reporting, open_collector
from trunkline.tracing import Tracing, Webhook

WITHIN_S = 20.0


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def tracing_to(url: str, headers: dict[str, str] | None = None) -> Tracing:
    return Tracing(open_collector(f"{url}/v1/traces", headers or {}), "test", 1.0, b"secret")


def end_spans(tracing: Tracing, count: int) -> None:
    """End so many spans, each of a message of its own."""
    for number in range(count):
        tracing.begin(Webhook(0, None), envelope(number), {"trunkline.tenant": "acme"}).end()


def test_spans_are_sent_with_the_headers_that_were_given(collector: Collector) -> None:
    tracing = tracing_to(collector.url, {"api-key": "abc"})
    end_spans(tracing, 3)
    until(lambda: len(collector.spans) == 3, WITHIN_S, "three spans")
    path, headers = collector.requests[0]
    assert (path, headers["api-key"], headers["content-encoding"]) == ("/v1/traces", "abc", "gzip")
    span = collector.spans[0]
    assert (span.name, span.parent, span.attributes) == ("webhook", "", {"trunkline.tenant": "acme"})
    assert span.process.startswith("test/")
    tracing.close()


async def test_what_is_there_is_handed_over_before_the_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "SEND_EVERY_S", 600.0)
    monkeypatch.setattr(tracing_module, "FLUSH_WITHIN_S", WITHIN_S)
    tracing = tracing_to(collector.url)
    end_spans(tracing, 3)
    await tracing.flush()
    assert len(collector.spans) == 3
    tracing.close()


async def test_a_collector_that_hangs_is_waited_for_by_nobody(collector: Collector) -> None:
    collector.go.clear()
    tracing = tracing_to(collector.url)
    end_spans(tracing, 2 * QUEUE_LIMIT)
    await tracing.flush()
    assert collector.spans == []  # it hangs still, and we are here
    collector.go.set()
    tracing.close()
    assert 0 < len(collector.spans) <= QUEUE_LIMIT + BATCH


async def test_without_a_collector_spans_end_all_the_same(unused_url: str) -> None:
    tracing = tracing_to(unused_url)
    end_spans(tracing, 10)
    await tracing.flush()


@pytest.fixture
def unused_url() -> str:
    return f"http://127.0.0.1:{ports.choose()}"


class Exporter(SpanExporter):
    """Says that it failed, or not."""

    def __init__(self) -> None:
        self.result = SpanExportResult.FAILURE

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result


def test_lost_spans_are_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    clock, exporter = Clock(), Exporter()
    reporting = Reporting(exporter, clock)
    batch = [ReadableSpan("webhook")] * 5
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert reporting.export(batch) is SpanExportResult.FAILURE
        clock.advance(COMPLAIN_EVERY_S)
        exporter.result = SpanExportResult.SUCCESS
        assert reporting.export(batch) is SpanExportResult.SUCCESS
        clock.advance(COMPLAIN_EVERY_S)
        reporting.export(batch)
    told = [(record.getMessage(), vars(record)["spans"]) for record in caplog.records]
    assert told == [("traces.lost", 5), ("traces.lost", 10)]
