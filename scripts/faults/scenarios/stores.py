"""Stores stopped, killed, flushed, cut off and filled up while messages go both ways."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from functools import partial

from scripts.faults.load import ACCEPTED, NO_ANSWER, Load
from scripts.faults.scenarios.processes import SOME, refusals
from scripts.faults.stage import STORES
from scripts.faults.stores import Name
from scripts.faults.tcp_proxy import Side
from scripts.faults.trial import IN_FLIGHT, Scenario, Skipped, Trial
from scripts.faults.waiting import eventually
from scripts.launcher.processes import unprivileged_account

RESUMES_WITHIN_S = 20.0
# From the moment a store has gone until the platform has noticed and found its other way.
NOTICED_WITHIN_S = 3.0
CUTS = 5
CUT_EVERY_S = (0.5, 1.5)
UNHEARD_S = 0.2
DISK = "2m"
SPOOL_INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'intake_spool'"


async def broker_away(trial: Trial, *, hard: bool) -> None:
    """Without the broker webhooks are answered 200 as before, and what they bring is delivered as before."""
    loads = trial.both_ways()
    trial.resumes_within_s = RESUMES_WITHIN_S
    away_s = trial.pick(60.0 if not hard else 20.0, 10.0)
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        async with gone(trial, "rabbitmq", hard=hard):
            await asyncio.sleep(NOTICED_WITHIN_S)
            known = [set(load.taken) for load in loads]
            await asyncio.sleep(away_s - 2 * NOTICED_WITHIN_S)
            for load, before in zip(loads, known, strict=True):
                arrived = {record["text"] for record in await trial.arrived(load)}
                new = load.taken.keys() - before
                trial.expect(bool(new), f"no {load.direction} webhook was taken while the broker was away")
                trial.expect(bool(new & arrived), f"nothing {load.direction} was delivered while the broker was away")
            # So that something lies in the spool when newer messages go into the queues again.
            await asyncio.to_thread(trial.platform.change, loads[0].tenant, status="suspended")
            await asyncio.sleep(NOTICED_WITHIN_S)
        taken = [len(load.taken) for load in loads]
        await eventually(lambda: all(len(load.taken) > t + SOME for load, t in zip(loads, taken, strict=True)), 30.0)
        await asyncio.to_thread(trial.platform.change, loads[0].tenant, status="active")
        await trial.delivered(loads, SOME)
    expect_all_200(trial, loads)


async def postgres_away(trial: Trial) -> None:
    """Without Postgres webhooks of known customers are answered 200; deliveries wait for it."""
    loads = trial.both_ways(may_repeat=IN_FLIGHT)
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(*loads):
        await trial.delivered(loads, 3 * SOME)  # so that every customer is known
        async with gone(trial, "postgres"):
            await asyncio.sleep(trial.pick(30.0, 6.0))
        await trial.delivered(loads, SOME)
    expect_all_200(trial, loads)


async def redis_away(trial: Trial) -> None:
    """Without Redis nothing changes."""
    loads = trial.both_ways()
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        async with gone(trial, "redis"):
            before = [set(load.taken) for load in loads]
            await asyncio.sleep(trial.pick(15.0, 4.0))
            for load, known in zip(loads, before, strict=True):
                arrived = {record["text"] for record in await trial.arrived(load)}
                trial.expect(
                    bool((load.taken.keys() - known) & arrived),
                    f"nothing {load.direction} was delivered while Redis was away",
                )
        await trial.delivered(loads, SOME)
    expect_all_200(trial, loads)


async def redis_flushed(trial: Trial) -> None:
    """FLUSHALL, several times."""
    loads = trial.both_ways()
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        for _ in range(3):
            await asyncio.to_thread(trial.stores.flush)
            trial.fault_ended()
            await trial.delivered(loads, SOME)
    expect_all_200(trial, loads)


async def stores_restarted(trial: Trial) -> None:
    """All three killed at once and started again: webhooks may be sent away with Retry-After meanwhile."""
    loads = trial.both_ways(may_repeat=IN_FLIGHT)
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        async with contextlib.AsyncExitStack() as all_gone:
            for name in STORES:
                await all_gone.enter_async_context(gone(trial, name, hard=True))
            await asyncio.sleep(trial.pick(5.0, 1.0))
        await trial.stage.well()
        await trial.delivered(loads, SOME)
    expect_sent_away_in_words(trial, loads)


async def store_cut(trial: Trial, *, name: Name) -> None:
    """Connections broken: in the middle of a sentence of either side, or after one that was not heard."""
    per_second = trial.pick(100.0, 40.0)
    loads = trial.both_ways(may_repeat=IN_FLIGHT if name == "postgres" else 0, per_second=per_second)
    trial.resumes_within_s = RESUMES_WITHIN_S
    sides: tuple[Side, Side] = ("clients", "server")
    before = await asyncio.to_thread(trial.stores.connections, name)
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        for _ in range(trial.pick(CUTS, 1)):
            for side in sides:
                await asyncio.to_thread(trial.stores.sever, name, side)
                await asyncio.sleep(trial.stage.random.uniform(*CUT_EVERY_S))
                # What the clients say: publishes and acknowledgements, transactions. What the server says: confirms.
                await asyncio.to_thread(trial.stores.swallow, name, side)
                await asyncio.sleep(UNHEARD_S)
                await asyncio.to_thread(trial.stores.cut, name)
                await asyncio.sleep(trial.stage.random.uniform(*CUT_EVERY_S))
        trial.fault_ended()
        await trial.delivered(loads, SOME)
    trial.calls = await asyncio.to_thread(trial.stores.connections, name) - before
    expect_sent_away_in_words(trial, loads)


async def spool_full(trial: Trial) -> None:
    """The broker away and the disk of the spool full: 200 while there is room, then 503 with Retry-After."""
    tenant = trial.tenant()
    load = trial.load(tenant, "inbound", customers=40, per_second=100, padding=1500)
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with small_disk(trial), trial.posting(load):
        await trial.delivered([load], SOME)
        async with gone(trial, "rabbitmq"):
            tables = len(load.taken)
            await asyncio.to_thread(
                trial.platform.change, tenant, status="suspended"
            )  # so that nothing leaves the spool
            await eventually(lambda: any(each.status == 503 for each in load.refusals), 120.0, "a full disk")
            await asyncio.sleep(trial.pick(5.0, 2.0))
            trial.expect(len(load.taken) > tables, "nothing was taken into the spool")
        await asyncio.to_thread(trial.platform.change, tenant, status="active")
        await trial.delivered([load], SOME)
    expect_sent_away_in_words(trial, [load])


def expect_all_200(trial: Trial, loads: Sequence[Load]) -> None:
    """Every webhook was answered 200."""
    trial.expect(all(not load.refusals for load in loads), f"webhooks were answered {refusals(list(loads))}")


def expect_sent_away_in_words(trial: Trial, loads: Sequence[Load]) -> None:
    """Webhooks were answered 200, or 503 with Retry-After."""
    bad = {
        "not at all"
        if each.status == NO_ANSWER
        else f"{each.status}{'' if each.retry_after else ' without Retry-After'}"
        for load in loads
        for each in load.refusals
        if each.status != 503 or not each.retry_after
    }
    sent_away = sum(each.status == 503 for load in loads for each in load.refusals)
    trial.notes.append(f"{sent_away} webhooks sent away")
    trial.expect(not bad, f"webhooks were answered {', '.join(sorted(bad))}")
    trial.expect(any(load.answers[ACCEPTED] for load in loads), "no webhook was taken")


@contextlib.asynccontextmanager
async def gone(trial: Trial, name: Name, *, hard: bool = False) -> AsyncIterator[None]:
    """A store is away for the time of the block; it runs again whatever happens."""
    before = await asyncio.to_thread(trial.stores.connections, name)
    await asyncio.to_thread(trial.stores.kill if hard else trial.stores.stop, name)
    try:
        yield
    finally:
        trial.calls = await asyncio.to_thread(trial.stores.connections, name) - before
        await asyncio.to_thread(trial.stores.run, name)
        trial.fault_ended()


@contextlib.asynccontextmanager
async def small_disk(trial: Trial) -> AsyncIterator[None]:
    """The spool's table on a disk of its own that is soon full."""
    if os.geteuid() != 0:
        raise Skipped("only root can make a small disk")
    folder = trial.stores.folder / "small-disk"
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        raise Skipped(f"no small disk can be made: {mounted.stderr.strip()}")
    try:
        account = unprivileged_account()
        if account is not None:
            shutil.chown(folder, account.uid, account.gid)
        await asyncio.to_thread(trial.stores.execute, f"CREATE TABLESPACE small LOCATION '{folder}'")
        try:
            # What earlier scenarios have left there would fill it.
            await asyncio.to_thread(trial.stores.execute, "VACUUM FULL intake_spool")
            await asyncio.to_thread(move_spool, trial, "small")
            yield
            await trial.settle()  # empty before it goes
        finally:
            await asyncio.to_thread(move_spool, trial, "pg_default")
            await asyncio.to_thread(trial.stores.execute, "DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def move_spool(trial: Trial, place: str) -> None:
    """The spool's table and its indexes to another disk."""
    indexes = [row["indexname"] for row in trial.stores.rows(SPOOL_INDEXES)]
    trial.stores.execute(
        f"ALTER TABLE intake_spool SET TABLESPACE {place}",
        *(f"ALTER INDEX {name} SET TABLESPACE {place}" for name in indexes),
    )


SCENARIOS = (
    Scenario(
        "broker-stopped",
        "RabbitMQ stopped: webhooks go on, deliveries too",
        partial(broker_away, hard=False),
        alone=True,
    ),
    Scenario("broker-killed", "kill -9 of RabbitMQ", partial(broker_away, hard=True), alone=True),
    Scenario(
        "broker-cut",
        "connections to RabbitMQ cut in publishes and acks",
        partial(store_cut, name="rabbitmq"),
        alone=True,
    ),
    Scenario("postgres-stopped", "Postgres stopped", postgres_away, alone=True),
    Scenario(
        "postgres-cut", "connections to Postgres cut in transactions", partial(store_cut, name="postgres"), alone=True
    ),
    Scenario("redis-stopped", "Redis stopped", redis_away, alone=True),
    Scenario("redis-flushed", "FLUSHALL, three times", redis_flushed, alone=True),
    Scenario("stores-restarted", "all three stores killed at once and started again", stores_restarted, alone=True),
    Scenario("spool-full", "RabbitMQ away and the spool's disk full", spool_full, alone=True),
)
