"""The collector of traces: OTLP over HTTP, from a queue and a thread of its own, so that no message waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from requests import Session

log = logging.getLogger(__name__)

# Spans that wait for the collector; more are dropped, the oldest first. One takes about 2 kB.
QUEUE_LIMIT = 4096
# Encoding takes about 20 us a span, during which the process does nothing else.
BATCH = 256
SEND_EVERY_S = 1.0
# A batch is tried again for so long, then dropped.
TIMEOUT_S = 5.0
COMPLAIN_EVERY_S = 60.0
# It would tell of each batch, in words of its own.
_LOUD = "opentelemetry.exporter.otlp"


def open_collector(url: str, headers: Mapping[str, str]) -> BatchSpanProcessor:
    """Sends spans to `url`, with these headers; starts a thread."""
    logging.getLogger(_LOUD).setLevel(logging.CRITICAL)
    session = Session()
    # Like calls to the clouds: no proxy, and no password of .netrc, that happens to be in the environment.
    session.trust_env = False
    exporter = OTLPSpanExporter(url, headers=headers, timeout=TIMEOUT_S, compression=Compression.Gzip, session=session)
    return BatchSpanProcessor(
        Reporting(exporter),
        max_queue_size=QUEUE_LIMIT,
        max_export_batch_size=BATCH,
        schedule_delay_millis=SEND_EVERY_S * 1000,
    )


class Reporting(SpanExporter):
    """Exports through another, and logs now and then that spans were lost."""

    def __init__(self, exporter: SpanExporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._lost = 0
        self._complain_at = clock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; called in the thread."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
        if self._lost and self._clock() >= self._complain_at:
            log.warning("traces.lost", extra={"spans": self._lost, "within_s": COMPLAIN_EVERY_S})
            self._lost = 0
            self._complain_at = self._clock() + COMPLAIN_EVERY_S
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)
