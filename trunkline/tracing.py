"""The spans of a message in OpenTelemetry: how they hang together, and what they tell.

Loaded only where traces are on. A message's trace has the message's id; it is begun by the webhook that brought the
message, and goes on wherever the envelope's `traceparent` comes to. Spans tell ids, counts and outcomes: never content,
addresses, error texts or secrets.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from trunkline.envelope import Envelope
from trunkline.trace_context import is_traced, read_traceparent, trace_id_of, traceparent

# What a process that ends hands over before it does; a collector that is away must not keep it.
FLUSH_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.02
_HASH_BYTES = 8
NANOSECONDS = 1_000_000_000


@dataclass(slots=True)
class Webhook:
    """A webhook that is being taken; it has a span in the trace of each of its messages.

    `link` is the place in a trace of its sender's, who is not trusted to be in ours.
    """

    received_ns: int
    link: tuple[int, int] | None
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class Delivering:
    """A message that is being delivered: `span` is what its steps hang from, `call` the one under way to a cloud."""

    span: Span
    facts: Mapping[str, str]
    attempt: int = 0
    call: Span | None = None
    outcome: str | None = None


# Of the task that runs, and those that it starts.
webhook_taken: ContextVar[Webhook | None] = ContextVar("webhook_taken", default=None)
delivering: ContextVar[Delivering | None] = ContextVar("delivering", default=None)


class Tracing:
    """Makes the spans of one process, for `ratio` of all messages; `processor` takes them when they have ended.

    `secret` keys the hashes of conversations: a bare hash of a phone number is found by trying all numbers.
    """

    def __init__(self, processor: SpanProcessor, process: str, ratio: float, secret: bytes) -> None:
        self._ratio = ratio
        self._key = hashlib.blake2b(secret, person=b"trace hashes").digest()
        self._ids = _Ids()
        resource = Resource({"service.name": "trunkline", "service.instance.id": f"{process}/{os.getpid()}"})
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("trunkline")

    def traces(self, envelope: Envelope) -> bool:
        """Whether the message is among those that are traced."""
        return is_traced(envelope.message_id, self._ratio)

    def facts(self, envelope: Envelope) -> dict[str, str]:
        """What every span tells of its message. A wamid is not in it: it holds the customer's number."""
        person = f"{envelope.tenant_id} {envelope.conversation}".encode("utf-8", "surrogatepass")
        return {
            "trunkline.tenant": envelope.tenant_id,
            "trunkline.message_id": envelope.message_id,
            "trunkline.direction": envelope.direction.value,
            "trunkline.conversation": hashlib.blake2b(person, digest_size=_HASH_BYTES, key=self._key).hexdigest(),
        }

    def begin(self, webhook: Webhook, envelope: Envelope, facts: Mapping[str, str]) -> Span:
        """The first span of the message's trace, since the webhook was received; it ends with the webhook's answer."""
        self._ids.trace_id = int(trace_id_of(envelope.message_id), 16)
        links = [Link(_context(*webhook.link))] if webhook.link else []
        span = self._tracer.start_span(
            "webhook", set_span_in_context(_NOWHERE), SpanKind.SERVER, facts, links, webhook.received_ns
        )
        webhook.spans.append(span)
        return span

    def place_of(self, envelope: Envelope) -> Span | None:
        """The span after which an envelope goes on; None for one that is not traced."""
        place = read_traceparent(envelope.traceparent)
        return NonRecordingSpan(_context(*place)) if place else None

    def start(
        self,
        parent: Span,
        name: str,
        facts: Mapping[str, str],
        kind: SpanKind = SpanKind.INTERNAL,
        start_ns: int | None = None,
    ) -> Span:
        """A span below `parent`, to be ended."""
        return self._tracer.start_span(name, set_span_in_context(parent), kind, facts, start_time=start_ns)

    @contextmanager
    def step(self, work: Delivering, name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
        """A span around a step of the delivery."""
        with ending(self.start(work.span, name, work.facts, kind)) as span:
            yield span

    async def flush(self) -> None:
        """Hand over what has ended, for FLUSH_WITHIN_S at the most."""
        flushing = threading.Thread(target=self._provider.force_flush, daemon=True)
        flushing.start()
        give_up_at = time.monotonic() + FLUSH_WITHIN_S
        while flushing.is_alive() and time.monotonic() < give_up_at:
            await asyncio.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Hand over what has ended, and take no more."""
        self._provider.shutdown()


@contextmanager
def ending(span: Span) -> Iterator[Span]:
    """End the span with the block; an error is told by its class, for its text may quote the message."""
    try:
        yield span
    except BaseException as error:
        fail(span, error)
        raise
    finally:
        span.end()


def fail(span: Span, error: BaseException) -> None:
    """Note what went wrong."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)


def traceparent_after(span: Span) -> str:
    """The place of what comes after the span."""
    context = span.get_span_context()
    return traceparent(context.trace_id, context.span_id)


def in_nanoseconds(seconds: float) -> int:
    """Unix seconds as spans have them."""
    return int(seconds * NANOSECONDS)


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


# What a span is under that has no parent.
_NOWHERE = NonRecordingSpan(SpanContext(0, 0, is_remote=False))


class _Ids(RandomIdGenerator):
    """Spans get any id, a trace that begins the one that was set for it."""

    trace_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def is_trace_id_random(self) -> bool:
        return False
