"""The transformer: every failure has one fate, every claim's answer one consequence."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from tests.fakes import Clock, MemoryErased, MemoryMessages, Row, envelope, until
from trunkline.attempt import (
    LEAVE_WITHIN_S,
    Behind,
    Claim,
    ClaimAnswer,
    DeadLetter,
    Outcome,
    ReceiptNote,
    Settled,
    this_owner,
)
from trunkline.delivery import ledger as ledger_module
from trunkline.delivery import transform as transform_module
from trunkline.delivery.held import LaneHeld
from trunkline.delivery.ledger import Ledger
from trunkline.delivery.retry import RetryPolicy
from trunkline.delivery.routes import Accepted, Access, Job, Prepared
from trunkline.delivery.take_overs import TakeOvers
from trunkline.delivery.transform import Transformer
from trunkline.delivery.turn import ASK_AGAIN_S, Done, OlderFirst
from trunkline.envelope import Direction, Envelope
from trunkline.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    Rejected,
    StoreUnavailable,
    Throttled,
    TrunklineError,
    Unavailable,
)
from trunkline.protocol.receipts import ReceiptDecision, receipt_for
from trunkline.tenancy.tenant import Ask, Cloud, GenesysAccess, Gone, Held, Later, Passage, Priority, WhatsAppAccess

CALLS_AT_ONCE = 20
UNKNOWN = OutcomeUnknown("no answer: ServerDisconnectedError")
ONE = [Accepted(wamid="wamid.out", genesys_id="g-1", genesys_conversation_id="gc-1")]

Answer = Passage | Later | Held | Gone | Exception


class Tenants:
    """The tenants' cells: `answers` first, then passage for everybody with the token in force."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asks: list[Ask] = []
        self.told: list[tuple[object, ...]] = []
        self.away_for_reports = False
        self.epoch = 1
        self.token = "token-1"
        self.go = asyncio.Event()
        self.go.set()

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        self.asks.append(ask)
        await self.go.wait()
        answer = self.answers.pop(0) if self.answers else self.passage(ask)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def passage(self, ask: Ask, wait_s: float = 0.0, probe: bool = False) -> Passage:
        access: Access = GenesysAccess("mypurecloud.ie", "integration", self.token, phone_with_plus=False)
        if ask.direction is Direction.OUTBOUND:
            access = WhatsAppAccess("2100", self.token)
        return Passage(self.epoch, "conversation", access, wait_s, probe)

    async def outdated(self, tenant_id: str, epoch: int) -> None:
        self._tell("outdated", epoch)
        self.epoch += 1

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        self._tell("refused", cloud, used_token, words, expired)
        await asyncio.sleep(0)
        self.token = f"{self.token}+"

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        self._tell("throttled", cloud, words, retry_after_s, code)

    async def person_throttled(self, tenant_id: str, wa_id: str) -> None:
        self._tell("person_throttled", wa_id)

    async def failing(self, tenant_id: str, cloud: Cloud, words: str) -> None:
        self._tell("failing", cloud, words)

    async def unused(self, tenant_id: str, cloud: Cloud) -> None:
        self._tell("unused", cloud)

    async def accepted(self, tenant_id: str, cloud: Cloud) -> None:
        self._tell("accepted", cloud)

    def _tell(self, *what: object) -> None:
        if self.away_for_reports:
            raise Unavailable("cell:0 cannot be reached")
        self.told.append(what)


class Cloudy:
    """A route to a cloud that answers `answers` one after the other; a message has `parts` requests."""

    def __init__(self) -> None:
        self.answers: list[Accepted | TrunklineError] = []
        self.calls: list[str] = []
        self.tokens: list[str] = []
        self.parts = 1
        self.refusal: Exception | None = None
        self.late_refusal: Exception | None = None
        self.needs_call = True
        self.is_free_form = False
        self.priority = Priority.MESSAGE
        self.under_way = 0
        self.most_under_way = 0
        self.go = asyncio.Event()
        self.go.set()
        self.lacking: Rejected | None = None
        self.receipt: ReceiptNote | None = None
        self.prepared = 0

    async def prepare(self, message: Envelope) -> Prepared | None:
        self.prepared += 1
        if self.refusal is not None:
            raise self.refusal
        make = partial(self._job, message)
        return Prepared(make, self.is_free_form, self.priority) if self.needs_call else None

    def _job(self, message: Envelope, access: Access) -> Job:
        if self.late_refusal is not None:
            raise self.late_refusal
        requests = [lambda part=part: self._call(message, access, part) for part in range(self.parts)]
        return Job(requests, text="hello", lacking=self.lacking, receipt=self.receipt)

    async def _call(self, message: Envelope, access: Access, part: int) -> Accepted:
        self.calls.append(f"{message.external_id}/{part}" if self.parts > 1 else message.external_id)
        self.tokens.append(access.access_token)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.go.wait()
        self.under_way -= 1
        answer = self.answers.pop(0) if self.answers else ONE[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Counts:
    """Take-overs in memory."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.noted: list[str] = []

    async def note(self, message: Envelope) -> int:
        self.noted.append(message.message_id)
        self.counts[message.message_id] = self.counts.get(message.message_id, 0) + 1
        return self.counts[message.message_id]

    async def forget(self, message: Envelope) -> None:
        self.counts.pop(message.message_id, None)


class World:
    """A transformer between tenants, a ledger in memory and a cloud; waits in place take no time here."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryMessages(self.clock)
        self.tenants = Tenants()
        self.cloud = Cloudy()
        self.waited: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.published: list[Envelope] = []
        self.broker_away = 0
        self.ledger = Ledger(self.store)
        self.take_overs = Counts()
        self.erased = MemoryErased()
        self.spooled = self.alone = self.redelivered = False
        self.transformer = Transformer(
            self.tenants,
            self.ledger,
            dict.fromkeys(Direction, self.cloud),
            self._publish,
            TakeOvers(self.take_overs),
            self.erased,
            owner=this_owner(),
            cloud_timeout_s=10.0,
            calls_in_flight=CALLS_AT_ONCE,
            policy=RetryPolicy(draw=lambda low, high: high),
            file_policy=RetryPolicy.for_files(draw=lambda low, high: high),
        )

    async def deliver(self, message: Envelope) -> Done:
        done = await asyncio.wait_for(self.transformer.deliver(message, self), timeout=5)
        if done.stored is not None:
            await done.stored
        return done

    async def pause(self, wait_s: float, *, may_park: bool = True) -> None:
        self.waited.append(wait_s)
        self.clock.advance(wait_s)
        self.on_wait()
        assert len(self.waited) < 1000, "it waits for ever"
        await asyncio.sleep(0)

    async def _publish(self, message: Envelope) -> None:
        if self.broker_away:
            self.broker_away -= 1
            raise StoreUnavailable("RabbitMQ: connect ECONNREFUSED")
        self.store.outcomes.append(Outcome(message, "", "waiting", "status published"))
        self.published.append(message)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(ledger_module, "FIRST_WAIT_S", 0.001)
    return World()


INBOUND, OUTBOUND = envelope(1), envelope(1, Direction.OUTBOUND)


async def test_a_message_is_claimed_sent_and_recorded(world: World) -> None:
    await world.deliver(INBOUND)
    assert world.cloud.calls == ["wamid.1"]
    (outcome,) = world.store.outcomes
    assert (outcome.status, outcome.genesys_id, outcome.genesys_conversation_id) == ("delivered", "g-1", "gc-1")
    assert world.store.status_of(INBOUND) == "delivered"
    assert world.transformer.delivered == 1
    assert world.tenants.told == []


@pytest.mark.parametrize(
    ("message", "error", "events", "told", "waited"),
    [
        pytest.param(
            INBOUND, Unavailable("503", "503"), ["retry", "delivered"], [], [1.0], id="may pass: again after a wait"
        ),
        pytest.param(
            INBOUND,
            Throttled(17.0, "429", "429"),
            ["throttled", "delivered"],
            [("throttled", Cloud.GENESYS, "429", 17.0, "429")],
            [],
            id="throttled: the tenant is told, and waits as a whole",
        ),
        pytest.param(
            OUTBOUND,
            Throttled(2.0, "130429", "130429"),
            ["throttled", "delivered"],
            [("throttled", Cloud.WHATSAPP, "130429", 2.0, "130429")],
            [],
            id="throttled by WhatsApp",
        ),
        pytest.param(
            OUTBOUND,
            Throttled(6.0, "131056 pair rate", "131056"),
            ["throttled", "delivered"],
            [("person_throttled", OUTBOUND.conversation)],
            [],
            id="too much for one person: that conversation waits alone",
        ),
        pytest.param(
            INBOUND,
            CredentialsRefused("401 bad.credentials", "401"),
            ["credentials_refused", "delivered"],
            [("refused", Cloud.GENESYS, "token-1", "401 bad.credentials", True)],
            [],
            id="an expired Genesys token",
        ),
        pytest.param(
            INBOUND,
            CredentialsRefused("403 missing.permissions", "403"),
            ["credentials_refused", "delivered"],
            [("refused", Cloud.GENESYS, "token-1", "403 missing.permissions", False)],
            [],
            id="a missing right at Genesys",
        ),
        pytest.param(
            OUTBOUND,
            CredentialsRefused("190 expired", "401"),
            ["credentials_refused", "delivered"],
            [("refused", Cloud.WHATSAPP, "token-1", "190 expired", False)],
            [],
            id="an expired access token of WhatsApp",
        ),
        pytest.param(
            INBOUND, UNKNOWN, ["unknown", "repeated"], [], [], id="unknown at Genesys: repeated once with its id"
        ),
    ],
)
async def test_a_failure_that_may_pass_is_tried_again(
    world: World,
    message: Envelope,
    error: TrunklineError,
    events: list[str],
    told: list[tuple[object, ...]],
    waited: list[float],
) -> None:
    world.cloud.answers = [error]
    await world.deliver(message)
    assert world.store.events == events
    assert world.tenants.told == told
    assert world.waited == waited
    assert world.cloud.calls == ["wamid.1", "wamid.1"]


@pytest.mark.parametrize(
    ("answers", "letter"),
    [
        pytest.param([Rejected("rejected", "400 bad", "400")], DeadLetter("rejected", "400 bad"), id="a final no"),
        pytest.param(
            [Rejected("window_closed", "131047", "131047")], DeadLetter("window_closed", "131047"), id="its reason"
        ),
        pytest.param([Unavailable("503")] * 8, DeadLetter("exhausted", "503"), id="eight attempts"),
        pytest.param(
            [UNKNOWN, UNKNOWN],
            DeadLetter("unknown_outcome", "two sends in a row had an unknown outcome"),
            id="a second unknown outcome",
        ),
    ],
)
async def test_a_final_failure_is_a_dead_letter_and_sent_no_more(
    world: World, answers: list[TrunklineError], letter: DeadLetter
) -> None:
    world.cloud.answers += answers
    await world.deliver(INBOUND)
    assert world.store.dead == {INBOUND.message_id: letter}
    assert world.store.status_of(INBOUND) == "dead"
    assert len(world.cloud.calls) == len(answers)
    assert world.published == [], "no agent waits for news of a customer's message"


async def test_throttling_and_refusals_use_up_no_attempt(world: World) -> None:
    world.cloud.answers += [Throttled(1.0), CredentialsRefused("401", "401")] * 20
    world.cloud.answers += [Unavailable("503")]
    await world.deliver(INBOUND)
    assert world.store.status_of(INBOUND) == "delivered"
    assert world.store.rows[INBOUND.message_id].attempts == 2


async def test_an_unknown_send_to_whatsapp_waits_for_news_before_it_is_repeated(world: World) -> None:
    world.cloud.answers = [UNKNOWN]
    await world.deliver(OUTBOUND)
    assert world.store.events == ["unknown", "repeated"]
    assert 30 <= sum(world.waited) <= 31
    assert max(world.waited) <= 1, "news in between must be noticed"


async def test_news_of_an_unknown_send_ends_it_without_a_second_one(world: World) -> None:
    world.cloud.answers = [UNKNOWN]

    def adopt() -> None:
        world.store.rows[OUTBOUND.message_id].status = "delivered"

    world.on_wait = adopt
    assert await world.deliver(OUTBOUND) == Done()
    assert world.cloud.calls == ["wamid.1"]
    assert sum(world.waited) <= 1


async def test_a_message_settled_before_is_done_without_a_call(world: World) -> None:
    await world.deliver(INBOUND)
    assert await world.deliver(INBOUND) == Done()
    assert world.cloud.calls == ["wamid.1"]


async def test_a_fenced_activation_is_reported_and_the_message_sent_by_the_next(world: World) -> None:
    world.store.epoch = 2
    await world.deliver(INBOUND)
    assert world.tenants.told == [("outdated", 1)]
    assert world.cloud.calls == ["wamid.1"]


async def test_a_fenced_activation_that_cannot_be_told_is_asked_again_and_no_bug(world: World) -> None:
    world.store.epoch = 2
    world.tenants.away_for_reports = True
    rounds = 0

    def come_back(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        nonlocal rounds
        rounds += 1
        world.tenants.away_for_reports = rounds < 3

    world.store.before = come_back
    await world.deliver(INBOUND)
    assert world.store.status_of(INBOUND) == "delivered"


def sending(world: World, message: Envelope, owner: str) -> Row:
    """Somebody has claimed the message and not told its outcome."""
    row = Row(message.direction, "sending", 1, attempt_id="theirs", owner=owner, claim_until=world.clock() + 15)
    world.store.rows[message.message_id] = row
    return row


async def test_a_message_that_somebody_alive_may_be_sending_is_waited_for(world: World) -> None:
    row = sending(world, INBOUND, this_owner())

    def deliver() -> None:
        if len(world.waited) == 5:
            row.status = "delivered"

    world.on_wait = deliver
    assert await world.deliver(INBOUND) == Done()
    assert world.cloud.calls == []
    assert len(world.waited) == 5


async def test_a_claim_past_its_deadline_counts_as_unknown_and_is_repeated_once(world: World) -> None:
    sending(world, INBOUND, this_owner())
    await world.deliver(INBOUND)
    assert sum(world.waited) == pytest.approx(15, abs=1)
    assert world.store.events == ["unknown", "repeated"]
    assert world.cloud.calls == ["wamid.1"]


async def test_a_claim_of_a_process_that_has_ended_is_not_waited_for(world: World) -> None:
    tell = "from trunkline.attempt import this_owner; print(this_owner())"
    dead = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout.strip()
    sending(world, INBOUND, dead)
    await world.deliver(INBOUND)
    assert world.waited == []
    assert world.store.events == ["unknown", "repeated"]


async def test_two_unknown_outcomes_are_never_repeated_a_second_time_whoever_sent(world: World) -> None:
    row = sending(world, OUTBOUND, this_owner())
    row.unknowns = 1
    await world.deliver(OUTBOUND)
    assert world.cloud.calls == []
    assert world.store.dead[OUTBOUND.message_id].reason == "unknown_outcome"


class LateLedger(Ledger):
    """Its first grant comes too late, as after a long sleep of the process."""

    late = True

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        answer, leave_until = await super().claim(claim)
        if self.late:
            self.late = False
            return answer, leave_until - LEAVE_WITHIN_S - 0.1
        assert leave_until > time.monotonic()
        return answer, leave_until


async def test_a_grant_that_comes_too_late_is_claimed_anew_before_anything_leaves(world: World) -> None:
    world.transformer._ledger = LateLedger(world.store)
    await world.deliver(INBOUND)
    assert world.store.events == ["claimed_too_early", "delivered"]
    assert world.cloud.calls == ["wamid.1"]
    assert world.store.rows[INBOUND.message_id].attempts == 1


@pytest.mark.parametrize("committed", [1, 2, 3], ids=lambda count: f"{count} claims committed unheard")
async def test_a_claim_that_was_committed_unheard_is_not_mistaken_for_a_send(world: World, committed: int) -> None:
    unheard = committed

    def lose_answer() -> None:
        nonlocal unheard
        if unheard and any(row.status == "sending" for row in world.store.rows.values()):
            unheard -= 1
            raise StoreUnavailable("Postgres is shutting down")

    world.store.after = lose_answer
    await world.deliver(OUTBOUND)
    assert world.cloud.calls == ["wamid.1"]
    assert "unknown" not in world.store.events
    assert sum(world.waited) < 5


async def test_a_claim_committed_unheard_before_a_longer_outage_is_not_mistaken_for_a_send(world: World) -> None:
    lost, away = [True], [True] * 3

    def lose_answer() -> None:
        if lost and any(row.status == "sending" for row in world.store.rows.values()):
            lost.clear()
            raise StoreUnavailable("Postgres is shutting down")

    def be_away(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        if not lost and away:
            away.pop()
            raise StoreUnavailable("Postgres cannot be reached")

    world.store.after, world.store.before = lose_answer, be_away
    await world.deliver(OUTBOUND)
    assert world.cloud.calls == ["wamid.1"]
    assert "unknown" not in world.store.events


async def test_parts_are_sent_in_order_and_recorded_one_by_one(world: World) -> None:
    world.cloud.parts = 3
    await world.deliver(OUTBOUND)
    assert world.cloud.calls == ["wamid.1/0", "wamid.1/1", "wamid.1/2"]
    assert [outcome.parts_done for outcome in world.store.outcomes] == [1, 2, 3]
    assert world.store.events == ["part_sent", "part_sent", "delivered"]
    assert world.store.rows[OUTBOUND.message_id].attempts == 1


@pytest.mark.parametrize(
    "error", [pytest.param(Unavailable("503"), id="failed"), pytest.param(UNKNOWN, id="of unknown outcome")]
)
async def test_a_part_that_failed_is_sent_again_and_no_other(world: World, error: TrunklineError) -> None:
    world.cloud.parts = 3
    world.cloud.answers = [ONE[0], error]
    await world.deliver(INBOUND)
    assert world.cloud.calls == ["wamid.1/0", "wamid.1/1", "wamid.1/1", "wamid.1/2"]


async def test_a_restarted_transformer_goes_on_with_the_next_part(world: World) -> None:
    world.cloud.parts = 3
    world.store.rows[INBOUND.message_id] = Row(Direction.INBOUND, "waiting", parts_done=2)
    await world.deliver(INBOUND)
    assert world.cloud.calls == ["wamid.1/2"]


async def test_a_message_whose_parts_all_left_before_needs_no_call(world: World) -> None:
    world.cloud.parts = 2
    world.store.rows[INBOUND.message_id] = Row(Direction.INBOUND, "waiting", parts_done=2)
    await world.deliver(INBOUND)
    assert world.cloud.calls == []
    assert world.store.status_of(INBOUND) == "delivered"


async def test_a_message_that_is_not_bridged_is_settled_without_a_call(world: World) -> None:
    world.cloud.parts = 0
    await world.deliver(INBOUND)
    assert (world.store.status_of(INBOUND), world.store.events) == ("delivered", ["nothing_to_send"])


async def test_what_needs_no_call_asks_for_no_passage_and_uses_no_limit(world: World) -> None:
    world.cloud.needs_call = False
    assert await world.deliver(OUTBOUND) == Done()
    assert world.tenants.asks == []
    assert world.store.exchanges == []


async def test_a_message_of_a_deleted_tenant_is_a_dead_letter_and_never_leaves(world: World) -> None:
    world.tenants.answers = [Gone()]
    await world.deliver(OUTBOUND)
    assert world.store.dead[OUTBOUND.message_id].reason == "tenant_deleted"
    assert world.cloud.calls == []
    assert world.published == []


async def test_a_tenant_that_must_wait_holds_the_lane_before_anything_is_claimed(world: World) -> None:
    world.tenants.answers = [Held("tenant is suspended", 1.0)]
    with pytest.raises(LaneHeld) as held:
        await world.deliver(INBOUND)
    assert (held.value.reason, held.value.retry_after_s) == ("tenant is suspended", 1.0)
    assert world.store.rows == {}


async def test_a_cell_that_is_away_is_asked_again(world: World) -> None:
    world.tenants.answers = [Unavailable("cell:0 did not answer")] * 3
    await world.deliver(INBOUND)
    assert len(world.waited) == 3
    assert world.store.events == ["delivered"]


async def test_passage_for_later_is_waited_for_before_the_claim(world: World) -> None:
    ask = Ask(INBOUND.direction, INBOUND.conversation, INBOUND.accepted_at)
    world.tenants.answers = [world.tenants.passage(ask, wait_s=4.5)]
    claimed_by_then: list[int] = []
    world.on_wait = lambda: claimed_by_then.append(len(world.store.rows))
    await world.deliver(INBOUND)
    assert world.waited == [4.5]
    assert claimed_by_then == [0]


async def test_an_accepted_probe_is_reported_and_a_plain_call_is_not(world: World) -> None:
    ask = Ask(INBOUND.direction, INBOUND.conversation, INBOUND.accepted_at)
    world.tenants.answers = [world.tenants.passage(ask, probe=True)]
    await world.deliver(INBOUND)
    await world.deliver(envelope(2))
    assert world.tenants.told == [("accepted", Cloud.GENESYS)]


async def test_ten_failures_in_a_row_open_the_circuit_and_those_already_under_way_say_nothing_new(
    world: World,
) -> None:
    world.cloud.answers = [Unavailable("503 service.unavailable", "503")] * CALLS_AT_ONCE
    messages = [envelope(number, conversation=str(number)) for number in range(CALLS_AT_ONCE)]
    world.cloud.go.clear()
    delivering = [asyncio.create_task(world.deliver(message)) for message in messages]
    await until(lambda: world.cloud.under_way == CALLS_AT_ONCE, "all under way")
    world.cloud.go.set()
    await asyncio.gather(*delivering)
    assert world.tenants.told == [("failing", Cloud.GENESYS, "503 service.unavailable")]
    # The first ones counted as attempts; those that were answered after the opening did not.
    attempts = sorted(world.store.rows[message.message_id].attempts for message in messages)
    assert attempts == [1] * 10 + [2] * 10


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Rejected("rejected", "400"), id="a no is an answer"),
        pytest.param(Unavailable("131053 media", "131053"), id="a file that this message has"),
    ],
)
async def test_what_says_nothing_about_the_cloud_breaks_a_row_of_failures(world: World, error: TrunklineError) -> None:
    failures: list[TrunklineError] = [Unavailable("503", "503")] * 6
    world.cloud.answers = [*failures, error, *failures]
    await world.deliver(INBOUND)
    await world.deliver(envelope(2))
    assert world.tenants.told == []


@pytest.mark.parametrize("error", [Unavailable("503", "503"), UNKNOWN])
async def test_a_probe_that_fails_is_reported_and_no_attempt_of_its_message(
    world: World, error: TrunklineError
) -> None:
    ask = Ask(INBOUND.direction, INBOUND.conversation, INBOUND.accepted_at)
    world.tenants.answers = [world.tenants.passage(ask, probe=True)]
    world.cloud.answers = [error]
    await world.deliver(INBOUND)
    assert world.tenants.told == [("failing", Cloud.GENESYS, str(error))]
    assert world.waited == [], "the circuit says when"
    assert [ask.is_suspect for ask in world.tenants.asks] == [False, error is UNKNOWN]


async def test_a_probe_that_needs_no_call_is_given_back(world: World) -> None:
    await world.deliver(INBOUND)
    ask = Ask(INBOUND.direction, INBOUND.conversation, INBOUND.accepted_at)
    world.tenants.answers = [world.tenants.passage(ask, probe=True)]
    await world.deliver(INBOUND)
    assert world.tenants.told == [("unused", Cloud.GENESYS)]


async def test_a_suspect_that_news_came_of_asks_for_no_passage(world: World) -> None:
    world.cloud.answers = [UNKNOWN]
    world.tenants.answers = [
        world.tenants.passage(Ask(OUTBOUND.direction, OUTBOUND.conversation, 0.0)),
        Held("503", 2.0),
    ]
    with pytest.raises(LaneHeld):
        await world.deliver(OUTBOUND)
    world.store.rows[OUTBOUND.message_id].status = "delivered"
    world.tenants.answers = [Held("503", 2.0)]
    assert await world.deliver(OUTBOUND) == Done()


async def test_a_call_does_not_leave_long_after_its_slot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transform_module, "SLOT_GOOD_FOR_S", 0.0)
    await world.deliver(INBOUND)
    assert len(world.tenants.asks) == 2, "its slot was over: it asked for another"
    assert world.cloud.calls == ["wamid.1"]


async def test_a_receipt_that_comes_later_waits_in_place(world: World) -> None:
    world.tenants.answers = [Later(0.7)]
    await world.deliver(INBOUND)
    assert world.waited == [0.7]


async def test_a_free_form_message_outside_the_window_is_refused_without_a_call(world: World) -> None:
    world.cloud.is_free_form = True
    passage = world.tenants.passage(Ask(Direction.OUTBOUND, OUTBOUND.conversation, 0.0))
    words = "WhatsApp's 24-hour window closed at 12:00; only a template may be sent"
    world.tenants.answers = [replace(passage, window_closed=words)]
    await world.deliver(OUTBOUND)
    assert world.tenants.asks[0].is_free_form
    assert world.cloud.calls == []
    assert world.store.dead[OUTBOUND.message_id] == DeadLetter("window_closed", words)
    (told,) = world.published
    assert receipt_for(told.payload["status"]) == ReceiptDecision("Failed", "MessageExpired", f"131047 {words}")


async def test_something_older_goes_first(world: World) -> None:
    world.store.behind = [Behind(3.0)]
    with pytest.raises(OlderFirst) as raised:
        await world.deliver(INBOUND)
    assert raised.value.due_in_s == 3.0
    assert world.cloud.calls == []


async def test_a_claim_says_where_its_message_comes_from(world: World) -> None:
    claims: list[Claim] = []
    world.store.before = lambda outcomes, asked: claims.extend(asked)
    await world.deliver(INBOUND)
    world.spooled = world.alone = True
    await world.deliver(envelope(2))
    assert [(claim.spooled, claim.alone) for claim in claims] == [(False, False), (True, True)]


async def test_a_message_that_ended_its_reader_three_times_is_poison(world: World) -> None:
    world.redelivered = True
    world.take_overs.counts[OUTBOUND.message_id] = 2
    await world.deliver(OUTBOUND)
    assert world.cloud.prepared == 0
    assert world.store.dead[OUTBOUND.message_id].reason == "poison"
    assert len(world.published) == 1, "its agent is told"


async def test_a_message_that_passes_is_counted_no_more(world: World) -> None:
    world.redelivered = True
    await world.deliver(INBOUND)
    assert (world.take_overs.noted, world.take_overs.counts) == ([INBOUND.message_id], {})
    await world.deliver(INBOUND)
    assert len(world.take_overs.noted) == 1, "this process knows it by now"


async def test_a_first_delivery_is_not_counted(world: World) -> None:
    await world.deliver(INBOUND)
    assert world.take_overs.noted == []


async def test_a_bug_in_a_call_is_an_unknown_outcome(world: World) -> None:
    world.cloud.answers = [RuntimeError("a bug")]  # type: ignore[list-item]
    await world.deliver(INBOUND)
    assert world.store.events == ["unknown", "repeated"]


async def test_a_report_that_is_lost_fails_no_message(world: World) -> None:
    world.tenants.away_for_reports = True
    world.cloud.answers = [CredentialsRefused("401", "401"), Throttled(1.0)]
    await world.deliver(INBOUND)
    assert world.store.status_of(INBOUND) == "delivered"


async def test_the_agent_is_told_of_a_failure_before_the_message_becomes_a_dead_letter(world: World) -> None:
    world.cloud.answers = [Rejected("rejected", "131026 Message undeliverable", "131026")]
    await world.deliver(OUTBOUND)
    assert world.store.events == ["status published", "dead"]
    (status,) = world.published
    assert (status.direction, status.conversation) == (Direction.STATUS, OUTBOUND.conversation)
    assert status.payload["status"]["biz_opaque_callback_data"] == OUTBOUND.message_id
    decision = receipt_for(status.payload["status"])
    assert decision is not None
    assert (decision.status, decision.reason_code) == ("Failed", "InvalidDestination")
    assert decision.reason_message == "131026 Message undeliverable"


async def test_a_failure_that_cannot_be_told_yet_keeps_the_message_alive(world: World) -> None:
    world.broker_away = 3
    world.cloud.answers = [Rejected("rejected", "131026", "131026")] * 4
    await world.deliver(OUTBOUND)
    assert world.store.events == [*["receipt_waits"] * 3, "status published", "dead"]


async def test_a_failure_told_twice_is_one_status(world: World) -> None:
    for _ in range(2):
        world.cloud.answers = [Rejected("rejected", "131026", "131026")]
        world.store.rows.clear()
        await world.deliver(OUTBOUND)
    assert len({status.message_id for status in world.published}) == 1


@pytest.mark.parametrize("late", [False, True], ids=["before passage", "after passage"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(Rejected("invalid", "it names no sender"), "invalid", id="invalid"),
        pytest.param(Rejected("unsupported", "a kind"), "unsupported", id="unsupported"),
        pytest.param(KeyError("message"), "poison", id="a bug of ours"),
        pytest.param(RecursionError(), "poison", id="too deep"),
    ],
)
async def test_what_cannot_be_converted_is_a_dead_letter(
    world: World, error: Exception, reason: str, late: bool
) -> None:
    if late:
        world.cloud.late_refusal = error
    else:
        world.cloud.refusal = error
    await world.deliver(INBOUND)
    assert world.store.dead[INBOUND.message_id].reason == reason
    assert world.cloud.calls == []


async def test_a_store_that_is_away_during_preparation_is_asked_again(world: World) -> None:
    world.cloud.refusal = StoreUnavailable("Postgres cannot be reached")

    def come_back() -> None:
        world.cloud.refusal = None

    world.on_wait = come_back
    await world.deliver(INBOUND)
    assert world.store.status_of(INBOUND) == "delivered"


async def test_what_a_status_told_genesys_is_stored_with_its_outcome(world: World) -> None:
    world.cloud.receipt = ReceiptNote("0e9e", "Delivered")
    await world.deliver(INBOUND)
    assert [outcome.receipt for outcome in world.store.outcomes] == [ReceiptNote("0e9e", "Delivered")]


async def test_a_receipt_is_stored_before_the_next_status_is_looked_at(world: World) -> None:
    world.cloud.receipt = ReceiptNote("0e9e", "Delivered")
    done = await asyncio.wait_for(world.transformer.deliver(INBOUND, world), timeout=5)
    assert done.stored is not None
    assert done.stored.done()


async def test_what_a_delivered_message_lacks_is_kept_as_a_dead_letter(world: World) -> None:
    world.cloud.lacking = Rejected("media_unavailable", "the file could not be loaded")
    await world.deliver(INBOUND)
    assert world.store.status_of(INBOUND) == "delivered"
    assert world.store.dead[INBOUND.message_id] == DeadLetter("media_unavailable", "the file could not be loaded")
    assert world.store.outcomes[-1].detail == {"lacking": "the file could not be loaded"}


async def test_a_message_is_prepared_once_however_often_it_is_tried(world: World) -> None:
    world.cloud.answers = [Unavailable("503"), Unavailable("503"), *ONE]
    await world.deliver(INBOUND)
    assert (world.cloud.prepared, len(world.cloud.calls)) == (1, 3)


async def test_a_file_that_cannot_be_moved_for_long_is_given_up_and_the_agent_is_told(world: World) -> None:
    world.cloud.refusal = Unavailable("503 media", "131016")
    await world.deliver(OUTBOUND)
    assert world.cloud.prepared == 6
    assert world.waited == [1.0, 2.0, 4.0, 8.0, 15.0]
    assert world.store.dead[OUTBOUND.message_id] == DeadLetter("exhausted", "503 media")
    (told,) = world.published
    assert receipt_for(told.payload["status"]) == ReceiptDecision("Failed", "ServerError", "131016 503 media")


async def test_a_file_that_may_not_be_moved_now_holds_the_lane(world: World) -> None:
    world.cloud.refusal = LaneHeld("190 the token expired", 1.0)
    with pytest.raises(LaneHeld, match="190"):
        await world.deliver(OUTBOUND)
    assert world.store.exchanges == []


TYPING = replace(OUTBOUND, kind="event")


async def test_a_sign_of_life_is_sent_once_and_written_down_nowhere(world: World) -> None:
    assert await world.deliver(TYPING) == Done()
    assert (world.cloud.calls, world.store.exchanges) == (["wamid.1"], [])
    assert [ask.is_message for ask in world.tenants.asks] == [False]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(Unavailable("503"), [], id="may pass"),
        pytest.param(UNKNOWN, [], id="unknown outcome"),
        pytest.param(Rejected("rejected", "100"), [], id="refused"),
        pytest.param(Throttled(3.0), [("throttled", Cloud.WHATSAPP, "rate limited", 3.0, None)], id="throttled"),
        pytest.param(
            CredentialsRefused("190", "190"), [("refused", Cloud.WHATSAPP, "token-1", "190", False)], id="token"
        ),
    ],
)
async def test_a_sign_of_life_that_fails_is_never_repeated(
    world: World, error: TrunklineError, told: list[tuple[object, ...]]
) -> None:
    world.cloud.answers = [error]
    assert await world.deliver(TYPING) == Done()
    assert (len(world.cloud.calls), world.store.dead, world.published) == (1, {}, [])
    assert world.tenants.told == told


async def test_parts_are_recorded_with_their_number(world: World) -> None:
    world.cloud.parts = 3
    await world.deliver(OUTBOUND)
    assert [(outcome.parts_done, outcome.parts) for outcome in world.store.outcomes] == [(1, 3), (2, 3), (3, 3)]


async def test_a_part_that_was_proven_to_be_sent_does_not_count_as_unknown(world: World) -> None:
    """Adopted by a status meanwhile, which takes one unknown outcome back."""
    world.store.rows[OUTBOUND.message_id] = Row(Direction.OUTBOUND, "waiting", parts_done=1, unknowns=2)
    await world.deliver(OUTBOUND)
    assert world.store.status_of(OUTBOUND) == "delivered"


def many(count: int, direction: Direction = Direction.INBOUND, tenant_id: str = "acme") -> list[Envelope]:
    return [envelope(n, direction, conversation=f"4477{n}", tenant_id=tenant_id) for n in range(count)]


async def test_calls_in_flight_are_bounded_for_each_tenant_and_cloud(world: World) -> None:
    world.cloud.go.clear()
    work = [*many(50), *many(50, Direction.OUTBOUND), *many(50, tenant_id="beta")]
    delivering = [asyncio.create_task(world.deliver(message)) for message in work]
    await until(lambda: world.cloud.under_way == 3 * CALLS_AT_ONCE, "all slots in use")
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.cloud.under_way == 3 * CALLS_AT_ONCE
    world.cloud.go.set()
    await asyncio.gather(*delivering)
    assert world.cloud.most_under_way == 3 * CALLS_AT_ONCE


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(CredentialsRefused("401 bad.credentials", "401"), id="a refused token"),
        pytest.param(Throttled(17.0, "429"), id="a throttled client"),
    ],
)
async def test_after_the_first_refusal_no_call_leaves_on_passage_from_before(
    world: World, error: TrunklineError
) -> None:
    world.cloud.answers = [error] * CALLS_AT_ONCE
    world.cloud.go.clear()
    delivering = [asyncio.create_task(world.deliver(message)) for message in many(100)]
    await until(lambda: world.cloud.under_way == CALLS_AT_ONCE, "the first calls")
    asked_before = len(world.tenants.asks)
    assert asked_before == 100, "all have passage"
    world.cloud.go.set()
    await asyncio.gather(*delivering)
    assert world.cloud.tokens[:CALLS_AT_ONCE] == ["token-1"] * CALLS_AT_ONCE
    if isinstance(error, CredentialsRefused):
        assert set(world.cloud.tokens[CALLS_AT_ONCE:]) == {"token-1+"}
        assert [what[0] for what in world.tenants.told] == ["refused"], "told once, not by each of them"
    assert len(world.tenants.asks) == 200, "each asked anew before it left"
    assert len(world.cloud.calls) == 100 + CALLS_AT_ONCE
    assert "claimed_too_early" not in world.store.events, "nothing is claimed that will not leave"
    assert "unknown" not in world.store.events


async def test_a_grant_that_comes_after_a_refusal_is_given_back(world: World) -> None:
    world.cloud.answers = [CredentialsRefused("401", "401")]
    world.cloud.go.clear()
    first = asyncio.create_task(world.deliver(envelope(1)))
    await until(lambda: world.cloud.under_way == 1, "the first call")

    def refuse_meanwhile(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        if claims:
            world.cloud.go.set()

    world.store.before = refuse_meanwhile
    await asyncio.gather(first, world.deliver(envelope(2, conversation="4478")))
    assert world.cloud.tokens == ["token-1", "token-1+", "token-1+"]
    assert "claimed_too_early" in world.store.events


async def test_other_tenants_and_the_other_cloud_go_on_after_a_refusal(world: World) -> None:
    world.cloud.answers = [CredentialsRefused("401", "401")]
    world.tenants.go.set()
    world.tenants.away_for_reports = False
    blocked = asyncio.Event()

    async def never_told(*_: object, **__: object) -> None:
        await blocked.wait()

    world.tenants.refused = never_told  # type: ignore[method-assign]
    held = asyncio.create_task(world.deliver(envelope(1)))
    await until(lambda: world.cloud.calls == ["wamid.1"], "the refused call")
    await world.deliver(envelope(2, tenant_id="beta"))
    await world.deliver(envelope(3, Direction.OUTBOUND))
    assert not held.done()
    blocked.set()
    await held


async def test_a_tenant_whose_lanes_have_gone_leaves_nothing_behind(world: World) -> None:
    await world.deliver(INBOUND)
    await world.deliver(OUTBOUND)
    assert world.transformer._gates
    world.transformer.forget("acme")
    assert not world.transformer._gates


async def test_a_message_erased_since_is_dropped(world: World) -> None:
    class Erased(MemoryMessages):
        async def exchange(
            self, outcomes: Sequence[Outcome], claims: Sequence[Claim]
        ) -> Sequence[ClaimAnswer | Exception]:
            return [Settled("erased") for _ in claims]

    world.transformer._ledger = Ledger(Erased())
    assert await world.deliver(INBOUND) == Done()
    assert world.cloud.calls == []


# --- people who were erased ---


async def test_nothing_is_prepared_or_asked_for_of_a_person_who_was_erased(world: World) -> None:
    world.erased.settled.add(INBOUND.message_id)
    assert await world.deliver(INBOUND) == Done()
    assert (world.cloud.prepared, world.tenants.asks, world.store.rows) == (0, [], {})


async def test_a_person_erased_while_the_message_was_being_prepared_is_not_met_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = world.cloud.prepare

    async def erased_meanwhile(message: Envelope) -> Prepared | None:
        world.erased.settled.add(message.message_id)
        return await prepare(message)

    monkeypatch.setattr(world.cloud, "prepare", erased_meanwhile)
    assert await world.deliver(INBOUND) == Done()
    assert (world.cloud.prepared, world.tenants.asks) == (1, [])


async def test_a_message_whose_claim_finds_its_person_erased_is_accounted_for(world: World) -> None:
    world.store.erased.add(INBOUND.message_id)

    def go_away() -> None:
        world.erased.away = True

    def come_back() -> None:
        world.erased.away, world.store.after = False, lambda: None

    world.store.after, world.on_wait = go_away, come_back
    assert await world.deliver(INBOUND) == Done()
    assert (world.cloud.calls, world.erased.purged) == ([], [INBOUND.message_id])
    assert world.waited == [ASK_AGAIN_S]  # for the store, which was away
