"""What is measured in a round, on either stage."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sandbox.accounts import Account
from scripts.benchmark import load, processes
from scripts.benchmark.options import Options
from scripts.benchmark.plan import Direction, Plan
from scripts.benchmark.stage import Stage

PACES = (50, 100)
WARM_EACH = 2  # messages of every customer before the first measurement
IDLE_S = 3.0
FLAT_OUT_S = 180.0
PACE_GRACE_S = 30.0


class Round:
    """One stage's turn; every load has ids of its own."""

    def __init__(
        self, stage: Stage, accounts: Sequence[Account], options: Options, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._stage = stage
        self._accounts = tuple(accounts)
        self._options = options
        self._folder = folder
        self._say = say

    def measure(self, directions: Sequence[Direction]) -> dict[str, Any]:
        """The figures of this turn, as they are written to JSON."""
        for direction in directions:
            self._send(direction, WARM_EACH * self._options.customers)
        figures: dict[str, Any] = {"idle_core_share": self._idle()}
        figures["inbound"] = self._flat_out(Direction.INBOUND)
        figures["memory_mib"] = processes.memory_mib_by_part(self._stage.pid)
        for rate in PACES:
            paced = self._send(Direction.INBOUND, int(rate * self._options.pace_s), rate)
            self._tell(f"inbound at {rate}/s", f"p50 {paced['p50_ms']:.1f} ms, p99 {paced['p99_ms']:.1f} ms", paced)
            figures[f"inbound_at_{rate}"] = paced
        if Direction.OUTBOUND in directions:
            figures["outbound"] = self._flat_out(Direction.OUTBOUND)
        return figures

    def _flat_out(self, direction: Direction) -> dict[str, Any]:
        figures = self._send(direction, self._options.messages)
        self._tell(f"{direction} flat out", f"{figures['rate']:,.0f}/s", figures)
        return figures

    def _send(self, direction: Direction, count: int, rate: float = 0.0) -> dict[str, Any]:
        plan = Plan(
            run=f"b{secrets.token_hex(4)}",
            host="127.0.0.1",
            port=self._stage.port,
            direction=direction,
            accounts=self._accounts,
            app_secret=self._stage.environment["META_APP_SECRET"],
            count=count,
            customers=self._options.customers,
            connections=self._options.connections,
            rate=rate,
            within_s=count / rate + PACE_GRACE_S if rate else FLAT_OUT_S,
        )
        return load.carry_out(self._stage, plan, self._folder)

    def _idle(self) -> float:
        """The share of a core that the stage uses while nothing comes in."""
        before = processes.usage(self._stage.pid)
        time.sleep(IDLE_S)
        return sum(processes.cpu_s_by_part(before, processes.usage(self._stage.pid)).values()) / IDLE_S

    def _tell(self, what: str, result: str, figures: dict[str, Any]) -> None:
        wrong = [f"{name} {figures[name]}" for name in ("refused", "lost", "doubled", "reordered") if figures[name]]
        self._say(f"{self._stage.name}: {what}: {result}{', ' if wrong else ''}{', '.join(wrong)}")
