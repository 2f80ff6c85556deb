"""Scenarios carried out one after the other, those that disturb nobody beside the others, each within its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import httpx

from scripts.faults.row import Row
from scripts.faults.stage import Stage
from scripts.faults.trial import Scenario, Skipped, Trial

Say = Callable[[str], None]


async def carry_out(scenario: Scenario, stage: Stage) -> Row:
    """One scenario's row, whatever happens."""
    trial = Trial(scenario, stage)
    try:
        async with asyncio.timeout(scenario.within_s):
            await scenario.run(trial)
            return await trial.close()
    except Skipped as why:
        return Row(scenario.name, skipped=str(why))
    except TimeoutError:
        return trial.failed(TimeoutError(f"not done within {scenario.within_s:g} s"))
    except Exception as error:  # a scenario that fails must not keep the others from being run
        return trial.failed(error)
    finally:
        with contextlib.suppress(httpx.HTTPError, AssertionError):
            await asyncio.to_thread(trial.take_back)


async def carry_out_all(scenarios: Sequence[Scenario], stage: Stage, say: Say) -> list[Row]:
    """All rows, in order; each one's line is said when it is known."""
    rows: dict[str, Row] = {}
    beside: list[asyncio.Task[None]] = []

    async def one(scenario: Scenario) -> None:
        rows[scenario.name] = row = await carry_out(scenario, stage)
        say(row.line())

    try:
        # The long ones first: those that disturb nobody are run meanwhile, and the others afterwards.
        for scenario in sorted(scenarios, key=lambda each: (not each.beside, each.alone)):
            if scenario.beside:
                beside.append(asyncio.create_task(one(scenario)))
                continue
            if scenario.alone:
                await _all(beside)
                await stage.mend()
            await one(scenario)
        await _all(beside)
    finally:
        for task in beside:
            task.cancel()
    return [rows[scenario.name] for scenario in scenarios]


async def _all(tasks: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*tasks)
