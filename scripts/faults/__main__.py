"""`scripts/chaos`: from the command line to the table."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn

import rich.console

from scripts.faults.options import Options, parse
from scripts.faults.platform import PlatformFailed
from scripts.faults.row import Row, show
from scripts.faults.runner import Say, carry_out_all
from scripts.faults.scenarios import ALL
from scripts.faults.stage import Stage
from scripts.faults.stores import StoresFailed
from scripts.faults.trial import Scenario
from scripts.faults.waiting import NotInTime
from scripts.launcher.console import Console, complain

INTERRUPTED = 130
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Break, judge, print; the exit status."""
    options = parse(arguments, [each.name for each in ALL])
    chosen = [each for each in ALL if not options.only or each.name.startswith(options.only)]
    if options.listing:
        for each in chosen:
            print(f"{each.name:20}{each.what}")
        return 0
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    console = Console()
    stage = Stage(short=options.short, seed=options.seed)
    try:
        console.step("starting the platform")
        stage.start()
        console.step(f"running at {stage.platform.url}")
        rows = asyncio.run(_carry_out(chosen, stage, console.step))
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("interrupted; everything is stopped")
        return INTERRUPTED
    except (PlatformFailed, StoresFailed, NotInTime, OSError) as error:
        complain(error)
        return 1
    finally:
        _ignore_signals()
        stage.remove()
    return _publish(rows, options)


async def _carry_out(chosen: Sequence[Scenario], stage: Stage, say: Say) -> list[Row]:
    """All rows; a signal cancels what is under way, which leaves its stores running and its tasks ended."""
    task = asyncio.current_task()
    assert task is not None
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await carry_out_all(chosen, stage, say)


def _publish(rows: list[Row], options: Options) -> int:
    show(rows, rich.console.Console(width=None if sys.stdout.isatty() else 160))
    green = all(not row.wrong for row in rows)
    if options.json_file:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        result = {"at": at, "green": green, "seed": options.seed, "scenarios": [row.as_json() for row in rows]}
        options.json_file.parent.mkdir(parents=True, exist_ok=True)
        options.json_file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 0 if green else 1


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """From here on nothing may break off the stopping."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
