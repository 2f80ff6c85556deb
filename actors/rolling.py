"""The steps of a rolling restart: every process of ours ended and back before the next one, the supervisor last."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import ray

from actors import directory, processes
from actors.members import Members
from trunkline.delivery.rolling import Restart, Work, run_steps
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

KEY = "restart"
BACK_WITHIN_S = 60.0
ASK_TIMEOUT_S = 3.0
DEPLOY_WITHIN_S = 120.0
LOOK_EVERY_S = 0.2


def recall() -> Restart:
    """How the last restart stands, also when this process is its last step."""
    kept = processes.kept(KEY)
    try:
        restart = Restart.from_bytes(kept) if kept else Restart()
    except ValueError:
        restart = Restart()
    if restart.state == "running":
        restart.resumed(time.time())
        processes.keep(KEY, restart.to_bytes())
    return restart


async def restart_everything(restart: Restart, members: Members, cells: Sequence[str]) -> None:
    """Take every step and keep the progress; returns early, with the reason in `restart`, when one fails."""
    try:
        await run_steps(restart, _steps(members, cells), lambda now: processes.keep(KEY, now.to_bytes()))
    except Unavailable:
        log.warning("restart.failed", extra={"error": restart.error})
    except Exception:
        log.exception("restart.failed", extra={"error": restart.error})


def _steps(members: Members, cells: Sequence[str]) -> list[tuple[str, Work]]:
    def step(take: Callable[[str], Awaitable[None]], name: str) -> tuple[str, Work]:
        return name, lambda: take(name)

    return [
        *(step(members.restart, name) for name in members.names),
        *(step(_restart_cell, name) for name in cells),
        *(step(_redeploy, name) for name in ("admin", "webhooks")),
        step(_end_myself, directory.SUPERVISOR),
    ]


async def _restart_cell(name: str) -> None:
    """A cell has no state of its own: whoever asks it meanwhile asks again."""
    before = await processes.owner_of(name, BACK_WITHIN_S)
    processes.end(name, before)
    deadline = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if await processes.owner_of(name, ASK_TIMEOUT_S) != before:
                await directory.answer(directory.cell(name).count.remote(), name, BACK_WITHIN_S)
                return
        except Unavailable:
            pass  # it is being started
        await asyncio.sleep(LOOK_EVERY_S)
    raise Unavailable(f"{name} did not come back within {BACK_WITHIN_S:g} s")


async def _redeploy(application: str) -> None:
    """New replicas of an application; each old one leaves when a new one serves in its place."""
    # In a process of its own: deploying loads all of the web edge.
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    deploying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "actors.deploy", "--only", application),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(deploying.communicate(), DEPLOY_WITHIN_S)
    except TimeoutError:
        raise Unavailable(f"it was not deployed within {DEPLOY_WITHIN_S:g} s") from None
    finally:
        if deploying.returncode is None:
            deploying.kill()
    if deploying.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"it could not be deployed: {''.join(last) or deploying.returncode}")


async def _end_myself(_: str) -> None:
    """The supervisor that Ray starts in our place finds the restart at its last step, and tells that it is done."""
    processes.end(directory.SUPERVISOR)
    await asyncio.sleep(BACK_WITHIN_S)
    raise Unavailable("it could not be ended")
