"""The clouds' limits, kept whatever comes in."""

from __future__ import annotations

import asyncio
import bisect

from scripts.faults.platform import TenantUnderTest
from scripts.faults.trial import Scenario, Trial
from scripts.faults.waiting import eventually

GENESYS_CALLS = ("genesys_message", "genesys_receipt", "genesys_event")
PER_MINUTE = 300
SHORT_PER_MINUTE = 120
# The pace between bursts, and a burst, as shares of a minute's limit.
PACE, BURST = 0.9, 0.1
MINUTE_S = 60.0
# Shorter than a minute: what of a minute's limit may be used in it.
WINDOW_S = 20.0
JITTER = 3
# Receipts whose turn had come before the flood did.
EARLY_RECEIPTS = 5


async def flooded(trial: Trial) -> None:
    """A tenant with Genesys' usual limit and far more to say: never more than it in a minute, messages first."""
    limit = trial.pick(PER_MINUTE, SHORT_PER_MINUTE)
    granted = {"genesysRequestsPerMinute": limit}
    person = {"whatsappPersonMessagesPerMinute": 1_000_000, "whatsappPersonBurst": 1_000_000}
    tenant = trial.tenant(
        limits={**granted, "personMessagesPerMinute": 1_000_000, "personBurst": 1_000_000},
        settings={**granted, **person},
    )
    messages, agents = trial.pick((700, 60), (60, 10))
    trial.settled_within_s = 240.0
    flood = trial.load(tenant, "inbound", customers=messages // 10, each=10, crowded=True)
    answers = trial.load(tenant, "outbound", customers=agents, each=1)
    await flood.post()
    await trial.delivered([flood], int(limit * BURST) - 2)  # the burst is used up
    await answers.post()
    await trial.settle()
    await eventually(lambda: len(trial.records_of(tenant, "genesys_receipt")) >= agents, 120.0, "every receipt")
    calls = await asyncio.to_thread(_calls, trial, tenant)
    trial.calls = len(calls)
    in_a_minute = busiest(calls, MINUTE_S)
    trial.notes.append(f"at most {in_a_minute} calls in {MINUTE_S:g} s of {limit}")
    trial.expect(in_a_minute <= limit, f"{in_a_minute} calls in {MINUTE_S:g} s, {limit} are allowed")
    allowed = limit * BURST + limit * PACE * WINDOW_S / MINUTE_S + JITTER
    in_a_window = busiest(calls, WINDOW_S)
    trial.expect(in_a_window <= allowed, f"{in_a_window} calls in {WINDOW_S:g} s, {allowed:.0f} are allowed")
    refused = sum(record["status"] == 429 for kind in GENESYS_CALLS for record in trial.records_of(tenant, kind))
    trial.expect(refused == 0, f"Genesys refused {refused} calls for its limit")
    last = max(record["mono_ns"] for record in trial.records_of(tenant, "genesys_message"))
    early = sum(record["mono_ns"] < last for record in trial.records_of(tenant, "genesys_receipt"))
    trial.expect(early <= EARLY_RECEIPTS, f"{early} receipts went before messages that waited")


def busiest(moments_ns: list[int], span_s: float) -> int:
    """The most of these moments, in order, in any span so long."""
    span_ns = int(span_s * 1e9)
    return max(
        (bisect.bisect_left(moments_ns, moment + span_ns) - first for first, moment in enumerate(moments_ns)),
        default=0,
    )


def _calls(trial: Trial, tenant: TenantUnderTest) -> list[int]:
    return sorted(record["mono_ns"] for kind in GENESYS_CALLS for record in trial.records_of(tenant, kind))


SCENARIOS = (Scenario("limits", "a tenant flooded at Genesys' usual limit", flooded, within_s=480, beside=True),)
