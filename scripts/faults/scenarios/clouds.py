"""Clouds that fail: what they are asked meanwhile, and what becomes of the messages."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from scripts.faults.load import ACCEPTED, CLOUD_OF, Load
from scripts.faults.trial import IN_FLIGHT, Scenario, Trial
from scripts.faults.waiting import eventually

DOWN_S = 10.0
CALLS_WHILE_DOWN = 40
# The contract's longest way back from a probe that failed to the delivery that resumes.
RESUMES_WITHIN_S = 60.0
MS = 1_000_000
UNKNOWN = "unknown"


async def both_clouds(trial: Trial, one: Any) -> None:
    """The same trouble with each cloud, side by side, each with a tenant of its own."""
    await asyncio.gather(one(trial, "inbound"), one(trial, "outbound"))


async def down_with_backlog(trial: Trial, direction: Any) -> None:
    """500 for 10 s while messages of one tenant wait: hardly any calls, then everything in order."""
    tenant = trial.tenant()
    trial.resumes_within_s = RESUMES_WITHIN_S
    many = trial.pick(1000, 200)
    size = {"crowded": True} if direction == "inbound" else {}
    load = trial.load(tenant, direction, customers=many // 20, each=20, **size)
    await asyncio.to_thread(trial.platform.change, tenant, status="suspended")
    await load.post()
    cloud = CLOUD_OF[direction]
    trial.fault(tenant, cloud=cloud, fail_status=500, fail_for_s=DOWN_S)
    began_ns = time.monotonic_ns()
    await asyncio.to_thread(trial.platform.change, tenant, status="active")
    await asyncio.sleep(DOWN_S)
    trial.fault_ended()
    calls = trial.records(load) + (trial.records_of(tenant, "token") if direction == "inbound" else [])
    refused = [record for record in calls if record["status"] == 500]
    within = [record for record in refused if record["mono_ns"] < began_ns + DOWN_S * 1000 * MS]
    trial.calls = (trial.calls or 0) + len(within)
    trial.expect(0 < len(within) <= CALLS_WHILE_DOWN, f"{len(within)} calls to {cloud} in {DOWN_S:g} s of 500")


async def throttled(trial: Trial, direction: Any) -> None:
    """429 with Retry-After: nobody calls for so long, but who had left before it was read."""
    tenant = trial.tenant()
    pause_s = trial.pick(10.0, 4.0)
    trial.resumes_within_s = RESUMES_WITHIN_S
    load = trial.load(tenant, direction, customers=40, per_second=40)
    async with trial.posting(load):
        await trial.delivered([load], IN_FLIGHT)
        trial.fault(
            tenant, cloud=CLOUD_OF[direction], kind=load.kind, fail_status=429, fail_for_s=1.0, retry_after_s=pause_s
        )
        first = await eventually(lambda: next(iter(refusals(trial, load, 429)), None), 60.0, "a 429")
        await asyncio.sleep(pause_s)
        early = [
            record
            for record in trial.records(load)
            if 0 <= record["mono_ns"] - first["mono_ns"] < (pause_s - 0.1) * 1000 * MS
        ]
        trial.calls = (trial.calls or 0) + len(early)
        trial.expect(len(early) <= IN_FLIGHT, f"{len(early)} calls in {pause_s:g} s after a 429 to {load.direction}")
        trial.fault_ended()
        await trial.delivered([load], IN_FLIGHT)


async def flaky(trial: Trial, direction: Any) -> None:
    """Every tenth call answered 500, each after 100 ms."""
    tenant = trial.tenant()
    trial.fault(
        tenant, cloud=CLOUD_OF[direction], kind=_kind(direction), fail_status=500, fail_rate=0.1, latency_ms=100
    )
    load = trial.load(tenant, direction, customers=40, per_second=50)
    async with trial.posting(load):
        await asyncio.sleep(trial.pick(15.0, 5.0))
    failed = len(refusals(trial, load, 500))
    trial.calls = (trial.calls or 0) + failed
    trial.expect(failed > 0, f"no call failed {direction}")


async def hanging(trial: Trial, direction: Any) -> None:
    """Calls that are never answered, for longer than they are waited for; none of them did anything."""
    tenant = trial.tenant()
    trial.resumes_within_s = RESUMES_WITHIN_S
    trial.dead_are_fine = True  # two unknown outcomes in a row, by the stated rule
    load = trial.load(tenant, direction, customers=60, per_second=20)
    async with trial.posting(load):
        await trial.delivered([load], IN_FLIGHT)
        trial.fault(tenant, cloud=CLOUD_OF[direction], kind=load.kind, hang=True)
        hangs_s = trial.timeout_s + trial.pick(5.0, 3.0)
        await asyncio.sleep(hangs_s)
        hung = [record for record in trial.records(load) if record["lost"]]
        trial.fault(tenant, cloud=CLOUD_OF[direction], kind=load.kind, hang=False)
        trial.fault_ended()
        trial.calls = (trial.calls or 0) + len(hung)
        trial.expect(0 < len(hung) <= CALLS_WHILE_DOWN, f"{len(hung)} calls in {hangs_s:g} s to who never answers")
        await trial.delivered([load], IN_FLIGHT, within_s=120)
    letters = trial.platform.rows(
        "SELECT reason, count(*) FROM dead_letters WHERE tenant_id = %s GROUP BY reason", tenant.tenant_id
    )
    trial.expect({row["reason"] for row in letters} <= {"unknown_outcome"}, f"dead letters {direction}: {letters}")


async def answers_lost(trial: Trial, direction: Any) -> None:
    """One answer in twenty lost after the cloud has accepted: repeated once, or not at all where a status tells."""
    tenant = trial.tenant()
    load = trial.load(tenant, direction, customers=40, per_second=50)
    trial.dead_are_fine = True  # a second unknown outcome of one message
    trial.fault(tenant, cloud=CLOUD_OF[direction], kind=load.kind, lost_answer_rate=0.05)
    async with trial.posting(load):
        await asyncio.sleep(trial.pick(15.0, 5.0))
    await trial.settle()
    lost = sum(record["lost"] for record in trial.records(load))
    trial.calls = (trial.calls or 0) + lost
    trial.expect(lost > 0, f"no answer was lost {direction}")
    if direction == "inbound":
        trial.allow_repeats(load, lost)


async def garbage(trial: Trial, direction: Any) -> None:
    """Answers that are not JSON: with 200, accepted, for a while; then with 500, refused."""
    tenant = trial.tenant()
    trial.resumes_within_s = RESUMES_WITHIN_S
    trial.dead_are_fine = True  # WhatsApp's leave it open whether the message was sent; twice is the end
    load = trial.load(tenant, direction, customers=40, per_second=20)
    async with trial.posting(load):
        await trial.delivered([load], IN_FLIGHT)
        trial.fault(tenant, cloud=CLOUD_OF[direction], kind=load.kind, garbage=ACCEPTED)
        await asyncio.sleep(trial.pick(4.0, 2.0))
        trial.fault(tenant, cloud=CLOUD_OF[direction], kind=load.kind, garbage=500)
        await eventually(lambda: refusals(trial, load, 500), 30.0, f"garbage with 500 {direction}")
        await asyncio.sleep(1.0)
        bad = len(refusals(trial, load, 500))
        trial.fault(tenant, cloud=CLOUD_OF[direction], kind=load.kind, garbage=None)
        trial.fault_ended()
        trial.calls = (trial.calls or 0) + bad
        await trial.delivered([load], IN_FLIGHT, within_s=90)


def refusals(trial: Trial, load: Load, status: int) -> list[dict[str, Any]]:
    """Calls of a load that its cloud answered so."""
    return [record for record in trial.records(load) if record["status"] == status]


def _kind(direction: str) -> str:
    return "genesys_message" if direction == "inbound" else "graph_send"


def _both(name: str, what: str, one: Any) -> Scenario:
    return Scenario(name, what, partial(both_clouds, one=one))


SCENARIOS = (
    _both("cloud-500", "a cloud answering 500 for 10 s with a backlog of one tenant", down_with_backlog),
    _both("cloud-429", "a cloud answering 429 with Retry-After", throttled),
    _both("cloud-flaky", "10 % of a cloud's answers 500, all after 100 ms", flaky),
    _both("cloud-hanging", "a cloud that never answers, until calls time out", hanging),
    _both("cloud-lost-answers", "5 % of a cloud's answers lost after it has accepted", answers_lost),
    _both("cloud-garbage", "a cloud answering with something that is not JSON", garbage),
)
