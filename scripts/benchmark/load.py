"""One load: the driver in its own process, the sandbox's records of what arrived, the figures of both."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson

from scripts.benchmark import ledger, processes
from scripts.benchmark.ledger import Sent
from scripts.benchmark.plan import Plan
from scripts.launcher.processes import die_with
from scripts.launcher.service import ROOT, python

PREPARED_WITHIN_S = 60.0
QUIET_S = 15.0  # nothing arrived for so long: what has not arrived is lost
POLL_S = 0.1
SETTLED_S = 0.3  # for the last acknowledgements and records, which come after the arrival
SANDBOX_TIMEOUT_S = 30.0
US_PER_S = 1e6


class LoadFailed(Exception):
    """The driver could not do its work."""


class Target(Protocol):
    """What a load is sent through."""

    @property
    def urls(self) -> Mapping[str, str]:
        """Where its sandbox is."""

    @property
    def pid(self) -> int:
        """The process of which all its processes descend."""

    def require_running(self) -> None:
        """Raise if it has ended."""


def carry_out(
    stage: Target, plan: Plan, folder: Path, meanwhile: AbstractContextManager[Any] | None = None
) -> dict[str, Any]:
    """Send the plan through a stage; its figures, with processor time by part in microseconds for each message.

    `meanwhile` is entered before the first webhook leaves, and left when all has arrived.
    """
    with httpx.Client(base_url=stage.urls["sandbox"], timeout=SANDBOX_TIMEOUT_S, trust_env=False) as sandbox:
        stats = sandbox.get("/sandbox/stats").json()
        since, arrived = stats["lastSeq"], _arrived(stats, plan)
        result_file = folder / "load.json"
        with _driver(plan, result_file) as driver, meanwhile or contextlib.nullcontext():
            before, began = processes.usage(stage.pid), time.monotonic()
            _tell(driver, b"go\n")
            _hear(driver, b"done", plan.within_s + PREPARED_WITHIN_S)
            result = orjson.loads(result_file.read_bytes())
            sent = {(customer, number): Sent(*rest) for customer, number, *rest in result["shots"]}
            accepted = sum(webhook.status == ledger.ACCEPTED for webhook in sent.values())
            _await_arrivals(stage, sandbox, plan, arrived + accepted)
            time.sleep(SETTLED_S)
            after, elapsed_s = processes.usage(stage.pid), time.monotonic() - began
        answer = sandbox.get("/sandbox/records", params={"since": since, "kind": plan.direction.arrives_as})
    arrivals = ledger.read_arrivals(plan.run, map(orjson.loads, answer.content.splitlines()))
    used = processes.cpu_s_by_part(before, after)
    used["load driver"] = result["cpuS"]
    return {
        **ledger.balance(result["beganNs"], sent, arrivals),
        "cpu_us": {part: cpu_s / plan.count * US_PER_S for part, cpu_s in used.items()},
        "sandbox_core_share": used.get(processes.SANDBOX, 0.0) / elapsed_s,
    }


def _arrived(stats: dict[str, Any], plan: Plan) -> int:
    return int(stats["counts"].get(f"{plan.direction.arrives_as}:{ledger.ACCEPTED}", 0))


def _await_arrivals(stage: Target, sandbox: httpx.Client, plan: Plan, expected: int) -> None:
    newest, changed = -1, time.monotonic()
    while time.monotonic() - changed < QUIET_S:
        stage.require_running()
        count = _arrived(sandbox.get("/sandbox/stats").json(), plan)
        if count >= expected:
            return
        if count != newest:
            newest, changed = count, time.monotonic()
        time.sleep(POLL_S)


@contextlib.contextmanager
def _driver(plan: Plan, result_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        python("scripts.benchmark.driver", str(result_file)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
        preexec_fn=partial(die_with, os.getpid(), signal.SIGKILL),
    )
    try:
        _tell(process, plan.model_dump_json().encode() + b"\n")
        _hear(process, b"ready", PREPARED_WITHIN_S)
        yield process
    finally:
        process.kill()
        process.communicate()


def _tell(driver: subprocess.Popen[bytes], line: bytes) -> None:
    assert driver.stdin is not None
    try:
        driver.stdin.write(line)
        driver.stdin.flush()
    except BrokenPipeError:
        raise LoadFailed("the load driver has ended") from None


def _hear(driver: subprocess.Popen[bytes], word: bytes, within_s: float) -> None:
    assert driver.stdout is not None
    readable, _, _ = select.select([driver.stdout], [], [], within_s)
    line = driver.stdout.readline() if readable else b"nothing"
    if line.strip() != word:
        raise LoadFailed(f"the load driver said {line.decode()!r} where {word.decode()!r} was due")
