"""Webhooks that come twice, together, or very many messages at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from scripts.faults.load import ACCEPTED, Signed
from scripts.faults.trial import Scenario, Trial


async def repeated(trial: Trial) -> None:
    """The same webhooks twice at the same moment, again after FLUSHALL, again after a restart of the platform."""
    tenant = trial.tenant()
    loads = [trial.load(tenant, "inbound", customers=20), trial.load(tenant, "outbound", customers=20)]
    hooks = [hook for load in loads for hook in load.first_webhooks()]
    await post(trial, [*hooks, *hooks])
    await trial.settle()
    await asyncio.to_thread(trial.stores.flush)
    await post(trial, hooks)
    if not trial.short:
        await trial.stage.restart_platform()
        await post(trial, hooks)
    # A message behind them: once it has arrived, whatever came before it has been dealt with.
    last = [trial.load(tenant, load.direction, customers=10, each=1) for load in loads]
    await asyncio.gather(*(load.post() for load in last))


async def post(trial: Trial, hooks: Sequence[Signed]) -> None:
    """All at once; each must be answered 200."""

    async def one(session: aiohttp.ClientSession, hook: Signed) -> int:
        path, body, signature = hook
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        async with session.post(trial.platform.url + path, data=body, headers=headers) as answer:
            return answer.status

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        statuses = await asyncio.gather(*(one(session, hook) for hook in hooks))
    trial.expect(set(statuses) == {ACCEPTED}, f"webhooks were answered {sorted(set(statuses))}")


async def twenty_together(trial: Trial) -> None:
    """20 messages of one customer in one POST, of many customers."""
    load = trial.load(trial.tenant(), "inbound", customers=trial.pick(20, 5), each=20, in_a_post=20)
    await load.post()


async def fast_customers(trial: Trial) -> None:
    """8 customers who write 10 messages a second each, with every tenth call failing."""
    tenant = trial.tenant()
    trial.fault(tenant, cloud="genesys", kind="genesys_message", fail_status=500, fail_rate=0.1)
    load = trial.load(tenant, "inbound", customers=8, per_second=80)
    async with trial.posting(load):
        await asyncio.sleep(trial.pick(15.0, 5.0))


SCENARIOS = (
    Scenario("webhooks-repeated", "the same webhooks at once, after FLUSHALL, after a restart", repeated, alone=True),
    Scenario("twenty-in-a-post", "20 messages of one customer in one POST", twenty_together),
    Scenario("eight-customers", "8 customers at 10/s each with 10 % of the calls failing", fast_customers),
)
