"""`scripts/bench --profile`: our processes sampled during a row, and what costs most in them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import rich.console
from rich.table import Table

from scripts.benchmark import flamegraph, machine, processes, report, stacks, tenants
from scripts.benchmark.conditions import PlatformConditions
from scripts.benchmark.options import Options
from scripts.benchmark.progress import Bar
from scripts.benchmark.rounds import Round, expected_s
from scripts.benchmark.rows import Row
from scripts.benchmark.sampling import RATE, Sampled, Sampler
from scripts.benchmark.stacks import Cost
from scripts.benchmark.stage import Stage, platform_stage
from scripts.launcher.console import complain

START_S = 35.0
TOP = 15
PACKAGES = 12
# Every Python process that a message may pass through, and those that watch over them.
SAMPLED = frozenset({"intake replicas", "transformers", "cells", "supervisor", "admin replica"})
# Who needs less of a message's processor time is named, and not taken apart.
SMALL_US = 5.0
US_PER_S = 1e6


def measure(options: Options, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What every sampled process did; their raw files and pictures are in bench-results when this returns."""
    at, found = datetime.now(UTC), machine.describe()
    results = report.RESULTS / f"{at:%Y-%m-%d-%H%M%S}-profile"
    results.mkdir(parents=True)
    (row,) = options.rows
    accounts = tenants.new_accounts(row.tenants, tenants.SEED)
    platform = platform_stage(folder)
    try:
        with Bar(START_S + expected_s(row, platform.name), say) as bar:
            bar.begin("platform: starting", START_S)
            platform.start()
            tenants.register(accounts, platform.urls["sandbox"])
            tenants.create(accounts, platform.urls["router"], platform.environment["ADMIN_API_KEY"])
            versions = machine.versions(platform.environment)
            names = _names(platform)
            sampler = Sampler(tuple(names), results)
            bar.say(f"sampling {', '.join(names.values())}, {RATE} times a second each")
            bar.begin(f"{row.what}, being sampled", expected_s(row, platform.name))
            turn = Round(1, platform, accounts, PlatformConditions(platform), folder, bar)
            figures = turn.measure(row, meanwhile=sampler)
    finally:
        platform.remove()
    return {
        "at": at.isoformat(timespec="seconds"),
        "machine": found,
        "versions": versions,
        "row": row.described(),
        "load": figures,
        "folder": str(results),
        "processes": [_taken_apart(each, names[each.pid], row, sampler, results) for each in sampler.sampled],
    }


def publish(result: dict[str, Any], options: Options) -> int:
    """Print and keep the result; 1 where a message was lost, doubled, reordered or refused."""
    folder = Path(result["folder"])
    report.write_json(result, folder / "profile.json", *([options.json_file] if options.json_file else []))
    with (folder / "profile.txt").open("w") as text:
        for terminal in (rich.console.Console(), rich.console.Console(file=text, width=160)):
            _show(result, terminal)
    rich.console.Console().print(f"written to {os.path.relpath(folder)}: profile.txt, profile.json, *.raw.txt, *.svg")
    wrong = sum(result["load"][name] for name in report.FAULTS)
    if wrong:
        complain(f"{wrong} messages were lost, doubled, reordered or refused")
    return 1 if wrong else 0


def _names(stage: Stage) -> dict[int, str]:
    """What the processes to be sampled are called, by pid, as the admin API names them."""
    headers = {"X-API-Key": stage.environment["ADMIN_API_KEY"]}
    answer = httpx.get(f"{stage.urls['router']}/actors", headers=headers, timeout=15.0, trust_env=False)
    answer.raise_for_status()
    known = {actor["pid"]: actor["name"].partition("#")[0] for actor in answer.json()["actors"]}
    ours = [pid for pid, usage in processes.usage(stage.pid).items() if usage.part in SAMPLED]
    return {pid: known.get(pid, f"process {pid}") for pid in ours}


def _taken_apart(each: Sampled, name: str, row: Row, sampler: Sampler, folder: Path) -> dict[str, Any]:
    """A process as it stands in the result; its picture is drawn."""
    file = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
    with contextlib.suppress(FileNotFoundError):  # it ended before anything was seen of it
        sampler.raw_file(each.pid).rename(folder / f"{file}.raw.txt")
    (folder / f"{file}.svg").write_text(flamegraph.draw(f"{name}: {RATE} samples a second", each.samples))
    return {
        "name": name,
        "samples": stacks.samples_in(each.samples),
        "cpu_us": each.cpu_s / row.count * US_PER_S,
        "python_cpu_us": each.python_cpu_s / row.count * US_PER_S,
        "self": [asdict(cost) for cost in stacks.self_costs(each.samples, TOP)],
        "cumulative": [asdict(cost) for cost in stacks.cumulative_costs(each.samples, TOP)],
        "packages": [asdict(cost) for cost in stacks.package_costs(each.samples, PACKAGES)],
    }


def _show(result: Mapping[str, Any], terminal: rich.console.Console) -> None:
    by_cost = sorted(result["processes"], key=lambda process: -process["cpu_us"])
    terminal.print(_overview(result, by_cost))
    for process in by_cost:
        if process["cpu_us"] >= SMALL_US and process["samples"]:
            _show_process(process, terminal)
    terminal.print(_all_packages(by_cost))


def _overview(result: Mapping[str, Any], by_cost: Sequence[Mapping[str, Any]]) -> Table:
    load_figures = result["load"]
    table = Table(
        "process", "µs a message", "of them in Python's threads", "samples with the lock",
        title=f"{result['row']['what']}, while being sampled: {load_figures['rate']:,.0f}/s, "
        f"{result['row']['count']:,} messages at {result['machine']['commit']}",
    )  # fmt: skip
    for process in by_cost:
        table.add_row(
            process["name"], f"{process['cpu_us']:,.0f}", f"{process['python_cpu_us']:,.0f}", f"{process['samples']:,}"
        )
    return table


def _show_process(process: Mapping[str, Any], terminal: rich.console.Console) -> None:
    for how, title in (("self", "at work themselves"), ("cumulative", "with what they called")):
        table = Table("share", "µs a message", "whose", "function", title=f"{process['name']}: functions {title}")
        for cost in (Cost(**each) for each in process[how]):
            whose = "ours" if cost.is_ours else "library"
            table.add_row(f"{cost.share:.1%}", f"{cost.share * process['python_cpu_us']:,.1f}", whose, cost.what)
        terminal.print(table)


def _all_packages(by_cost: Sequence[Mapping[str, Any]]) -> Table:
    """Where the time of all processes together goes, by package."""
    spent: Counter[str] = Counter()
    for process in by_cost:
        for cost in process["packages"]:
            spent[cost["what"]] += cost["share"] * process["python_cpu_us"]
        spent["(threads that run no Python: Ray's own)"] += process["cpu_us"] - process["python_cpu_us"]
    table = Table("package", "µs a message", title="All of these processes, by the package at work")
    for package, spent_us in spent.most_common():
        if spent_us >= 1:
            table.add_row(package, f"{spent_us:,.0f}")
    return table
