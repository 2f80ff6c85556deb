"""Spans as tests look at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trunkline.tracing import Tracing

HASHED_WITH = b"a-key-of-the-tests"


class Spans:
    """What has ended of a tracing of its own."""

    def __init__(self, ratio: float = 1.0, hashed_with: bytes = HASHED_WITH) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter), "test", ratio, hashed_with)

    @property
    def all(self) -> Sequence[ReadableSpan]:
        """All of them, in the order of their ends."""
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        """Their names, in the order of their ends."""
        return [span.name for span in self.all]

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name."""
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one of this name."""
        (span,) = self.named(name)
        return span

    def told(self, name: str) -> dict[str, Any]:
        """What the only one of this name tells beside its message."""
        attributes = self.one(name).attributes or {}
        return {key: value for key, value in attributes.items() if key not in FACTS}

    def text(self) -> str:
        """Everything they say."""
        return "\n".join(span.to_json() for span in self.all)


FACTS = ("trunkline.tenant", "trunkline.message_id", "trunkline.direction", "trunkline.conversation")


def id_of(span: ReadableSpan) -> str:
    """The span's own id."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str | None:
    """The id of the span above it."""
    return f"{span.parent.span_id:016x}" if span.parent else None


def trace_of(span: ReadableSpan) -> str:
    """The id of its trace."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"
