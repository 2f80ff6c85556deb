"""A scenario under way: its tenants and loads, the moments of its fault, what it expects, and what it found."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from scripts.faults import ledger
from scripts.faults.ledger import Balance
from scripts.faults.load import Direction, Load
from scripts.faults.platform import Platform, TenantUnderTest
from scripts.faults.row import COUNTS, Row
from scripts.faults.stage import Stage
from scripts.faults.stores import Stores
from scripts.faults.waiting import NotInTime, eventually

T = TypeVar("T")

# The most calls that may be under way for a tenant towards one cloud, so the most whose outcome one fault can hide.
IN_FLIGHT = 20
SETTLED_WITHIN_S = 90.0
SETTLING_S = 0.5
SHOWN = 3
AROUND = 3


class Skipped(Exception):
    """This machine cannot do what the scenario needs, in words."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that is broken, and what must hold.

    One that runs `beside` others takes long and disturbs nobody; one that runs `alone` would disturb those.
    """

    name: str
    what: str
    run: Callable[[Trial], Awaitable[None]]
    within_s: float = 240.0
    beside: bool = False
    alone: bool = False


@dataclass(slots=True)
class Watched:
    """A load, and how many of its messages may be sent twice because an outcome was unknown."""

    load: Load
    may_repeat: int = 0


class Trial:
    """What a scenario works with; it sets `calls`, and says how much is to be expected of the recovery."""

    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self.stage = stage
        self.short = stage.short
        self.scenario = scenario
        self.recovery_s: float | None = None
        self.calls: int | None = None
        self.resumes_within_s: float | None = None
        self.settled_within_s = SETTLED_WITHIN_S
        self.dead_are_fine = False
        self.notes: list[str] = []
        self._wrong: list[str] = []
        self._evidence: list[dict[str, Any]] = []
        self._watched: list[Watched] = []
        self._tenants: list[TenantUnderTest] = []
        self._since = self.platform.last_seq()
        self._began = time.monotonic()
        self._ended_ns: int | None = None  # the fault
        self._posted_ns = 0
        self._extra: list[Balance] = []
        self._arrived_ns: defaultdict[tuple[str, Direction], list[int]] = defaultdict(list)

    @property
    def platform(self) -> Platform:
        """The platform."""
        return self.stage.platform

    @property
    def timeout_s(self) -> float:
        """How long a call to a cloud may take."""
        return self.stage.cloud_timeout_s

    @property
    def stores(self) -> Stores:
        """Its stores."""
        return self.stage.stores

    def pick(self, full: T, short: T) -> T:
        """The size of something, in full or in the short form."""
        return short if self.short else full

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note what is wrong, and go on."""
        if not holds:
            self._wrong.append(otherwise)

    # --- tenants and loads ---

    def tenant(self, **changes: Any) -> TenantUnderTest:
        """A new tenant, without limits unless `changes` say otherwise."""
        tenant = self.platform.new_tenant(**changes)
        self._tenants.append(tenant)
        return tenant

    def allow_repeats(self, load: Load, number: int) -> None:
        """So many of the load may be sent twice, each with an unknown outcome."""
        for watched in self._watched:
            if watched.load is load:
                watched.may_repeat = number

    def fault(self, tenant: TenantUnderTest, **switches: Any) -> None:
        """Turn fault switches of the sandbox for one tenant; they are taken back at the end."""
        self.platform.fault(tenantId=tenant.tenant_id, **switches)

    def load(self, tenant: TenantUnderTest, direction: Direction, *, may_repeat: int = 0, **size: Any) -> Load:
        """A load that is judged at the end; not posted yet."""
        secret = self.platform.default_app.app_secret
        load = Load(self.platform.url, tenant, direction, secret, **size)
        self._watched.append(Watched(load, may_repeat))
        return load

    def both_ways(
        self, *, may_repeat: int = 0, no_status_tells: bool = False, latency_ms: float = 50, per_second: float = 40
    ) -> list[Load]:
        """A new tenant with an endless load each way; `may_repeat` inbound, and outbound if no status can tell."""
        tenant = self.tenant()
        self.fault(tenant, latency_ms=latency_ms)
        return [
            self.load(tenant, "inbound", customers=40, per_second=per_second, may_repeat=may_repeat),
            self.load(
                tenant,
                "outbound",
                customers=20,
                per_second=per_second / 2,
                may_repeat=may_repeat if no_status_tells else 0,
            ),
        ]

    @contextlib.asynccontextmanager
    async def posting(self, *loads: Load) -> AsyncIterator[None]:
        """Post these loads meanwhile; endless ones end with the block."""
        task = asyncio.gather(*(load.post() for load in loads))
        try:
            yield
        except BaseException:
            task.cancel()
            raise
        finally:
            for load in loads:
                load.enough = True
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._posted_ns = time.monotonic_ns()

    async def delivered(self, loads: Sequence[Load], more: int, within_s: float = 60.0) -> None:
        """Return when so many more of each load have arrived than now."""
        before = await asyncio.to_thread(self._counts, loads)

        def enough() -> bool:
            return all(now >= then + more for now, then in zip(self._counts(loads), before, strict=True))

        await eventually(enough, within_s, f"{more} more of each load delivered")

    async def arrived(self, load: Load) -> list[dict[str, Any]]:
        """What has arrived of a load so far."""
        return load.arrivals(await asyncio.to_thread(self.records, load))

    def records(self, load: Load) -> list[dict[str, Any]]:
        """Every call of the load's kind that its cloud got for the load's tenant, since the scenario began."""
        return self.platform.records(load.kind, self._since, load.tenant)

    def records_of(self, tenant: TenantUnderTest, kind: str) -> list[dict[str, Any]]:
        """Every call of a kind that its cloud got for the tenant, since the scenario began."""
        return self.platform.records(kind, self._since, tenant)

    # --- the fault ---

    def fault_ended(self) -> None:
        """From here on everything has to come to life again. The last time counts."""
        self._ended_ns = time.monotonic_ns()

    # --- the end ---

    async def settle(self) -> None:
        """Wait until nothing of the loads is under way any more, or long enough."""
        try:
            await eventually(lambda: not self._unsettled(), self.settled_within_s, "everything settled", SETTLING_S)
        except NotInTime:
            for load, texts in self._unsettled().items():
                some = ", ".join(texts[:SHOWN])
                self._wrong.append(
                    f"{len(texts)} {load.direction} under way after {self.settled_within_s:g} s, such as {some}"
                )

    async def close(self) -> Row:
        """Settle, balance, and judge by what must hold in every scenario."""
        if self._watched:
            await self.settle()
        balances = await asyncio.to_thread(self._balances)
        self._judge_recovery()
        counts: dict[str, Any] = ledger.total([*balances, *self._extra])
        return Row(
            name=self.scenario.name,
            **{name: counts[name] for name in COUNTS},
            recovery_s=self.recovery_s,
            calls=self.calls,
            took_s=round(time.monotonic() - self._began, 1),
            notes=tuple(self.notes),
            wrong=tuple(self._wrong),
            evidence=tuple(self._evidence),
        )

    def failed(self, error: BaseException) -> Row:
        """The row of a scenario that could not be carried through, with what is known."""
        words = f"{type(error).__name__}: {error}"[:1500]
        return Row(self.scenario.name, took_s=round(time.monotonic() - self._began, 1), wrong=(*self._wrong, words))

    def add(self, figures: Balance) -> None:
        """Count a load that somebody else has posted and judged."""
        self._extra.append(figures)

    def take_back(self) -> None:
        """Take back what was switched for its tenants."""
        for tenant in self._tenants:
            self.platform.fault(clear=True, tenantId=tenant.tenant_id)

    def _counts(self, loads: Sequence[Load]) -> list[int]:
        return [len({record["text"] for record in load.arrivals(self.records(load))}) for load in loads]

    def _unsettled(self) -> dict[Load, list[str]]:
        found = {}
        for load in (watched.load for watched in self._watched):
            books = ledger.read_books(self.platform, load.tenant, load.direction)
            # What is written down as under way is asked first: it costs less than everything that has arrived.
            texts = [text for text in load.taken if load.id_of(text) in books.waiting]
            if texts := texts or ledger.unsettled(load, self.records(load), books):
                found[load] = texts
        return found

    def _balances(self) -> list[Balance]:
        return [self._balance(watched) for watched in self._watched]

    def _balance(self, watched: Watched) -> Balance:
        load = watched.load
        # The books first: what arrives in between would be in neither the other way round.
        books = ledger.read_books(self.platform, load.tenant, load.direction)
        records = self.records(load)
        found = ledger.balance(load, records, books, ledger.repeats(self.platform, load, records))
        self._judge(watched, found)
        if self._ended_ns is not None:
            self._arrived_ns[load.tenant.tenant_id, load.direction] += [r["mono_ns"] for r in load.arrivals(records)]
        return found

    def _judge(self, watched: Watched, found: Balance) -> None:
        way = watched.load.direction
        for name in ("lost", "doubled", "reordered"):
            if texts := getattr(found, name):
                self._testify(watched.load, texts)
                self._wrong.append(f"{len(texts)} {way} {name}, such as {', '.join(texts[:SHOWN])}")
        if len(found.unknown) > watched.may_repeat:
            some = ", ".join(found.unknown[:SHOWN])
            self._wrong.append(
                f"{len(found.unknown)} {way} sent twice after an unknown outcome, at most {watched.may_repeat} may be, "
                f"such as {some}"
            )
        if found.dead and not self.dead_are_fine:
            self._wrong.append(f"{found.dead} {way} given up")

    def _testify(self, load: Load, texts: Sequence[str]) -> None:
        """Keep the traces of some messages, with those around them in their conversations."""
        arrivals = load.arrivals(self.records(load))
        for text in texts[:SHOWN]:
            run_id, customer, number = text.split(" ")
            for near in range(max(0, int(number) - AROUND), int(number) + AROUND + 1):
                each = f"{run_id} {customer} {near}"
                if each not in load.sent:
                    continue
                with contextlib.suppress(AssertionError):
                    trace = self.platform.trace(load.tenant, load.id_of(each))
                    at_ns = [record["mono_ns"] for record in arrivals if record["text"] == each]
                    taken_ns = load.taken.get(each)
                    self._evidence.append({"text": each, "takenNs": taken_ns, "arrivedNs": at_ns, "trace": trace})

    def _judge_recovery(self) -> None:
        """The longest silence of any tenant's messages one way, from the fault's end until the last load's.

        It is judged in full only: in the tests other work may take the machine's cores.
        """
        if self._ended_ns is None:
            return
        silences = [
            longest_silence_s(moments, self._ended_ns, self._posted_ns) for moments in self._arrived_ns.values()
        ]
        self.recovery_s = max(silences, default=None)
        if self.resumes_within_s is None or self.recovery_s is None or self.short:
            return
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        self.expect(
            self.recovery_s <= self.resumes_within_s * crowd,
            f"resumed after {self.recovery_s:.1f} s, {self.resumes_within_s:g} s on a quiet machine",
        )


def longest_silence_s(moments_ns: Sequence[int], from_ns: int, to_ns: int) -> float:
    """The longest time without any of these moments between two, or if none is, until the first one behind."""
    later = sorted(moment for moment in moments_ns if moment > from_ns)
    end_ns = max(to_ns, min(later, default=to_ns))
    steps = [from_ns, *(moment for moment in later if moment <= end_ns), end_ns]
    return max(0.0, *(after - before for before, after in itertools.pairwise(steps))) / 1e9
