"""`scripts/bench`: the measurement from the command line to the tables."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import rich.console

from scripts.benchmark import admin_run, machine, profile_run, report, tenants
from scripts.benchmark.load import LoadFailed
from scripts.benchmark.options import Options, parse
from scripts.benchmark.plan import Direction
from scripts.benchmark.rounds import Round
from scripts.benchmark.stage import StageFailed, platform_stage, yardstick_stage
from scripts.benchmark.yardstick import ACCOUNTS
from scripts.launcher.console import Console, complain

INTERRUPTED = 130
# Each run measures, saying how far it is, then prints and keeps its result and answers the exit status.
Measure = Callable[[Options, Path, Callable[[str], None]], dict[str, Any]]
Publish = Callable[[dict[str, Any], Options], int]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Measure, print, write; the exit status."""
    options = parse(arguments)
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    folder.chmod(0o711)  # the user that Postgres runs as must be able to walk through
    measure_it, publish = _what_to_do(options)
    try:
        result = measure_it(options, folder, Console().step)
    except KeyboardInterrupt:
        complain("interrupted; everything is stopped")
        return INTERRUPTED
    except (StageFailed, LoadFailed, tenants.SetUpFailed) as error:
        complain(error)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return publish(result, options)


def _what_to_do(options: Options) -> tuple[Measure, Publish]:
    if options.admin:
        return admin_run.measure, admin_run.publish
    if options.profile:
        return profile_run.measure, profile_run.publish
    return measure, _publish


def measure(options: Options, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of every round and their medians, with what they were measured on."""
    found = machine.describe()
    if found["load_before"] > 0.5:
        say(f"this machine is busy (load {found['load_before']}): the figures will be worse for it")
    accounts = tenants.new_accounts(options.tenants)
    accounts_file = folder / "accounts.json"
    accounts_file.touch(mode=0o600)
    accounts_file.write_bytes(ACCOUNTS.dump_json(accounts, by_alias=True))
    platform, yardstick = platform_stage(folder), yardstick_stage(folder, accounts_file)
    rounds: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    try:
        for number in range(1, options.rounds + 1):

            def tell(text: str, number: int = number) -> None:
                say(f"round {number} of {options.rounds}, {text}")

            tell("platform: starting")
            platform.start()
            tenants.register(accounts, platform.urls["sandbox"])
            if number == 1:
                tenants.create(accounts, platform.urls["router"], platform.environment["ADMIN_API_KEY"])
                versions = machine.versions(platform.environment)
            ours = Round(platform, accounts, options, folder, tell).measure(tuple(Direction))
            platform.stop()
            tell("yardstick: starting")
            yardstick.start()
            theirs = Round(yardstick, accounts, options, folder, tell).measure((Direction.INBOUND,))
            yardstick.stop()
            rounds.append({"platform": ours, "yardstick": theirs})
    finally:
        _ignore_signals()
        platform.remove()
        yardstick.remove()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": found,
        "versions": versions,
        "options": {name: value for name, value in asdict(options).items() if name not in ("json_file", "write_docs")},
        "medians": report.summarise(rounds),
        "rounds": rounds,
    }


def _publish(result: dict[str, Any], options: Options) -> int:
    terminal = rich.console.Console(width=None if sys.stdout.isatty() else 120)
    report.show(result["medians"], terminal)
    report.keep(result, report.MEASURED, report.markdown, options, terminal)
    wrong = report.faults(result["medians"])
    if wrong:
        complain(f"{wrong} messages were lost, doubled, reordered or refused")
    return 1 if wrong else 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """From here on nothing may break off the stopping."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
