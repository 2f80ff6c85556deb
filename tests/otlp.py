"""A collector of traces as tests have it: takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Received:
    """A span as it came; ids in hexadecimal digits, `parent` empty for the first of its trace."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, Any]
    process: str


class Collector:
    """Spans, and the headers and paths they came with. `answers` is the status; while `go` is cleared, it hangs."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers = 200
        self.go = threading.Event()
        self.go.set()
        self.url = ""

    def trace(self, trace: str) -> list[Received]:
        """The spans of a trace."""
        return [span for span in self.spans if span.trace == trace]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep the spans of one request; the status to answer."""
        self.requests.append((path, headers))
        self.go.wait(timeout=30)
        if self.answers == 200:
            content = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            self.spans += _spans(ExportTraceServiceRequest.FromString(content))
        return self.answers


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = collector.take(self.path, headers, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("content-type", PROTOBUF)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            collector.go.set()
            server.shutdown()
            thread.join()


def _spans(request: Any) -> Iterator[Received]:
    for resource in request.resource_spans:
        process = _attributes(resource.resource.attributes)["service.instance.id"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _attributes(span.attributes),
                    process,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
