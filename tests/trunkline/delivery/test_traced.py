"""A traced delivery: its spans, where they hang, what they tell and what not; and that the message fares as without."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.fakes import envelope
from tests.spans import FACTS, Spans, id_of, parent_of, trace_of
from tests.trunkline.delivery.clouds import GENESYS
from tests.trunkline.delivery.test_transform import CALLS_AT_ONCE, UNKNOWN, World
from trunkline.attempt import Behind, this_owner
from trunkline.delivery.retry import RetryPolicy
from trunkline.delivery.routes import Accepted, Job, Prepared
from trunkline.delivery.take_overs import TakeOvers
from trunkline.delivery.traced import TracedAttempts, TracedDelivery, TracedLanes, TracedRoute, TracedTenants
from trunkline.delivery.transform import Transformer
from trunkline.delivery.turn import Done, OlderFirst
from trunkline.envelope import Direction, Envelope
from trunkline.errors import CredentialsRefused, Rejected, TrunklineError, Unavailable
from trunkline.tenancy.tenant import Later
from trunkline.trace_context import read_traceparent, trace_id_of
from trunkline.tracing import Delivering, delivering

PARENT = "00f067aa0ba902b7"
STEPS = ["wait", "prepare", "admit", "claim", "convert", "send", "record", "deliver"]


def traced(message: Envelope) -> Envelope:
    """The message after it was stored as a part of its trace."""
    return replace(message, traceparent=f"00-{trace_id_of(message.message_id)}-{PARENT}-01")


class TracedWorld(World):
    """The transformer's world, with a span around everything."""

    def __init__(self) -> None:
        super().__init__()
        self.spans = Spans()
        tracing = self.spans.tracing
        self.transformer = Transformer(
            TracedTenants(self.tenants, tracing),
            TracedAttempts(self.ledger, tracing),
            {direction: TracedRoute(self.cloud, tracing) for direction in Direction},
            TracedLanes(self, tracing).publish,
            TakeOvers(self.take_overs),
            self.erased,
            owner=this_owner(),
            cloud_timeout_s=10.0,
            calls_in_flight=CALLS_AT_ONCE,
            policy=RetryPolicy(draw=lambda low, high: high),
        )
        self.traced_deliver = TracedDelivery(self.transformer.deliver, tracing)

    async def publish(self, message: Envelope) -> bool:
        await self._publish(message)
        return True

    async def deliver(self, message: Envelope) -> Done:
        done = await asyncio.wait_for(self.traced_deliver(message, self), timeout=5)
        if done.stored is not None:
            await done.stored
            await asyncio.sleep(0)  # whoever waits for the record is told after it
        return done


@pytest.fixture
def world() -> TracedWorld:
    return TracedWorld()


INBOUND, OUTBOUND = traced(envelope(1)), traced(envelope(1, Direction.OUTBOUND))


@pytest.mark.parametrize(
    "message", [INBOUND, OUTBOUND, traced(envelope(1, Direction.STATUS))], ids=lambda m: m.direction
)
async def test_a_delivery_goes_on_where_the_message_was_stored(world: TracedWorld, message: Envelope) -> None:
    await world.deliver(message)
    assert sorted(world.spans.names) == sorted(STEPS)
    assert {trace_of(span) for span in world.spans.all} == {trace_id_of(message.message_id)}
    deliver = world.spans.one("deliver")
    assert {parent_of(world.spans.one("wait")), parent_of(deliver)} == {PARENT}
    below = [span for span in world.spans.all if span.name not in ("wait", "deliver")]
    assert {parent_of(span) for span in below} == {id_of(deliver)}
    assert world.store.status_of(message) == "delivered"


async def test_a_delivery_tells_what_became_of_it(world: TracedWorld) -> None:
    await world.deliver(OUTBOUND)
    assert world.spans.told("claim") == {"trunkline.answer": "granted", "trunkline.attempt": 1}
    assert world.spans.told("admit") == {"trunkline.answer": "passage", "trunkline.wait_s": 0.0}
    assert world.spans.told("send") == {"trunkline.attempt": 1, "trunkline.outcome": "accepted"}
    assert world.spans.told("record") == {"trunkline.outcome": "delivered", "trunkline.event": "delivered"}
    assert world.spans.told("deliver") == {
        "trunkline.from_spool": False,
        "trunkline.redelivered": False,
        "trunkline.outcome": "delivered",
    }
    assert all(span.status.is_ok or span.status.is_unset for span in world.spans.all)


async def test_the_wait_is_the_time_since_the_message_was_accepted(world: TracedWorld) -> None:
    await world.deliver(INBOUND)
    wait, deliver = world.spans.one("wait"), world.spans.one("deliver")
    assert wait.start_time == int(INBOUND.accepted_at * 1e9)
    assert wait.end_time == deliver.start_time


async def test_every_span_tells_its_message_and_none_tells_the_customer(world: TracedWorld) -> None:
    words = "message of +447700900111 that was quoted"
    world.cloud.answers = [CredentialsRefused(words, "401"), Rejected("rejected", words, "131026")]
    await world.deliver(OUTBOUND)
    for span in world.spans.all:
        assert set(FACTS) <= set(span.attributes or {}), span.name
    own = [span for span in world.spans.all if span.name != "store"]
    assert {(span.attributes or {})["trunkline.message_id"] for span in own} == {OUTBOUND.message_id}
    text = world.spans.text()
    for private in (OUTBOUND.conversation, OUTBOUND.external_id, "quoted", "token-1", "2100", "hello"):
        assert private not in text


async def test_a_conversation_has_one_hash_that_needs_the_key(world: TracedWorld) -> None:
    facts = world.spans.tracing.facts
    assert facts(envelope(1)) != facts(envelope(2))
    name = "trunkline.conversation"
    assert facts(envelope(1))[name] == facts(envelope(2))[name] == facts(envelope(1, Direction.OUTBOUND))[name]
    others = [envelope(1, tenant_id="beta"), envelope(1, conversation="447700900112")]
    assert len({facts(each)[name] for each in (envelope(1), *others)}) == 3
    assert Spans(hashed_with=b"another-key").tracing.facts(envelope(1))[name] != facts(envelope(1))[name]


async def test_each_attempt_is_a_call_of_its_own_with_its_outcome(world: TracedWorld) -> None:
    world.cloud.answers = [Unavailable("503", "503"), UNKNOWN]
    world.store.before = lambda outcomes, claims: world.clock.advance(40)
    await world.deliver(INBOUND)
    calls = [span.attributes or {} for span in world.spans.named("send")]
    assert [(call["trunkline.attempt"], call["trunkline.outcome"]) for call in calls] == [
        (1, "unavailable"),
        (2, "outcome_unknown"),
        (3, "accepted"),
    ]
    assert calls[0]["trunkline.code"] == "503"
    assert [span.status.is_ok or span.status.is_unset for span in world.spans.named("send")] == [False, False, True]
    deliver = world.spans.one("deliver")
    assert [event.name for event in deliver.events] == ["pause"] * len(world.waited)
    assert [(event.attributes or {})["wait_s"] for event in deliver.events] == [round(s, 3) for s in world.waited]


async def test_the_news_of_a_failure_goes_on_in_the_trace_of_its_message(world: TracedWorld) -> None:
    world.cloud.answers = [Rejected("rejected", "131026 Message undeliverable", "131026")]
    await world.deliver(OUTBOUND)
    (news,) = world.published
    store = world.spans.one("store")
    assert trace_of(store) == trace_id_of(OUTBOUND.message_id)
    assert parent_of(store) == id_of(world.spans.one("deliver"))
    assert news.traceparent == f"00-{trace_of(store)}-{id_of(store)}-01"
    assert world.spans.told("deliver")["trunkline.outcome"] == "dead"
    assert not world.spans.one("deliver").status.is_unset


async def test_without_a_place_in_a_trace_nothing_is_told(world: TracedWorld) -> None:
    await world.deliver(INBOUND)
    told = len(world.spans.all)
    await world.deliver(envelope(2))
    assert len(world.spans.all) == told
    assert world.cloud.calls == ["wamid.1", "wamid.2"]


async def test_a_message_that_is_not_traced_leaves_no_steps_in_the_trace_of_another(world: TracedWorld) -> None:
    deliver = world.traced_deliver

    async def in_the_context_of_the_first(message: Envelope) -> Done:
        return await asyncio.create_task(deliver(message, world))

    original = world.cloud.prepare
    inner: list[Done] = []

    async def prepare(message: Envelope):  # type: ignore[no-untyped-def]
        if message is INBOUND:
            assert delivering.get() is not None
            inner.append(await in_the_context_of_the_first(envelope(2)))
        return await original(message)

    world.cloud.prepare = prepare  # type: ignore[method-assign]
    await world.deliver(INBOUND)
    assert len(inner) == 1
    assert sorted(world.spans.names) == sorted(STEPS)


async def test_a_message_that_gives_way_is_no_error(world: TracedWorld) -> None:
    world.store.behind = [Behind(None)]
    with pytest.raises(OlderFirst):
        await world.deliver(INBOUND)
    assert world.spans.told("deliver")["trunkline.outcome"] == "older_first"
    assert world.spans.one("deliver").status.is_unset


async def test_a_message_that_is_stored_again_keeps_its_place(world: TracedWorld) -> None:
    assert await TracedLanes(world, world.spans.tracing).publish(INBOUND)
    assert world.published == [INBOUND]
    assert world.spans.all == ()


async def test_a_call_is_over_when_it_was_answered(world: TracedWorld) -> None:
    place = world.spans.tracing.place_of(INBOUND)
    assert place is not None
    work = Delivering(place, {})
    before = delivering.set(work)
    calls: list[bool] = []

    async def request() -> Accepted:
        calls.append(work.call is not None)
        return Accepted()

    class OneRequest:
        async def prepare(self, message: Envelope) -> Prepared | None:
            return Prepared(lambda access: Job([request]))

    prepared = await TracedRoute(OneRequest(), world.spans.tracing).prepare(INBOUND)
    delivering.reset(before)
    assert prepared is not None
    await prepared(GENESYS).requests[0]()
    assert calls == [True]
    assert work.call is None


async def test_waiting_for_passage_is_told(world: TracedWorld) -> None:
    world.tenants.answers = [Later(3.0)]
    await world.deliver(INBOUND)
    answers = [(span.attributes or {})["trunkline.answer"] for span in world.spans.named("admit")]
    assert answers == ["later", "passage"]
    assert (world.spans.named("admit")[0].attributes or {})["trunkline.wait_s"] == 3.0


async def test_an_error_of_our_own_is_told_by_its_class_and_goes_on(world: TracedWorld) -> None:
    async def break_down(message: Envelope, turn: object) -> Done:
        raise RuntimeError("quoting what a customer wrote")

    with pytest.raises(RuntimeError):
        await TracedDelivery(break_down, world.spans.tracing)(INBOUND, world)
    assert world.spans.told("deliver")["error.type"] == "RuntimeError"
    assert "quoting" not in world.spans.text()
    assert delivering.get() is None


async def test_what_could_not_be_stored_is_an_error_of_its_span(world: TracedWorld) -> None:
    world.broker_away = 1
    world.cloud.answers = [Rejected("rejected", "131026", "131026"), Rejected("rejected", "131026", "131026")]
    await world.deliver(OUTBOUND)
    assert [span.status.is_unset for span in world.spans.named("store")] == [False, True]


@pytest.mark.parametrize("error", [TrunklineError(), None], ids=["it is parked", "it is done"])
async def test_nothing_is_left_behind_in_the_task(world: TracedWorld, error: TrunklineError | None) -> None:
    async def end(message: Envelope, turn: object) -> Done:
        if error is not None:
            raise error
        return Done()

    try:
        await TracedDelivery(end, world.spans.tracing)(INBOUND, world)
    except TrunklineError:
        assert error is not None
    assert delivering.get() is None
    assert read_traceparent(INBOUND.traceparent) is not None
