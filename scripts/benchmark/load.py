"""A load: drivers in processes of their own, the sandbox's records of what arrived, the ledger of both."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson

from scripts.benchmark import ledger
from scripts.benchmark.ledger import Arrival, Key, Sent
from scripts.benchmark.plan import Plan
from scripts.launcher.processes import die_with
from scripts.launcher.service import ROOT, python

PREPARED_WITHIN_S = 60.0
QUIET_S = 15.0  # nothing arrived for so long: what has not arrived is lost
POLL_S = 0.1
SANDBOX_TIMEOUT_S = 60.0

# How many have arrived, of how many.
Tell = Callable[[int, int], None]


class LoadFailed(Exception):
    """The driver could not do its work."""


class Target(Protocol):
    """What a load is sent through."""

    @property
    def urls(self) -> Mapping[str, str]:
        """Where its sandbox is."""

    def require_running(self) -> None:
        """Raise if it has ended."""


class Load:
    """Plans that are carried out together, a driver for each; their customers must be different ones.

    Entered, every webhook is prepared. `send` returns once all are answered, `await_arrivals` once all that were
    accepted have arrived, or nothing has for a while.
    """

    def __init__(
        self, stage: Target, plans: Sequence[Plan], folder: Path, tell: Tell = lambda arrived, of: None
    ) -> None:
        self._stage = stage
        self._plans = tuple(plans)
        self._folder = folder
        self._tell = tell
        self._held = contextlib.ExitStack()
        self._sandbox = httpx.Client(base_url=stage.urls["sandbox"], timeout=SANDBOX_TIMEOUT_S, trust_env=False)
        self._drivers: list[subprocess.Popen[bytes]] = []
        self._since = self._arrived_before = 0
        self._began_ns = 0
        self._sent: dict[Key, Sent] = {}
        self._arrivals: list[Arrival] = []
        # Seconds of processor time of the drivers.
        self.driver_cpu_s = 0.0

    def __enter__(self) -> Load:
        with contextlib.ExitStack() as opening:
            opening.enter_context(self._sandbox)
            self._drivers = [
                opening.enter_context(_driver(plan, self._result_file(number)))
                for number, plan in enumerate(self._plans)
            ]
            stats = self.stats()
            self._since, self._arrived_before = stats["lastSeq"], self._arrived(stats)
            self._held = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def count(self) -> int:
        """Messages of all plans."""
        return sum(plan.count for plan in self._plans)

    @property
    def accepted(self) -> int:
        """Messages of webhooks that were answered 200."""
        return sum(webhook.status == ledger.ACCEPTED for webhook in self._sent.values())

    def stats(self) -> dict[str, Any]:
        """The sandbox's counters."""
        stats: dict[str, Any] = self._sandbox.get("/sandbox/stats").json()
        return stats

    def send(self) -> None:
        """Send everything; raises LoadFailed where a driver fails."""
        for driver in self._drivers:
            _write(driver, b"go\n")
        for number, (plan, driver) in enumerate(zip(self._plans, self._drivers, strict=True)):
            _hear(driver, b"done", plan.within_s + PREPARED_WITHIN_S)
            result = orjson.loads(self._result_file(number).read_bytes())
            self._began_ns = min(self._began_ns or result["beganNs"], result["beganNs"])
            self.driver_cpu_s += result["cpuS"]
            self._sent |= {
                (customer + following, number): Sent(*rest)
                for customer, number, *rest in result["shots"]
                for following in range(plan.in_a_webhook)
            }

    def await_arrivals(self) -> None:
        """Wait for everything that was accepted, and read what arrived."""
        expected, newest, changed = self.accepted, -1, time.monotonic()
        while time.monotonic() - changed < QUIET_S:
            self._stage.require_running()
            count = self._arrived(self.stats()) - self._arrived_before
            self._tell(count, expected)
            if count >= expected:
                break
            if count != newest:
                newest, changed = count, time.monotonic()
            time.sleep(POLL_S)
        self._arrivals = [arrival for plan in self._plans for arrival in self._arrivals_of(plan)]

    def balance(self) -> dict[str, float]:
        """The figures of what was sent and what arrived."""
        return ledger.balance(self._began_ns, self._sent, self._arrivals)

    def drained(self, from_ns: int) -> dict[str, float]:
        """The figures of what arrived since `from_ns`, when all of it was let go."""
        return ledger.drained(from_ns, self._arrivals)

    def arrived_before(self, at_ns: int) -> int:
        """How many messages arrived before that moment."""
        return sum(arrival.at_ns < at_ns for arrival in self._arrivals)

    def _arrivals_of(self, plan: Plan) -> list[Arrival]:
        asked = f"since={self._since}&kind={plan.direction.arrives_as}"
        answer = self._sandbox.get(f"/sandbox/records?{asked}")
        return ledger.read_arrivals(plan.run, map(orjson.loads, answer.content.splitlines()))

    def _arrived(self, stats: Mapping[str, Any]) -> int:
        kinds = {plan.direction.arrives_as for plan in self._plans}
        return sum(int(stats["counts"].get(f"{kind}:{ledger.ACCEPTED}", 0)) for kind in kinds)

    def _result_file(self, number: int) -> Path:
        return self._folder / f"load-{number}.json"


def carry_out(stage: Target, plan: Plan, folder: Path) -> dict[str, float]:
    """Send one plan, wait for everything to arrive, and answer the figures of both."""
    with Load(stage, [plan], folder) as load:
        load.send()
        load.await_arrivals()
        return load.balance()


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
        _write(process, plan.model_dump_json().encode() + b"\n")
        _hear(process, b"ready", PREPARED_WITHIN_S)
        yield process
    finally:
        process.kill()
        process.communicate()


def _write(driver: subprocess.Popen[bytes], line: bytes) -> None:
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
