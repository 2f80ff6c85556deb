"""A lane: conversations in order and in parallel, given back whole, acknowledged once stored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest

from tests.fakes import envelope, until
from trunkline.delivery import conversation as conversation_module
from trunkline.delivery import lane as lane_module
from trunkline.delivery.held import LaneHeld
from trunkline.delivery.lane import LaneRunner
from trunkline.delivery.turn import Done, OlderFirst, Turn
from trunkline.envelope import Envelope
from trunkline.errors import Rejected, StoreUnavailable, Unavailable
from trunkline.tenancy.tenant import Gone, Held, Ready


class Queue:
    """A lane's queue with one consumer at a time: what is not acknowledged comes again, in its order."""

    def __init__(self) -> None:
        self.ready: list[bytes] = []
        self.unacked: list[Item] = []
        self.acked: list[str] = []
        self.subscriptions = 0
        self.away = False
        self.prefetch = 0
        self.redelivered: set[bytes] = set()
        self._consumer: tuple[Callable[[Item], None], Callable[[], None]] | None = None

    @property
    def is_read(self) -> bool:
        return self._consumer is not None

    def put(self, *items: Envelope | bytes) -> None:
        self.ready += [item if isinstance(item, bytes) else item.to_bytes() for item in items]
        self._push()

    async def subscribe(
        self, prefetch: int, on_delivery: Callable[[Item], None], on_lost: Callable[[], None]
    ) -> Reading:
        await asyncio.sleep(0)
        self.prefetch = prefetch
        if self.away:
            raise StoreUnavailable("RabbitMQ: connect ECONNREFUSED")
        assert self._consumer is None, "one reader at a time"
        self.subscriptions += 1
        self._consumer = (on_delivery, on_lost)
        self._push()
        return Reading(self)

    def lose_connection(self) -> None:
        """The channel breaks: everything unacknowledged is ready again."""
        assert self._consumer is not None
        on_lost = self._consumer[1]
        self.give_back()
        on_lost()

    def give_back(self) -> None:
        self._consumer = None
        self.ready[:0] = [item.body for item in self.unacked]
        for item in self.unacked:
            item.is_live = False
            self.redelivered.add(item.body)
        self.unacked = []

    def _push(self) -> None:
        while self.ready and self._consumer is not None:
            item = Item(self, self.ready.pop(0))
            self.unacked.append(item)
            self._consumer[0](item)


class Item:
    """A delivery of the queue."""

    def __init__(self, queue: Queue, body: bytes) -> None:
        self.body = body
        self.redelivered = body in queue.redelivered
        self.is_live = True
        self._queue = queue

    def ack(self) -> None:
        if self.is_live:
            self._queue.unacked.remove(self)
            try:
                self._queue.acked.append(Envelope.from_bytes(self.body).external_id)
            except ValueError:
                self._queue.acked.append("unreadable")


class Reading:
    """The queue being read."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    @property
    def unacked(self) -> int:
        return len(self._queue.unacked)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._queue.give_back()


class Spool:
    """The lane's part of the spool; `due_in_s` says when a conversation may be tried."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.rows: list[Envelope] = []
        self.due_in_s: dict[str, float] = {}
        self.away = False
        self.parked: list[tuple[list[str], float]] = []

    def names(self) -> list[str]:
        return [row.external_id for row in self.rows]

    async def due(self, conversation: str) -> Sequence[Envelope]:
        await self._answer()
        rows = sorted((row for row in self.rows if row.conversation == conversation), key=lambda row: row.accepted_at)
        return [] if self.due_in_s.get(conversation, 0.0) > 0 else rows

    async def park(self, envelopes: Sequence[Envelope], wait_s: float) -> None:
        await self._answer()
        self.parked.append(([each.external_id for each in envelopes], wait_s))
        self.rows += [each for each in envelopes if each not in self.rows]
        if wait_s:
            self.due_in_s[envelopes[0].conversation] = wait_s

    async def remove(self, message: Envelope) -> None:
        await self._answer()
        self.rows.remove(message)

    async def queue_is_empty(self) -> bool:
        await self._answer()
        return self._queue.is_read and not self._queue.ready

    def older_than(self, message: Envelope) -> float | None:
        """What a claim would say of what is here: seconds until the first older one is due, None for nothing older."""
        older = [
            row for row in self.rows
            if row.conversation == message.conversation and row.accepted_at < message.accepted_at
        ]  # fmt: skip
        return self.due_in_s.get(message.conversation, 0.0) if older else None

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")


class World:
    """A runner with its queue; messages end when they are let go, in the way they are told to."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.begun: list[str] = []
        self.standing: Held | Ready | Exception | None = None
        self.spool = Spool(self.queue)
        self.turns: dict[str, tuple[bool, bool, bool]] = {}
        self.unfinished_elsewhere: set[str] = set()
        self.given_up: list[str] = []
        self.kept: list[bytes] = []
        self.cannot_keep: Exception | None = None
        self.fails: dict[str, Exception] = {}
        self.waits: dict[str, float] = {}
        self.stored: defaultdict[str, asyncio.Future[None] | None] = defaultdict(lambda: None)
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.open = True
        self.runner = LaneRunner(
            self.queue.subscribe,
            self._deliver,
            self._tell_standing,
            self._keep,
            self._give_up,
            self.spool,
            PREFETCH,
            {"tenant": "acme", "lane": "inbound-whatsapp-messages.acme"},
        )
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.running = asyncio.create_task(self.runner.run())

    def let(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()

    async def stop(self) -> None:
        self.runner.stop()
        assert self.running is not None
        await asyncio.wait_for(self.running, timeout=5)

    async def _deliver(self, message: Envelope, turn: Turn) -> Done:
        name = message.external_id
        older = self.spool.older_than(message)
        if older is not None:
            raise OlderFirst(older)
        if turn.spooled and not turn.alone and name in self.unfinished_elsewhere:
            raise OlderFirst(None)
        self.begun.append(name)
        self.turns[name] = (turn.spooled, turn.alone, turn.redelivered)
        if name in self.waits:
            await turn.pause(self.waits.pop(name))
        if not self.open:
            await self._gates[name].wait()
        if name in self.fails:
            raise self.fails.pop(name)
        return Done(self.stored[name])

    async def _tell_standing(self) -> Held | Ready | Gone:
        await asyncio.sleep(0)
        if isinstance(self.standing, Exception):
            raise self.standing
        return self.standing or Ready(1000)

    async def _give_up(self, message: Envelope, refusal: Rejected) -> Done:
        self.given_up.append(f"{message.external_id} {refusal.reason}")
        return Done()

    async def _keep(self, body: bytes) -> None:
        if self.cannot_keep is not None:
            raise self.cannot_keep
        self.kept.append(body)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(lane_module, "SUBSCRIBE_AGAIN_S", 0.005)
    monkeypatch.setattr(lane_module, "HELD_CHECK_S", 0.005)
    monkeypatch.setattr(conversation_module, "AFTER_FAULT_S", 0.005)
    monkeypatch.setattr(conversation_module, "ASK_AGAIN_S", 0.005)
    return World()


PREFETCH = 20


def said(conversation: str, *numbers: int) -> list[Envelope]:
    return [
        envelope(number, conversation=conversation, external_id=f"{conversation}{number}", accepted_at=float(number))
        for number in numbers
    ]


async def test_a_conversation_is_delivered_one_after_the_other_and_acknowledged_in_order(world: World) -> None:
    world.open = False
    world.start()
    world.queue.put(*said("a", 1, 2, 3))
    for name in ("a1", "a2", "a3"):
        await until(lambda name=name: world.begun[-1:] == [name], f"delivery of {name}")  # type: ignore[misc]
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.begun[-1] == name
        world.let(name)
    await until(lambda: world.queue.acked == ["a1", "a2", "a3"], "the acknowledgements")
    await world.stop()


async def test_conversations_do_not_wait_for_each_other(world: World) -> None:
    world.open = False
    world.start()
    world.queue.put(*said("a", 1, 2), *said("b", 1), *said("c", 1))
    await until(lambda: world.begun == ["a1", "b1", "c1"], "the first of each")
    world.let("b1", "c1")
    await until(lambda: world.queue.acked == ["b1", "c1"], "the others")
    assert world.runner.unfinished == 2
    world.let("a1", "a2")
    await world.stop()
    assert world.runner.unfinished == 0


async def test_a_message_is_acknowledged_once_its_outcome_is_stored_and_the_next_does_not_wait_for_that(
    world: World,
) -> None:
    stored = world.stored["a1"] = asyncio.get_running_loop().create_future()
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.queue.acked == ["a2"], "the second")
    assert world.runner.unfinished == 1
    stored.set_result(None)
    await until(lambda: world.queue.acked == ["a2", "a1"], "the acknowledgement")
    await world.stop()


async def test_a_message_whose_outcome_could_not_be_stored_is_not_acknowledged(world: World) -> None:
    stored = world.stored["a1"] = asyncio.get_running_loop().create_future()
    world.start()
    world.queue.put(*said("a", 1))
    await until(lambda: world.begun == ["a1"], "the delivery")
    stored.set_exception(ValueError("refused"))
    await world.stop()
    assert world.queue.acked == []
    assert len(world.queue.ready) == 1


async def test_stop_finishes_what_is_under_way_and_gives_back_the_rest_in_order(world: World) -> None:
    world.open = False
    world.start()
    world.queue.put(*said("a", 1, 2, 3), *said("b", 1))
    await until(lambda: world.begun == ["a1", "b1"], "the deliveries")
    stopping = asyncio.create_task(world.stop())
    await asyncio.sleep(0)
    assert world.queue.is_read, "nobody may read on while something is under way"
    world.let("a1", "b1", "a2", "a3")
    await stopping
    assert sorted(world.queue.acked) == ["a1", "b1"]
    assert [Envelope.from_bytes(body).external_id for body in world.queue.ready] == ["a2", "a3"]
    assert world.begun == ["a1", "b1"]


async def test_stop_waits_for_outcomes_to_be_stored(world: World) -> None:
    stored = world.stored["a1"] = asyncio.get_running_loop().create_future()
    world.start()
    world.queue.put(*said("a", 1))
    await until(lambda: world.begun == ["a1"], "the delivery")
    stopping = asyncio.create_task(world.stop())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stopping.done()
    stored.set_result(None)
    await stopping
    assert world.queue.acked == ["a1"]


async def test_stop_ends_waits_in_place(world: World) -> None:
    world.waits["a1"] = 50
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.begun == ["a1"], "the delivery")
    await world.stop()
    assert len(world.queue.ready) == 2


@pytest.mark.parametrize("moment", ["before the first turn", "while asking for its standing", "while subscribing"])
async def test_stop_is_heard_at_any_moment(world: World, moment: str) -> None:
    world.start()
    for _ in range(("before the first turn", "while asking for its standing", "while subscribing").index(moment)):
        await asyncio.sleep(0)
    await world.stop()
    assert not world.queue.is_read


async def test_what_arrives_after_a_stop_goes_back(world: World) -> None:
    world.open = False
    world.start()
    world.queue.put(*said("a", 1))
    await until(lambda: world.begun == ["a1"], "the delivery")
    stopping = asyncio.create_task(world.stop())
    await asyncio.sleep(0)
    world.queue.put(*said("b", 1))
    world.let("a1", "b1")
    await stopping
    assert world.queue.acked == ["a1"]
    assert len(world.queue.ready) == 1


async def test_a_held_lane_gives_everything_back_and_resumes_in_order(world: World) -> None:
    world.fails["a1"] = LaneHeld("429 too.many.requests", 0.001)
    world.waits["b1"] = 50
    world.standing = None
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    world.open = False
    world.queue.put(*said("a", 1, 2), *said("b", 1, 2))
    await until(lambda: world.begun == ["a1", "b1"], "the deliveries")
    world.standing = Held("429 too.many.requests", 0.001)
    world.let("a1")
    await until(lambda: not world.queue.is_read and len(world.queue.ready) == 4, "the lane given back")
    await until(lambda: world.runner.held_reason == "429 too.many.requests", "the reason")
    assert world.runner.unfinished == 0
    world.waits.clear()
    world.begun.clear()
    world.open = True
    world.standing = None
    await until(lambda: len(world.queue.acked) == 4, "the rest")
    assert [name for name in world.begun if name.startswith("a")] == ["a1", "a2"]
    assert [name for name in world.begun if name.startswith("b")] == ["b1", "b2"]
    assert world.runner.held_reason is None
    await world.stop()


async def test_a_lane_that_must_wait_is_not_read_at_all(world: World) -> None:
    world.standing = Held("tenant is suspended", 0.001)
    world.start()
    world.queue.put(*said("a", 1))
    await until(lambda: world.runner.held_reason == "tenant is suspended", "the reason")
    assert world.queue.subscriptions == 0
    world.standing = None
    await until(lambda: world.queue.acked == ["a1"], "the delivery")
    await world.stop()


async def test_a_held_lane_can_be_stopped(world: World) -> None:
    world.standing = Held("tenant is suspended", 3600)
    world.start()
    await until(lambda: world.runner.held_reason, "the reason")
    await world.stop()


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Unavailable("cell:0 cannot be reached"), id="its cell is away"),
        pytest.param(RuntimeError("a bug"), id="a bug of ours in its cell"),
    ],
)
async def test_a_lane_is_read_again_once_its_standing_can_be_told(world: World, trouble: Exception) -> None:
    world.standing = trouble
    world.start()
    world.queue.put(*said("a", 1))
    for _ in range(50):
        await asyncio.sleep(0)
    world.standing = None
    await until(lambda: world.queue.acked == ["a1"], "the delivery")
    await world.stop()


async def test_a_lost_connection_delivers_again_what_was_not_acknowledged_after_what_is_under_way(
    world: World,
) -> None:
    world.open = False
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.begun == ["a1"], "the delivery")
    world.queue.lose_connection()
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.queue.subscriptions == 1, "a1 is still under way"
    world.let("a1", "a2")
    await until(lambda: world.queue.acked == ["a1", "a2"], "both, acknowledged on the new channel")
    assert world.begun == ["a1", "a1", "a2"]
    await world.stop()


async def test_a_broker_that_is_away_is_tried_again(world: World) -> None:
    world.queue.away = True
    world.start()
    for _ in range(50):
        await asyncio.sleep(0)
    world.queue.away = False
    world.queue.put(*said("a", 1))
    await until(lambda: world.queue.acked == ["a1"], "the delivery")
    await world.stop()


async def test_a_bug_of_ours_skips_no_message_and_leaves_the_lane_with_a_reader(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.fails["a1"] = RuntimeError("a bug")
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.queue.acked == ["a1", "a2"], "both")
    assert world.begun == ["a1", "a1", "a2"]
    (failed,) = [vars(record) for record in caplog.records if record.getMessage() == "lane.failed"]
    assert (failed["tenant"], failed["message_id"]) == ("acme", said("a", 1)[0].message_id)
    await world.stop()


async def test_what_is_no_envelope_is_kept_and_acknowledged_and_holds_nobody_up(world: World) -> None:
    world.start()
    world.queue.put(b"not an envelope", *said("a", 1), b"\xff")
    await until(lambda: len(world.queue.acked) == 3, "all three")
    assert world.kept == [b"not an envelope", b"\xff"]
    await world.stop()


@pytest.mark.parametrize("trouble", [StoreUnavailable("Postgres cannot be reached"), ValueError("a bug")])
async def test_what_is_no_envelope_waits_in_its_queue_while_it_cannot_be_kept(world: World, trouble: Exception) -> None:
    world.cannot_keep = trouble
    world.start()
    world.queue.put(b"not an envelope")
    await until(lambda: world.queue.subscriptions >= 2, "another try")
    assert world.queue.acked == []
    assert world.runner.held_reason in ("an unreadable message cannot be kept", None)
    world.cannot_keep = None
    await until(lambda: world.queue.acked == ["unreadable"], "the acknowledgement")
    await world.stop()


async def test_a_store_that_is_away_is_not_asked_in_a_hot_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "SUBSCRIBE_AGAIN_S", 3600)
    monkeypatch.setattr(lane_module, "HELD_CHECK_S", 3600)
    world.cannot_keep = StoreUnavailable("Postgres cannot be reached")
    world.start()
    world.queue.put(b"not an envelope")
    await until(lambda: world.runner.held_reason, "the hold")
    for _ in range(50):
        await asyncio.sleep(0)
    assert world.queue.subscriptions == 1
    await world.stop()


async def test_a_lane_tells_how_old_its_oldest_message_is(world: World) -> None:
    world.open = False
    world.start()
    assert world.runner.oldest_accepted_at is None
    world.queue.put(
        envelope(1, conversation="a", accepted_at=50.0),
        envelope(2, conversation="a", accepted_at=60.0),
        envelope(3, conversation="b", accepted_at=40.0),
    )
    await until(lambda: len(world.begun) == 2, "the deliveries")
    assert world.runner.oldest_accepted_at == 40.0
    world.let("wamid.3")
    await until(lambda: world.queue.acked == ["wamid.3"], "the older one")
    assert world.runner.oldest_accepted_at == 50.0
    world.let("wamid.1", "wamid.2")
    await world.stop()


async def test_a_lane_is_read_as_far_ahead_as_can_leave_soon(world: World) -> None:
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    assert world.queue.prefetch == PREFETCH
    await world.stop()


async def test_a_lane_reads_little_for_a_probe_and_as_usual_once_it_has_passed(world: World) -> None:
    world.standing = Ready(2, is_half_open=True)
    world.open = False
    world.start()
    world.queue.put(*said("a", 1, 2), *said("b", 1))
    await until(lambda: world.begun == ["a1", "b1"], "the probe")
    assert world.queue.prefetch == 2
    world.standing = None
    world.let("a1", "b1", "a2")
    await until(lambda: len(world.queue.acked) == 3, "all")
    assert world.queue.prefetch == PREFETCH
    assert [name for name in world.begun if name.startswith("a")] == ["a1", "a2"]
    await world.stop()


async def test_what_breaks_the_code_again_and_again_is_given_up_and_the_lane_goes_on(world: World) -> None:
    class Stubborn(dict[str, Exception]):
        def pop(self, name: str, *_: object) -> Exception:
            return self[name]

    world.fails = Stubborn(a1=RuntimeError("a bug"))
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.queue.acked == ["a1", "a2"], "both")
    assert world.given_up == ["a1 poison"]
    assert world.begun == ["a1", "a1", "a1", "a2"]
    await world.stop()


async def test_a_message_that_somebody_had_before_says_so(world: World) -> None:
    world.open = False
    world.start()
    world.queue.put(*said("a", 1))
    await until(lambda: world.begun == ["a1"], "the delivery")
    world.queue.lose_connection()
    world.let("a1")
    await until(lambda: world.queue.acked == ["a1"], "the second delivery")
    assert world.turns["a1"] == (False, False, True)
    await world.stop()


# --- the spool ---


async def test_the_spool_is_read_while_the_broker_is_away(world: World) -> None:
    world.queue.away = True
    world.spool.rows = said("a", 1, 2)
    world.start()
    for _ in range(20):
        await asyncio.sleep(0)
    world.runner.offer("a")
    await until(lambda: world.begun == ["a1", "a2"] and not world.spool.rows, "both, and taken out")
    assert world.turns["a1"] == (True, False, False)
    await world.stop()


async def test_what_is_older_in_the_spool_goes_before_what_comes_from_the_queue(world: World) -> None:
    world.spool.rows = said("a", 1, 2)
    world.start()
    world.queue.put(*said("a", 3, 4))
    await until(lambda: world.queue.acked == ["a3", "a4"], "all")
    assert world.begun == ["a1", "a2", "a3", "a4"]
    assert world.spool.rows == []
    await world.stop()


async def test_what_is_spooled_waits_for_what_the_queue_still_holds(world: World) -> None:
    world.spool.rows = said("a", 2)
    world.unfinished_elsewhere = {"a2"}
    world.queue.away = True
    world.start()
    for _ in range(20):
        await asyncio.sleep(0)
    world.runner.offer("a")
    await until(lambda: world.runner.unfinished == 0, "it was let go of")
    world.queue.ready = [each.to_bytes() for each in said("a", 1)]
    world.queue.away = False
    await until(lambda: world.queue.acked == ["a1"], "the older one")
    world.unfinished_elsewhere.clear()
    world.runner.offer("a")
    await until(lambda: not world.spool.rows, "the spooled one")
    assert world.begun == ["a1", "a2"]
    await world.stop()


async def test_a_queue_that_was_purged_holds_up_nothing_in_the_spool(world: World) -> None:
    world.spool.rows = said("a", 2)
    world.unfinished_elsewhere = {"a2"}
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    world.runner.offer("a")
    await until(lambda: not world.spool.rows, "the delivery")
    assert world.turns["a2"] == (True, True, False)
    await world.stop()


async def test_what_an_emptied_queue_has_just_given_out_is_waited_for(world: World) -> None:
    world.spool.rows = said("a", 2)
    world.unfinished_elsewhere = {"a2"}
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    asked = 0

    async def queue_is_empty() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:  # it was under way when the queue was looked into
            world.queue.put(*said("a", 1))
            world.unfinished_elsewhere.clear()
        return True

    world.spool.queue_is_empty = queue_is_empty  # type: ignore[method-assign]
    world.runner.offer("a")
    await until(lambda: world.queue.acked == ["a1"], "the older one")
    world.runner.offer("a")
    await until(lambda: not world.spool.rows, "the spooled one")
    assert world.begun == ["a1", "a2"]
    assert world.turns["a2"] == (True, False, False)
    await world.stop()


async def test_what_comes_while_the_spool_is_asked_joins_its_conversation(world: World) -> None:
    world.open = False
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    answered = asyncio.Event()

    async def due(conversation: str) -> Sequence[Envelope]:
        await answered.wait()
        return []

    world.spool.due = due  # type: ignore[method-assign]
    world.runner.offer("a")
    await asyncio.sleep(0)
    world.queue.put(*said("a", 1))
    answered.set()
    await until(lambda: world.begun == ["a1"], "the first one")
    for _ in range(10):
        await asyncio.sleep(0)
    world.queue.put(*said("a", 2))
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.begun == ["a1"]
    world.let("a1", "a2")
    await until(lambda: world.queue.acked == ["a1", "a2"], "both")
    await world.stop()


async def test_a_row_that_cannot_be_taken_out_is_tried_again(world: World) -> None:
    world.spool.rows = said("a", 1)
    world.open = False
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    world.runner.offer("a")
    await until(lambda: world.begun == ["a1"], "the delivery")
    world.spool.away = True
    world.let("a1")
    await until(lambda: len(world.begun) > 2, "tries")
    world.spool.away = False
    await until(lambda: not world.spool.rows, "the removal")
    await world.stop()


async def test_a_held_lane_takes_nothing_from_the_spool(world: World) -> None:
    world.standing = Held("tenant is suspended", 0.001)
    world.spool.rows = said("a", 1)
    world.start()
    await until(lambda: world.runner.held_reason, "the reason")
    world.runner.offer("a")
    assert world.runner.unfinished == 0
    await world.stop()


# --- parking ---


async def test_a_conversation_that_has_to_wait_for_long_is_parked_as_a_whole(world: World) -> None:
    world.waits["a1"] = 61.0
    world.start()
    world.queue.put(*said("a", 1, 2), *said("b", 1))
    await until(lambda: sorted(world.queue.acked) == ["a1", "a2", "b1"], "the acknowledgements")
    assert world.spool.parked == [(["a1", "a2"], 61.0)]
    assert world.begun == ["a1", "b1"]
    world.queue.put(*said("a", 3))
    await until(lambda: "a3" in world.queue.acked, "what is newer joins them")
    assert world.spool.names() == ["a1", "a2", "a3"]
    world.spool.due_in_s.clear()
    world.runner.offer("a")
    await until(lambda: not world.spool.rows, "all of it")
    assert world.begun == ["a1", "b1", "a1", "a2", "a3"]
    await world.stop()


async def test_a_delivery_that_was_held_for_a_minute_is_parked_at_its_next_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_module, "PARK_AFTER_S", 0.05)
    world.waits |= {"a1": 0.04, "a2": 0.02}
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.queue.acked == ["a1", "a2"], "the acknowledgements")
    assert world.spool.parked[0][0] == ["a2"]
    world.spool.due_in_s.clear()
    world.runner.offer("a")
    await until(lambda: not world.spool.rows, "the rest")
    await world.stop()


async def test_a_conversation_that_waits_leaves_room_for_the_others(world: World) -> None:
    world.waits["a1"] = 3.0
    world.start()
    await until(lambda: world.queue.is_read, "the reader")
    world.queue.put(*said("a", *range(1, 11)))
    await until(lambda: len(world.queue.acked) == 9, "all but the first, which waits")
    assert world.begun == ["a1"]
    assert world.spool.names() == [f"a{number}" for number in range(2, 11)]
    await world.stop()


async def test_without_postgres_nothing_is_parked_and_nothing_lost(world: World) -> None:
    world.waits["a1"] = 61.0
    world.spool.away = True
    world.start()
    world.queue.put(*said("a", 1, 2))
    await until(lambda: world.begun[:1] == ["a1"], "the delivery")
    await until(lambda: world.queue.acked == ["a1", "a2"], "both, once it need not wait")
    assert world.spool.rows == []
    await world.stop()


async def test_a_lane_that_waits_as_a_whole_remembers_the_age_of_what_it_gave_back(world: World) -> None:
    world.fails["a7"] = LaneHeld("the circuit is open", 100.0)
    world.start()
    world.open = False
    world.queue.put(*said("b", 9), *said("a", 7, 8))
    await until(lambda: "b9" in world.begun, "the other conversation")
    assert (world.runner.unacked, world.runner.oldest_accepted_at) == (3, 7.0)
    world.standing = Held("the circuit is open", 100.0)
    world.let("a7", "b9")
    await until(lambda: not world.runner.is_subscribed, "given back")
    assert (world.runner.unacked, world.runner.oldest_accepted_at) == (0, 7.0)
    world.standing = None
    await until(lambda: "a8" in world.begun, "read again")
    assert world.runner.oldest_accepted_at == 8.0
    world.let("a8")
    await until(lambda: not world.queue.unacked, "delivered")
    assert world.runner.oldest_accepted_at is None
    await world.stop()
