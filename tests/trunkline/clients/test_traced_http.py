"""A call to a cloud where traces are on: its span tells the host and the status, and not the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.fakes import envelope
from tests.spans import Spans
from trunkline.clients.http import Answer
from trunkline.clients.traced_http import TracedHttp
from trunkline.errors import OutcomeUnknown
from trunkline.tracing import Delivering, delivering

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
URL = "https://graph.facebook.com/v25.0/210099887766551/messages"


class Cloud:
    """Gives these answers one after the other."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        if not self._statuses:
            raise OutcomeUnknown("no answer")
        return Answer(self._statuses.pop(0), {}, b"quoting the message")


async def call(spans: Spans, http: TracedHttp, times: int = 1) -> None:
    """Make calls as a part of a delivery."""
    place = spans.tracing.place_of(replace(envelope(1), traceparent=TRACEPARENT))
    assert place is not None
    work = Delivering(place, {})
    before = delivering.set(work)
    try:
        with spans.tracing.step(work, "send") as work.call:
            for _ in range(times):
                await http.post(URL, {"Authorization": "Bearer EAAG"}, b"content")
    finally:
        delivering.reset(before)


async def test_the_span_of_the_call_tells_what_was_answered() -> None:
    spans = Spans()
    await call(spans, TracedHttp(Cloud(429)))
    assert spans.told("send") == {"server.address": "graph.facebook.com", "http.response.status_code": 429}
    for private in ("210099887766551", "EAAG", 'content"', "quoting"):
        assert private not in spans.text()


async def test_a_call_that_is_made_again_in_another_form_tells_both_answers() -> None:
    spans = Spans()
    await call(spans, TracedHttp(Cloud(400, 200)), times=2)
    events = spans.one("send").events
    assert [(event.attributes or {})["http.response.status_code"] for event in events] == [400, 200]
    assert spans.told("send")["http.response.status_code"] == 200


async def test_a_call_without_an_answer_has_no_status() -> None:
    spans = Spans()
    with pytest.raises(OutcomeUnknown):
        await call(spans, TracedHttp(Cloud()))
    assert spans.told("send") == {"server.address": "graph.facebook.com", "error.type": "OutcomeUnknown"}


async def test_calls_for_no_traced_message_pass() -> None:
    assert delivering.get() is None
    assert (await TracedHttp(Cloud(200)).post(URL, {}, b"")).status == 200
