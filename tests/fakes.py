"""Twins of stores, clouds and the clock that live in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trunkline.arrival import Arrival, Stray
from trunkline.attempt import (
    NEWS_WITHIN_S,
    Behind,
    Busy,
    Claim,
    ClaimAnswer,
    DeadLetter,
    Erased,
    Granted,
    Outcome,
    OutOfDate,
    Settled,
    Uncertain,
)
from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.errors import Rejected, StoreUnavailable
from trunkline.measuring import Labels, Recorder
from trunkline.metrics import Metric
from trunkline.people import Alias, Move
from trunkline.tenancy.conversations import Conversation
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord, TenantStatus
from trunkline.tenancy.tokens import Token


class Clock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_795_435_200.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


async def until(condition: Callable[[], Any], what: str = "it", within_s: float = 5.0) -> None:
    """Let others run until the condition holds; fails when it takes too long."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        await asyncio.sleep(0.001)


def envelope(
    number: int = 1,
    direction: Direction = Direction.INBOUND,
    *,
    tenant_id: str = "acme",
    conversation: str = "447700900111",
    payload: dict[str, Any] | None = None,
    external_id: str | None = None,
    accepted_at: float = 1_795_435_200.0,
) -> Envelope:
    """The `number`-th message of a conversation."""
    external = external_id or f"wamid.{number}"
    return Envelope(
        message_id=message_id_for(tenant_id, direction, conversation, external),
        tenant_id=tenant_id,
        direction=direction,
        conversation=conversation,
        external_id=external,
        kind="text",
        accepted_at=accepted_at,
        payload={"number": number} if payload is None else payload,
    )


class MemoryTenants:
    """A source for directories: what Postgres holds of tenants and Meta apps."""

    def __init__(self, *records: TenantRecord, apps: Sequence[MetaApp] = ()) -> None:
        self.records: dict[str, TenantRecord] = {record.tenant_id: record for record in records}
        self.apps = list(apps)
        self.away = False
        self.asked: list[str] = []

    async def load_all(self) -> list[TenantRecord]:
        self._ask("all")
        return list(self.records.values())

    async def load_apps(self) -> list[MetaApp]:
        self._ask("apps")
        return self.apps

    async def get(self, tenant_id: str) -> TenantRecord | None:
        self._ask(tenant_id)
        return next((record for record in self.records.values() if record.tenant_id == tenant_id), None)

    async def find_by_phone_number(self, phone_number_id: str) -> TenantRecord | None:
        self._ask(phone_number_id)
        return next((r for r in self.records.values() if r.whatsapp.phone_number_id == phone_number_id), None)

    async def find_by_integration(self, integration_id: str) -> TenantRecord | None:
        self._ask(integration_id)
        return next((r for r in self.records.values() if r.genesys.integration_id == integration_id), None)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")


class MemoryLanes:
    """The broker: what was published, in its order; `refuses` says what it does not take."""

    def __init__(self) -> None:
        self.published: list[Envelope] = []
        self.refuses: Callable[[Envelope], bool] = lambda envelope: False

    async def publish(self, envelope: Envelope) -> bool:
        await asyncio.sleep(0)
        if self.refuses(envelope):
            raise StoreUnavailable("RabbitMQ: no confirm within 2 s")
        self.published.append(envelope)
        return True


class MemoryArrivals:
    """What intake has written down."""

    def __init__(self) -> None:
        self.recorded: list[Arrival] = []
        self.strays: list[Stray] = []
        self.kept_before = (0, 0)
        self.away = False

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        self._check()
        self.recorded.extend(arrivals)

    async def bury(self, strays: Sequence[Stray]) -> None:
        self._check()
        self.strays.extend(strays)

    async def count_unrouted(self) -> tuple[int, int]:
        self._check()
        count, size = self.kept_before
        return count + len(self.strays), size + sum(len(stray.body) for stray in self.strays)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")


class MemoryAliases:
    """Addresses of people: what was learned of them, and where they moved."""

    def __init__(self) -> None:
        self.identities: dict[tuple[str, str], str] = {}
        self.moves: list[Move] = []
        self.asked: list[str] = []
        self.away = False

    def learn(self, aliases: Sequence[Alias]) -> None:
        for alias in aliases:
            self.identities.setdefault((alias.tenant_id, alias.address), alias.identity)

    async def identity(self, tenant_id: str, address: str) -> str | None:
        self._check()
        self.asked.append(address)
        return self.identities.get((tenant_id, address))

    async def address(self, tenant_id: str, identity: str) -> str | None:
        self._check()
        known = [m for m in self.moves if self.identities.get((m.tenant_id, m.new_address)) == identity]
        return known[-1].new_address if known else None

    async def move(self, move: Move) -> None:
        self._check()
        self.moves.append(move)
        old = self.identities.get((move.tenant_id, move.old_address), move.old_address)
        self.identities[move.tenant_id, move.new_address] = old

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")


class MemoryConversations:
    """Where conversations are kept; `inbound_at` and `recent_sends` are what is known of every person."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.noted: list[float | None] = []
        self.looked_up: list[str] = []
        self.inbound_at: float | None = None
        self.recent_sends: tuple[float, ...] = ()
        self.away = False
        self.before_answer: Callable[[], None] = lambda: None

    async def open(
        self, tenant_id: str, wa_id: str, at: float, window_hours: int, inbound_at: float | None = None
    ) -> Conversation:
        await asyncio.sleep(0)
        self.before_answer()
        self._check()
        self.opened.append((tenant_id, wa_id))
        self.noted.append(inbound_at)
        known = max((each for each in (inbound_at, self.inbound_at) if each is not None), default=None)
        return Conversation(f"conversation-{len(self.opened)}", wa_id, at, known, self.recent_sends)

    async def last_inbound(self, tenant_id: str, wa_id: str) -> float | None:
        await asyncio.sleep(0)
        self._check()
        self.looked_up.append(wa_id)
        return self.inbound_at

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")


class MemoryErased:
    """People who were erased, by message: `settled` needs nothing more; `purged` was accounted for."""

    def __init__(self) -> None:
        self.settled: set[str] = set()
        self.purged: list[str] = []
        self.away = False

    async def settle(self, envelope: Envelope) -> bool:
        self._check()
        return envelope.message_id in self.settled

    async def purge(self, envelope: Envelope) -> None:
        self._check()
        self.purged.append(envelope.message_id)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")


class MemoryTokenCache:
    """Redis, as a tenant's token knows it."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self.away = False

    async def load(self) -> Token | None:
        self._check()
        return self.token

    async def save(self, token: Token) -> None:
        self._check()
        self.token = token

    async def discard(self) -> None:
        self._check()
        self.token = None

    async def exists(self) -> bool:
        self._check()
        return self.token is not None

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("Cannot connect to Redis")


class LoginHost:
    """Grants `token-1`, `token-2`, …, or raises `error`; waits for `gate` if there is one."""

    def __init__(self, clock: Clock, name: str = "token", lives_s: float = 1000.0) -> None:
        self._clock = clock
        self._name = name
        self._lives_s = lives_s
        self.fetches = 0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def fetch(self) -> Token:
        self.fetches += 1
        number, asked_at = self.fetches, self._clock()
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        if self.error is not None:
            raise self.error
        return Token(Secret(f"{self._name}-{number}"), asked_at, asked_at + self._lives_s)


@dataclass(slots=True)
class Row:
    """A message as the ledger's store knows it."""

    direction: Direction
    status: str = "received"
    attempts: int = 0
    parts_done: int = 0
    unknowns: int = 0
    attempt_id: str = ""
    owner: str = ""
    claim_until: float = 0.0
    updated_at: float = 0.0
    wamid: str | None = None


@dataclass(slots=True)
class MemoryMessages:
    """The rules of claims and outcomes that Postgres keeps; `epoch` is the latest activation's, or None for any."""

    clock: Clock = field(default_factory=Clock)
    epoch: int | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    dead: dict[str, DeadLetter] = field(default_factory=dict)
    exchanges: list[tuple[int, int]] = field(default_factory=list)
    # Messages whose person was erased.
    erased: set[str] = field(default_factory=set)
    # Answers to the next claims: something older goes first.
    behind: list[Behind] = field(default_factory=list)
    # Called before each exchange, with its outcomes and claims; raises for a store in trouble.
    before: Callable[[Sequence[Outcome], Sequence[Claim]], None] = lambda outcomes, claims: None
    # Called after each exchange has been committed.
    after: Callable[[], None] = lambda: None

    @property
    def events(self) -> list[str]:
        """What happened, in its order."""
        return [outcome.event for outcome in self.outcomes]

    def status_of(self, message: Envelope) -> str:
        """Where the message stands."""
        return self.rows[message.message_id].status

    async def exchange(self, outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> Sequence[ClaimAnswer | Exception]:
        self.before(outcomes, claims)
        await asyncio.sleep(0)
        self.exchanges.append((len(outcomes), len(claims)))
        for outcome in outcomes:
            self._settle(outcome)
        answers = [self._claim(claim) for claim in claims]
        self.after()
        return answers

    async def statuses(self, envelopes: Sequence[Envelope]) -> Sequence[str | None]:
        await asyncio.sleep(0)
        rows = [self.rows.get(each.message_id) for each in envelopes]
        return [row.status if row else None for row in rows]

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        message_id = outcome.envelope.message_id
        if outcome.dead_letter is not None:
            self.dead[message_id] = outcome.dead_letter
        row = self.rows.setdefault(message_id, Row(outcome.envelope.direction))
        mine = row.attempt_id == outcome.attempt_id and row.status == "sending"
        given_up = outcome.status == "dead" and row.status in ("received", "waiting")
        if mine or outcome.status == "delivered" or given_up:
            row.status = outcome.status
            row.parts_done = max(row.parts_done, outcome.parts_done)
            row.wamid = outcome.wamid or row.wamid
            row.attempts -= 0 if outcome.counted else 1
            row.unknowns += outcome.status == "unknown"
            row.updated_at = self.clock()

    def _claim(self, claim: Claim) -> ClaimAnswer:
        if self.epoch is not None and claim.epoch != self.epoch:
            return OutOfDate()
        if claim.envelope.message_id in self.erased:
            return Erased()
        if self.behind:
            return self.behind.pop(0)
        row = self.rows.setdefault(claim.envelope.message_id, Row(claim.envelope.direction))
        news_in_s = max(0.0, row.updated_at + NEWS_WITHIN_S - self.clock())
        repeatable = row.direction is not Direction.OUTBOUND or news_in_s == 0
        if row.status in ("received", "waiting") or (row.status == "unknown" and repeatable):
            row.status, row.attempt_id, row.owner = "sending", claim.attempt_id, claim.owner
            row.attempts += 1
            row.claim_until = self.clock() + claim.claim_s
            return Granted(row.attempts, row.parts_done, row.unknowns)
        if row.status == "sending":
            return Busy(row.attempt_id, row.owner, row.claim_until - self.clock())
        return Uncertain(news_in_s) if row.status == "unknown" else Settled(row.status)


def with_status(record: TenantRecord, status: TenantStatus) -> TenantRecord:
    """The tenant in another status."""
    return replace(record, status=status)


def refusing(reason: str = "rejected") -> Rejected:
    """A cloud's final no."""
    return Rejected(reason, "131026 Message undeliverable", "131026")


class GatheringSink:
    """Takes measurements and keeps them."""

    def __init__(self) -> None:
        self.added: list[tuple[Metric, Labels, float]] = []
        self.was_set: list[tuple[Metric, Labels, float]] = []
        self.observed: list[tuple[Metric, Labels, list[int], float]] = []

    def add(self, metric: Metric, labels: Labels, amount: float) -> None:
        """Add to a counter."""
        self.added.append((metric, labels, amount))

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        """Set a gauge."""
        self.was_set.append((metric, labels, value))

    def observe(self, metric: Metric, labels: Labels, counts: list[int], total: float) -> None:
        """Add observations to a histogram."""
        self.observed.append((metric, labels, counts, total))


class Measured:
    """What a recorder has been told so far, by metric and labels; of histograms, how many observations."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[tuple[str, Labels], float] = {}

    def __call__(self, metric: Metric, *labels: str) -> float | None:
        """The value, None where there is none."""
        sink = GatheringSink()
        self._recorder.hand_over(sink)
        for each, of, amount in sink.added:
            self._known[each.name, of] = self._known.get((each.name, of), 0) + amount
        for each, of, counts, _ in sink.observed:
            self._known[each.name, of] = self._known.get((each.name, of), 0) + sum(counts)
        for each, of, value in sink.was_set:
            self._known[each.name, of] = value
        return self._known.get((metric.name, labels))
