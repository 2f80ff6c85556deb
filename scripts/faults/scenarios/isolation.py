"""One tenant's trouble beside many others."""

from __future__ import annotations

import asyncio
import secrets
import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.accounts import Account
from scripts.benchmark import load as measured
from scripts.benchmark import tenants
from scripts.benchmark.plan import Direction, Plan
from scripts.faults.ledger import Balance
from scripts.faults.platform import Platform, TenantUnderTest
from scripts.faults.trial import Scenario, Trial
from scripts.faults.waiting import eventually

PAIRS = 3
PER_SECOND = 50.0
MEASURED_S = 30.0
CUSTOMERS_EACH = 4
CONNECTIONS = 32
# The others' p99 may move by the larger of these.
MOVES_BY = 0.2
MOVES_BY_MS = 5.0


async def dead_neighbour(trial: Trial) -> None:
    """Many tenants, one with a dead cloud and very many messages waiting: the others' p99 with and without it."""
    others = tenants.new_accounts(trial.pick(49, 4))
    platform = trial.platform
    accounts = [each.model_dump(by_alias=True) for each in others]
    await asyncio.to_thread(platform.sandbox.post, "/sandbox/accounts", json=accounts)
    await asyncio.to_thread(tenants.create, others, platform.url, platform.environment["ADMIN_API_KEY"])
    bad = trial.tenant()
    trial.fault(bad, cloud="genesys", fail_status=500)
    customers, each = trial.pick((2000, 25), (50, 10))
    waiting = trial.load(bad, "inbound", customers=customers, each=each, crowded=True)
    measure = partial(_measure, trial, others)
    without, beside = [], []
    await measure(seconds=2.0)  # each tenant's first messages, which bring it to life
    for number in range(trial.pick(PAIRS, 1)):
        if number:
            await asyncio.to_thread(platform.change, bad, status="suspended")
        without.append(await measure())
        if number:
            await asyncio.to_thread(platform.change, bad, status="active")
        else:
            await waiting.post()
            await eventually(lambda: _waiting(trial, bad) >= len(waiting.taken), 180.0, "all of it written down")
        coming = trial.load(bad, "inbound", customers=20, per_second=10)
        async with trial.posting(coming):
            beside.append(await measure())
    trial.expect(len(waiting.taken) == customers * each, "the backlog was not taken")
    trial.notes.append(f"{len(waiting.taken)} waiting; p99 without it {_shown(without)}, beside it {_shown(beside)} ms")
    trial.calls = sum(r["status"] == 500 for kind in ("token", "genesys_message") for r in trial.records_of(bad, kind))
    if not trial.short:
        before, after = statistics.median(without), statistics.median(beside)
        allowed = max(before * (1 + MOVES_BY), before + MOVES_BY_MS)
        trial.expect(after <= allowed, f"the others' p99 went from {before:.1f} to {after:.1f} ms")
    trial.fault(bad, cloud="genesys", fail_status=None)
    trial.fault_ended()
    trial.settled_within_s = 240.0


@dataclass(frozen=True)
class _Target:
    """The platform as the benchmark's driver sees it."""

    platform: Platform

    @property
    def urls(self) -> dict[str, str]:
        return {"sandbox": str(self.platform.sandbox.base_url)}

    def require_running(self) -> None:
        """It would have been noticed."""


async def _measure(trial: Trial, others: tuple[Account, ...], seconds: float = MEASURED_S) -> float:
    """The p99, in milliseconds, of messages of the others at a steady pace; they are counted and judged too."""
    plan = Plan(
        run=f"p{secrets.token_hex(4)}",
        host="127.0.0.1",
        port=trial.platform.port,
        direction=Direction.INBOUND,
        accounts=others,
        app_secret=trial.platform.default_app.app_secret,
        count=int(PER_SECOND * trial.pick(seconds, min(seconds, 5.0))),
        customers=len(others) * CUSTOMERS_EACH,
        connections=CONNECTIONS,
        rate=PER_SECOND,
        within_s=90.0,
    )
    figures = await asyncio.to_thread(measured.carry_out, _Target(trial.platform), plan, Path(trial.platform.home))
    _judge(trial, figures)
    return float(figures["p99_ms"])


def _waiting(trial: Trial, tenant: TenantUnderTest) -> int:
    (row,) = trial.platform.rows("SELECT count(*) FROM messages WHERE tenant_id = %s", tenant.tenant_id)
    return int(row["count"])


def _judge(trial: Trial, figures: dict[str, Any]) -> None:
    sent, lost = int(figures["sent"]), int(figures["lost"])
    accepted = sent - int(figures["refused"])
    doubled, reordered = (["?"] * int(figures[name]) for name in ("doubled", "reordered"))
    trial.add(Balance(sent, accepted, accepted - lost, 0, 0, ["?"] * lost, doubled, [], reordered))
    wrong = {name: figures[name] for name in ("refused", "lost", "doubled", "reordered") if figures[name]}
    trial.expect(not wrong, f"messages of the others: {wrong}")


def _shown(values: list[float]) -> str:
    return "/".join(f"{value:.1f}" for value in values)


SCENARIOS = (
    Scenario("dead-neighbour", "50 tenants, one with a dead cloud and 50,000 waiting", dead_neighbour, 600, alone=True),
)
