"""Processes killed, resized, restarted and stopped while messages go both ways."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from scripts.faults.load import ACCEPTED, NO_ANSWER, Load
from scripts.faults.platform import Platform
from scripts.faults.trial import IN_FLIGHT, Scenario, Trial
from scripts.faults.waiting import NotInTime, eventually
from scripts.launcher.processes import start_time

# So many messages of each load before something happens, and after it.
SOME = 20
# On a machine whose cores are ours; where others want them too, starting a process takes as much longer.
RESUMES_WITHIN_S = 10.0
NODE_RESUMES_WITHIN_S = 60.0
RESTARTED_WITHIN_S = 150.0
RESIZED_WITHIN_S = 60.0
SENDING = "SELECT DISTINCT owner FROM messages WHERE tenant_id = %s AND direction = %s AND status = 'sending'"

Find = Callable[[Platform, Load], int | None]


def worker(title: str) -> Find:
    """The Ray worker with this title, the first one if there are several."""
    return lambda platform, load: min(platform.workers(title), default=None)


def program(name: str) -> Find:
    """The process that runs this program."""
    return lambda platform, load: min(platform.programs(name), default=None)


def sender(platform: Platform, load: Load) -> int | None:
    """The transformer that is sending messages of this load: those of both pools have one title."""
    owners = platform.rows(SENDING, load.tenant.tenant_id, load.direction)
    pids = [int(row["owner"].split("/")[1]) for row in owners]
    return next((pid for pid in pids if pid in platform.workers("TransformerActor")), None)


async def killed(
    trial: Trial, find: Find, way: int = 0, resumes_within_s: float = RESUMES_WITHIN_S, with_node: bool = False
) -> None:
    """Kill -9 the process that `find` finds with the inbound (0) or the outbound (1) load; go on, recover.

    `with_node`: all of the node goes with it, its web edge too, so that no status can be taken in time.
    """
    loads = trial.both_ways(may_repeat=IN_FLIGHT, no_status_tells=with_node, latency_ms=150)
    trial.resumes_within_s = resumes_within_s
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        pid = await eventually(lambda: find(trial.platform, loads[way]), 20.0, "the process to kill")
        os.kill(pid, signal.SIGKILL)
        trial.fault_ended()
        await eventually(lambda: start_time(pid) is None, 10.0, "its end")
        await trial.stage.well(resumes_within_s + 60)
        await trial.delivered(loads, SOME, within_s=90)


async def pool_resized(trial: Trial) -> None:
    """1, 3 and 1 transformers by `PATCH /pools/inbound`."""
    loads = trial.both_ways()
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        try:
            for size in (3, 1):
                await asyncio.to_thread(trial.platform.resize, "inbound", size)
                trial.fault_ended()
                await eventually(partial(has_size, trial.platform, size), RESIZED_WITHIN_S, f"a pool of {size}")
                await trial.delivered(loads, SOME)
        finally:
            await asyncio.to_thread(trial.platform.resize, "inbound", 1)
    trial.expect(set(loads[0].answers) | set(loads[1].answers) == {ACCEPTED}, f"webhooks: {refusals(loads)}")


def has_size(platform: Platform, size: int) -> bool:
    """Whether the inbound pool has this size, and is done with becoming so."""
    pool = platform.api.get("/pools").json()["inbound"]
    return (pool["size"], pool["running"], bool(pool["changing"])) == (size, size, False)


async def rolling_restart(trial: Trial) -> None:
    """`trunkline restart`: every webhook is answered 200 meanwhile."""
    loads = trial.both_ways()
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        before = await asyncio.to_thread(our_workers, trial.platform)
        status, said = await command_line(trial.platform, "restart")
        trial.fault_ended()
        trial.expect(status == 0, f"trunkline restart ended with {status}: {said[-300:]}")
        after = await asyncio.to_thread(our_workers, trial.platform)
        trial.expect(not before & after, f"{len(before & after)} of {len(before)} workers are still the same")
        await trial.delivered(loads, SOME)
    trial.expect(set(loads[0].answers) | set(loads[1].answers) == {ACCEPTED}, f"webhooks: {refusals(loads)}")


def our_workers(platform: Platform) -> set[int]:
    """The processes in which our code runs."""
    titles = ("ServeReplica:", "TransformerActor", "TenantCell", "SupervisorActor")
    return {pid for title in titles for pid in platform.workers(title)}


async def command_line(platform: Platform, *arguments: str) -> tuple[int, str]:
    """Exit status and output of an operator's command."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("trunkline")),
        *arguments,
        env={**os.environ, **platform.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), RESTARTED_WITHIN_S)
    except TimeoutError:
        raise NotInTime(f"trunkline {' '.join(arguments)}: not within {RESTARTED_WITHIN_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


async def platform_stopped(trial: Trial) -> None:
    """SIGTERM while messages are under way, then the next start: what was accepted goes on from there."""
    loads = trial.both_ways(may_repeat=IN_FLIGHT, latency_ms=150)
    async with trial.posting(*loads):
        await trial.delivered(loads, SOME)
        await trial.stage.restart_platform()
        trial.fault_ended()
        await trial.delivered(loads, SOME, within_s=90)


def refusals(loads: list[Load]) -> str:
    """How webhooks were answered other than 200."""
    return ", ".join(
        f"{count} {load.direction} {'not at all' if status == NO_ANSWER else status}"
        for load in loads
        for status, count in load.answers.items()
        if status != ACCEPTED
    )


def _kill(name: str, what: str, find: Find, **more: float) -> Scenario:
    run: Callable[[Trial], Awaitable[None]] = partial(killed, find=find, **more)  # type: ignore[arg-type]
    return Scenario(f"kill-{name}", f"kill -9 of {what}, under load", run, alone=True)


NODE = {"resumes_within_s": NODE_RESUMES_WITHIN_S, "with_node": True}
SCENARIOS = (
    _kill("inbound", "the transformer that sends to Genesys", sender),
    _kill("outbound", "the transformer that sends to WhatsApp", sender, way=1),
    _kill("cell", "the cell that hosts the tenants", worker("TenantCell")),
    _kill("supervisor", "the supervisor", worker("SupervisorActor")),
    _kill("intake", "the replica that takes webhooks", worker("ServeReplica:webhooks:intake")),
    _kill("admin", "the replica of the admin API", worker("ServeReplica:admin")),
    _kill("haproxy", "HAProxy", program("haproxy")),
    _kill("raylet", "Ray's raylet, and so the node", program("raylet"), **NODE),
    _kill("gcs", "Ray's GCS, and so the node", program("gcs_server"), **NODE),
    Scenario("pool-resized", "the inbound pool resized 1 -> 3 -> 1 under load", pool_resized, alone=True),
    Scenario("rolling-restart", "trunkline restart under load", rolling_restart, 330, alone=True),
    Scenario(
        "platform-stopped", "SIGTERM to the platform under load, then the next start", platform_stopped, 330, alone=True
    ),
)
