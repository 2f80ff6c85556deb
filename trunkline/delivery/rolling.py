"""A restart of everything, one step after the other: what was done, what is being done, and how it ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trunkline.errors import TrunklineError

StepState = Literal["waiting", "running", "done", "failed"]
RestartState = Literal["idle", "running", "done", "failed"]


@dataclass(slots=True)
class Step:
    """One process, or one application, that is restarted; `began_at` is in Unix seconds."""

    name: str
    state: StepState = "waiting"
    seconds: float | None = None
    began_at: float | None = None

    def begin(self, now: float) -> None:
        """It is being restarted."""
        self.state, self.began_at = "running", now

    def end(self, state: StepState, now: float) -> None:
        """It was restarted, or could not be."""
        self.state = state
        self.seconds = round(max(0.0, now - (self.began_at or now)), 1)


@dataclass(slots=True)
class Restart:
    """How a restart stands."""

    state: RestartState = "idle"
    steps: list[Step] = field(default_factory=list)
    error: str | None = None

    def shown(self) -> dict[str, Any]:
        """For whoever follows it."""
        steps = [{"name": step.name, "state": step.state, "seconds": step.seconds} for step in self.steps]
        return {"state": self.state, "steps": steps, "error": self.error}

    def to_bytes(self) -> bytes:
        """For keeping while the process that drives the restart is itself restarted."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, kept: bytes) -> Restart:
        """What was kept; raises ValueError when it is something else."""
        try:
            found = json.loads(kept)
            return cls(found["state"], [Step(**step) for step in found["steps"]], found["error"])
        except (KeyError, TypeError) as error:
            raise ValueError("not a restart that was kept") from error

    def resumed(self, now: float) -> None:
        """The process that drove the restart was itself started anew: as the last step, or in the middle of it."""
        if self.state != "running":
            return
        last = self.steps[-1] if self.steps else None
        if last is not None and last.state == "running":
            last.end("done", now)
            self.state = "done"
            return
        for step in self.steps:
            if step.state == "running":
                step.end("failed", now)
        self.state, self.error = "failed", "the supervisor was itself started anew meanwhile: restart again"


Work = Callable[[], Awaitable[None]]


async def run_steps(
    restart: Restart,
    work: Sequence[tuple[str, Work]],
    keep: Callable[[Restart], None],
    clock: Callable[[], float] = time.time,
) -> None:
    """Take the steps one after the other and keep the progress after each; the first one that fails ends it."""
    restart.state, restart.error = "running", None
    restart.steps = [Step(name) for name, _ in work]
    for step, (_, take) in zip(restart.steps, work, strict=True):
        step.begin(clock())
        keep(restart)
        try:
            await take()
        except (Exception, asyncio.CancelledError) as error:
            step.end("failed", clock())
            words = str(error) if isinstance(error, TrunklineError) else type(error).__name__
            restart.state, restart.error = "failed", f"{step.name}: {words}"
            keep(restart)
            raise
        step.end("done", clock())
        keep(restart)
    restart.state = "done"
    keep(restart)
