"""`scripts/bench`: the rows on the platform and on the yardstick in turn, round after round, and the tables of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import rich.console

from sandbox.accounts import Account
from scripts.benchmark import guarantees, machine, report, rounds, tenants
from scripts.benchmark.conditions import PlatformConditions, YardstickConditions
from scripts.benchmark.counters import PUBLISHED_AFTER_S, Counters
from scripts.benchmark.options import Options
from scripts.benchmark.progress import Bar
from scripts.benchmark.rounds import Round
from scripts.benchmark.rows import Row
from scripts.benchmark.stage import Stage, platform_stage, yardstick_stage
from scripts.benchmark.yardstick import ACCOUNTS
from scripts.launcher.console import complain

BUSY = 0.5
# About how long a stage takes to start, to make a tenant, and to stop.
START_S = {"platform": 35.0, "yardstick": 12.0}
TENANT_S = 0.03
WIDE = 230


def measure(options: Options, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of every round and their medians, with what they were measured on."""
    at, found = datetime.now(UTC), machine.describe()
    if found["load_before"] > BUSY:
        say(f"this machine is busy (load {found['load_before']}): the figures will be worse for it")
    run = _Run(options, folder)
    with Bar(run.expected_s(), say) as bar:
        measured = [run.round(number, bar) for number in range(1, options.rounds + 1)]
    return {
        "at": at.isoformat(timespec="seconds"),
        "machine": found,
        "versions": run.versions,
        "options": {name: getattr(options, name) for name in ("rounds", "messages", "pace_s", "backlog", "counts")},
        "seed": tenants.SEED,
        "rows": [row.described() for row in options.rows],
        "guarantees": [each["platform"].pop("guarantees") for each in measured],
        "medians": report.summarise(measured),
        "rounds": measured,
    }


def publish(result: dict[str, Any], options: Options) -> int:
    """Print and keep the result; 1 where a message was lost, doubled, reordered or refused."""
    # It takes a second to load, and nothing else needs it.
    from scripts.benchmark import plots

    terminal = rich.console.Console(width=None if sys.stdout.isatty() else WIDE)
    report.show(result, terminal)
    drawn = plots.draw(result, report.RESULTS / report.stamp(result))
    terminal.print(f"drawn: {', '.join(str(file) for file in drawn)}", highlight=False)
    pictures = plots.draw(result, report.PICTURES) if options.write_docs else []
    report.keep(result, report.MEASURED, partial(report.markdown, pictures=pictures), options, terminal)
    wrong = report.faults(result["medians"])
    if wrong:
        complain(f"{wrong} messages were lost, doubled, reordered or refused")
    return 1 if wrong else 0


class _Run:
    """The rounds of one run. Each begins with empty stores, so that none finds what another has left."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._accounts = tenants.new_accounts(max(row.tenants for row in options.rows), tenants.SEED)
        self._beside = [row for row in options.rows if row.beside_yardstick]
        self.versions: dict[str, str] = {}

    def round(self, number: int, bar: Bar) -> dict[str, Any]:
        """The figures of both stages."""
        measured = {"platform": self._platform(number, bar)}
        measured["yardstick"] = self._yardstick(number, bar)
        return measured

    def expected_s(self) -> float:
        """About how long all rounds take."""
        each = sum(self._step_s(row, "platform") for row in self._options.rows)
        each += sum(self._step_s(row, "yardstick") for row in self._beside)
        counting = (1 + len(self._options.rows)) * self._counting_s(1)
        return self._options.rounds * (each + self._start_s("platform") + self._start_s("yardstick")) + counting

    def _platform(self, number: int, bar: Bar) -> dict[str, Any]:
        stage = platform_stage(self._folder)
        try:
            bar.begin(self._text(number, stage, "starting"), self._start_s(stage.name))
            stage.start()
            tenants.register(self._accounts, stage.urls["sandbox"])
            tenants.create(self._accounts, stage.urls["router"], stage.environment["ADMIN_API_KEY"])
            self.versions = self.versions or machine.versions(stage.environment)
            turn = Round(number, stage, self._accounts, PlatformConditions(stage), self._folder, bar)
            figures = {"idle_core_share": turn.idle()}
            if self._counting_s(number):
                bar.begin(self._text(number, stage, "counting what is called while idle"), self._counting_s(number))
                turn.count_with(Counters(stage))
            rows = self._rows(turn, number, stage, self._options.rows, bar)
            return {**figures, "rows": rows, "guarantees": guarantees.examine(stage, self._accounts, turn.accepted)}
        finally:
            stage.remove()

    def _yardstick(self, number: int, bar: Bar) -> dict[str, Any]:
        if not self._beside:
            return {"idle_core_share": 0.0, "rows": {}}
        file = _write_accounts(self._accounts, self._folder)
        stage = yardstick_stage(self._folder, file)
        try:
            bar.begin(self._text(number, stage, "starting"), self._start_s(stage.name))
            stage.start()
            turn = Round(number, stage, self._accounts, YardstickConditions(stage), self._folder, bar)
            figures = {"idle_core_share": turn.idle()}
            return {**figures, "rows": self._rows(turn, number, stage, self._beside, bar)}
        finally:
            stage.remove()

    def _rows(self, turn: Round, number: int, stage: Stage, rows: Sequence[Row], bar: Bar) -> dict[str, Any]:
        figures = {}
        for row in rows:
            counting_s = self._counting_s(number) if stage.name == "platform" else 0.0
            bar.begin(self._text(number, stage, row.what), self._step_s(row, stage.name) + counting_s)
            figures[row.name] = turn.measure(row)
        return figures

    def _text(self, number: int, stage: Stage, what: str) -> str:
        return f"round {number} of {self._options.rounds}, {stage.name}: {what}"

    def _start_s(self, stage: str) -> float:
        return START_S[stage] + (TENANT_S * len(self._accounts) if stage == "platform" else 0.0)

    def _step_s(self, row: Row, stage: str) -> float:
        return rounds.expected_s(row, stage)

    def _counting_s(self, number: int) -> float:
        """How much longer a row takes in this round because calls and commits are counted."""
        return 2 * PUBLISHED_AFTER_S if self._options.counts and number == 1 else 0.0


def _write_accounts(accounts: Sequence[Account], folder: Path) -> Path:
    file = folder / "accounts.json"
    file.touch(mode=0o600)
    file.write_bytes(ACCOUNTS.dump_json(tuple(accounts), by_alias=True))
    return file
