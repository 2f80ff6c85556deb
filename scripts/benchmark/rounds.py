"""What is measured in a round, on either stage: the rows one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.accounts import Account
from scripts.benchmark import processes
from scripts.benchmark.conditions import Conditions
from scripts.benchmark.counters import Counted, Counters, cloud_calls
from scripts.benchmark.ledger import ACCEPTED, NS_PER_S
from scripts.benchmark.load import Load
from scripts.benchmark.plan import Plan
from scripts.benchmark.processes import Usage
from scripts.benchmark.progress import Bar
from scripts.benchmark.rows import Row, warm_up
from scripts.benchmark.stage import Stage, StageFailed

WARM_EACH = 2  # messages of every customer before the first measurement with these customers
IDLE_S = 3.0
FLAT_OUT_S = 600.0
PACE_GRACE_S = 60.0
SETTLED_S = 0.3  # for the last acknowledgements and records, which come after the arrival
STATUSES_QUIET_S = 1.5
US_PER_S = 1e6
# The customers of a row's second direction are others than those of its first.
SECOND_DIRECTION_FROM = 100_000
# Where a latency is that of the answer, and not of the whole way.
OF_ANSWERS = {
    "rate": "accept_rate", "p50_ms": "accept_p50_ms", "p99_ms": "accept_p99_ms", "p999_ms": "accept_p999_ms",
}  # fmt: skip
LATENCIES = ("p50_ms", "p99_ms", "p999_ms")


@dataclass(frozen=True, slots=True)
class _Look:
    """What was used and called until a moment, in monotonic nanoseconds."""

    at_ns: int
    usage: Mapping[int, Usage]
    counts: Mapping[str, int]

    @property
    def receipts(self) -> int:
        """Receipts that Genesys Cloud has accepted."""
        return self.counts.get(f"genesys_receipt:{ACCEPTED}", 0)


class Round:
    """One stage's turn in round `number`. Loads are named by it, so that no two send the same ids."""

    def __init__(
        self, number: int, stage: Stage, accounts: Sequence[Account], conditions: Conditions, folder: Path, bar: Bar
    ) -> None:
        self._number = number
        self._stage = stage
        self._accounts = tuple(accounts)
        self._conditions = conditions
        self._folder = folder
        self._bar = bar
        self._counters: Counters | None = None
        self._warm: set[tuple[object, ...]] = set()
        # Messages accepted so far, those of warming up included.
        self.accepted = 0

    def idle(self) -> float:
        """The share of a core that the stage uses while nothing comes in."""
        before = processes.usage(self._stage.pid)
        time.sleep(IDLE_S)
        return sum(processes.cpu_s_by_part(before, processes.usage(self._stage.pid)).values()) / IDLE_S

    def count_with(self, counting: Counters) -> None:
        """Count calls and commits from here on."""
        counting.learn_idle_rates()
        self._counters = counting

    def measure(self, row: Row, meanwhile: AbstractContextManager[Any] | None = None) -> dict[str, Any]:
        """The figures of a row, as they are written to JSON; `meanwhile` is entered when everything is prepared."""
        accounts = self._accounts[: row.tenants]
        with self._conditions.sized(row, accounts):
            self._warm_up(row, accounts)
            with (
                self._conditions.of(row, accounts) as release,
                Load(self._stage, self._plans(row, accounts), self._folder, self._bar.tell) as load,
                meanwhile or nullcontext(),
            ):
                figures = self._carry_out(row, load, release)
            figures["memory_mib"] = processes.memory_mib_by_part(self._stage.pid)
        self._bar.say(f"{self._stage.name}: {row.what}: {_told(figures)}")
        return figures

    def _carry_out(self, row: Row, load: Load, release: Callable[[], None]) -> dict[str, Any]:
        counted = self._count()
        began = self._look(load)
        load.send()
        if row.held:
            time.sleep(SETTLED_S)
        accepted = self._look(load)
        counted_accepted = self._count() if row.held else None
        released = self._look(load)
        release()
        load.await_arrivals()
        if row.statuses:
            self._await_statuses(load)
        time.sleep(SETTLED_S)
        ended = self._look(load)
        self.accepted += load.accepted
        if row.held and (early := load.arrived_before(released.at_ns)):
            raise StageFailed(f"{early} messages of {row.name} were delivered while the pools were held")
        figures: dict[str, Any] = dict(load.balance())
        match row.measures:
            case "way":
                figures |= self._between(row, began, ended, counted, self._count())
                if row.statuses:
                    figures["receipts"] = (ended.receipts - began.receipts) / row.count
            case "accept":
                figures |= {name: figures[other] for name, other in OF_ANSWERS.items()}
                figures |= self._between(row, began, accepted, counted, counted_accepted)
            case "drain":
                figures = {name: value for name, value in figures.items() if name not in LATENCIES}
                figures |= load.drained(released.at_ns)
                figures |= self._between(row, released, ended, counted_accepted, self._count())
        if row.measures != "drain":
            figures["cpu_us"][processes.DRIVER] = load.driver_cpu_s / row.count * US_PER_S
        return figures

    def _count(self) -> Counted | None:
        """What others have counted by now; it takes them some seconds to tell."""
        return self._counters.read() if self._counters else None

    def _look(self, load: Load) -> _Look:
        return _Look(time.monotonic_ns(), processes.usage(self._stage.pid), load.stats()["counts"])

    def _between(
        self, row: Row, first: _Look, last: _Look, counted: Counted | None, counted_last: Counted | None
    ) -> dict[str, Any]:
        """What was used and called between two looks, for each message."""
        used = processes.cpu_s_by_part(first.usage, last.usage)
        figures: dict[str, Any] = {
            "cpu_us": {part: cpu_s / row.count * US_PER_S for part, cpu_s in used.items()},
            "sandbox_core_share": used.get(processes.SANDBOX, 0.0) / ((last.at_ns - first.at_ns) / NS_PER_S),
            "cloud_calls": cloud_calls(first.counts, last.counts) / row.count,
        }
        if self._counters and counted and counted_last:
            figures |= self._counters.for_each(counted, counted_last, row.count)
        return figures

    def _warm_up(self, row: Row, accounts: Sequence[Account]) -> None:
        """Have these customers write, once: then there are tokens, lanes and conversations."""
        key = (row.tenants, row.customers, row.in_a_webhook, row.directions, row.transformers, row.lanes)
        if key in self._warm:
            return
        self._warm.add(key)
        with Load(self._stage, self._plans(warm_up(row, WARM_EACH), accounts), self._folder) as load:
            load.send()
            load.await_arrivals()
            wrong = _faults(load.balance())
        self.accepted += load.accepted
        if wrong:
            raise StageFailed(f"while warming up for {row.name}: {wrong}")

    def _plans(self, row: Row, accounts: Sequence[Account]) -> list[Plan]:
        count = row.count // len(row.directions)
        return [
            Plan(
                run=f"r{self._number}-{row.name}-{direction[0]}",
                host="127.0.0.1",
                port=self._stage.port,
                direction=direction,
                accounts=tuple(accounts),
                app_secret=self._stage.environment["META_APP_SECRET"],
                count=count,
                customers=row.customers,
                first_customer=position * SECOND_DIRECTION_FROM,
                in_a_webhook=row.in_a_webhook,
                connections=row.connections // len(row.directions),
                rate=row.rate,
                within_s=count / row.rate + PACE_GRACE_S if row.rate else FLAT_OUT_S,
            )
            for position, direction in enumerate(row.directions)
        ]

    def _await_statuses(self, load: Load) -> None:
        """Return once every status was sent to the router, and no more receipts are made of them."""
        last, changed = -1, time.monotonic()
        while time.monotonic() - changed < STATUSES_QUIET_S:
            self._stage.require_running()
            stats = load.stats()
            count = sum(number for name, number in stats["counts"].items() if "receipt" in name or "status" in name)
            if count != last or stats["webhooksPending"]:
                last, changed = count, time.monotonic()
            time.sleep(SETTLED_S)


def _told(figures: dict[str, Any]) -> str:
    text = f"{figures['rate']:,.0f}/s"
    if "p50_ms" in figures:
        text += f", p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms"
    wrong = _faults(figures)
    return f"{text}, {wrong}" if wrong else text


def _faults(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {figures[name]}" for name in ("refused", "lost", "doubled", "reordered") if figures[name])


def expected_s(row: Row, stage: str) -> float:
    """About how long a row takes on a stage: for the bar."""
    if row.rate:
        return row.count / row.rate + 3
    return 4 + row.count / (500 if stage == "platform" else 1_000) * (2 if row.held else 1)
