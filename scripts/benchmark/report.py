"""The result for people: tables on the terminal, the same in docs/performance.md; and for programs, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmark.figures import over_rounds
from scripts.benchmark.options import Options
from scripts.benchmark.processes import SANDBOX
from scripts.benchmark.rounds import PACES
from scripts.launcher.service import ROOT

RESULTS = ROOT / "bench-results"
PAGE = ROOT / "docs" / "performance.md"
# Where a result stands on the page: between these lines.
MEASURED = ("<!-- measured: written by scripts/bench --write-docs -->", "<!-- end of what is measured -->")
STAGES = ("platform", "yardstick")
# Parts of the measurement, not of what is measured.
ASIDE = (SANDBOX, "load driver")
FAULTS = ("lost", "doubled", "reordered", "refused")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table; `ratio` is the platform's figure to the yardstick's."""

    what: str
    platform: str
    yardstick: str
    ratio: str = ""


def summarise(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One figure out of those of all rounds, for each stage, and both in proportion."""
    medians = over_rounds(rounds)
    ours, theirs = (medians[stage] for stage in STAGES)
    for stage in STAGES:
        medians[stage]["cpu_us_per_message"] = _sum(medians[stage]["inbound"]["cpu_us"])
        medians[stage]["memory_mib_sum"] = _sum(medians[stage]["memory_mib"])
    medians["ratios"] = {
        "inbound_rate": _ratio(ours["inbound"]["rate"], theirs["inbound"]["rate"]),
        "accept_rate": _ratio(ours["inbound"]["accept_rate"], theirs["inbound"]["accept_rate"]),
        "cpu_us_per_message": _ratio(ours["cpu_us_per_message"], theirs["cpu_us_per_message"]),
        **{f"p99_at_{rate}": _ratio(*(_at(each, rate)["p99_ms"] for each in (ours, theirs))) for rate in PACES},
    }
    return medians


def faults(medians: dict[str, Any]) -> int:
    """How many messages were lost, doubled, reordered or refused, in all loads of all rounds."""
    return sum(load[name] for stage in STAGES for load in _loads(medians[stage]) for name in FAULTS)


def rows(medians: dict[str, Any]) -> list[Row]:
    """The table of what a user of the platform feels."""
    ours, theirs, ratios = medians["platform"], medians["yardstick"], medians["ratios"]

    def row(what: str, shown: Any, ratio: float | None = None) -> Row:
        return Row(what, shown(ours), shown(theirs), "" if ratio is None else f"{ratio:.2f}")

    return [
        row("inbound flat out, end to end", lambda s: f"{s['inbound']['rate']:,.0f}/s", ratios["inbound_rate"]),
        row("accepted meanwhile", lambda s: f"{s['inbound']['accept_rate']:,.0f}/s", ratios["accept_rate"]),
        row(
            "answer to a webhook meanwhile, p50 / p99", lambda s: _pair(s["inbound"], "accept_p50_ms", "accept_p99_ms")
        ),
        *(
            row(
                f"end to end at {rate}/s, p50 / p99 / p99.9",
                lambda s, rate=rate: _pair(_at(s, rate), "p50_ms", "p99_ms", "p999_ms"),
                ratios[f"p99_at_{rate}"],
            )
            for rate in PACES
        ),
        Row("outbound flat out, end to end", f"{ours['outbound']['rate']:,.0f}/s", "", ""),
        row("CPU for an inbound message", lambda s: f"{s['cpu_us_per_message']:,.0f} µs", ratios["cpu_us_per_message"]),
        Row("CPU for an outbound message", f"{_sum(ours['outbound']['cpu_us']):,.0f} µs", "", ""),
        row("idle, share of one core", lambda s: f"{s['idle_core_share']:.0%}"),
        row("memory (PSS)", lambda s: f"{s['memory_mib_sum']:,.0f} MiB"),
        row("lost / doubled / reordered / refused", lambda s: " / ".join(str(_total(s, name)) for name in FAULTS)),
        row("messages sent", lambda s: f"{_total(s, 'sent'):,}"),
        row("sandbox, share of one core flat out", lambda s: f"{s['inbound']['sandbox_core_share']:.0%}"),
    ]


def part_rows(medians: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Part, µs of CPU for an inbound and for an outbound message, MiB; the same CPU of the yardstick's part."""
    ours, theirs = medians["platform"], medians["yardstick"]
    costs, back = ours["inbound"]["cpu_us"], ours["outbound"]["cpu_us"]
    measured, other = ours["memory_mib"], theirs["inbound"]["cpu_us"]
    names = sorted({*costs, *other}, key=lambda name: (name in ASIDE, -costs.get(name, 0.0)))
    return [
        (name, *(f"{each[name]:,.0f}" if name in each else "" for each in (costs, back, measured, other)))
        for name in names
    ]


PART_TITLES = ("part", "inbound, µs", "outbound, µs", "memory, MiB", "yardstick, µs")


def show(medians: dict[str, Any], console: Console) -> None:
    """Print both tables."""
    table = Table("", "platform", "yardstick", "ratio", title="The platform beside one plain process")
    for line in rows(medians):
        table.add_row(line.what, line.platform, line.yardstick, line.ratio)
    console.print(table)
    parts = Table(*PART_TITLES, title="CPU for a message and memory, by part")
    for part in part_rows(medians):
        parts.add_row(*part)
    console.print(parts)


def write_json(result: dict[str, Any], *files: Path) -> None:
    """Write the result to each of the files."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def markdown(result: dict[str, Any]) -> str:
    """The result as it stands in the documentation."""
    machine, options, medians = result["machine"], result["options"], result["medians"]
    names = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    head = ("", "platform", "yardstick", "ratio")
    body = [(line.what, line.platform, line.yardstick, line.ratio) for line in rows(medians)]
    rounds = "median of one round" if options["rounds"] == 1 else f"medians of {options['rounds']} rounds"
    return "\n".join(
        [
            f"Measured {result['at'][:16].replace('T', ' ')} UTC at `{machine['commit']}`: {rounds}, "
            f"{options['messages']:,} messages of {options['customers']} customers of {options['tenants']} tenants "
            f"flat out over {options['connections']} connections, {options['pace_s']:g} s at each rate.",
            "",
            f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']:g} GiB, {machine['system']}; "
            f"load before the start {machine['load_before']}. {names}.",
            "",
            *markdown_table(head, body),
            "",
            *markdown_table(PART_TITLES, part_rows(medians)),
        ]
    )


def keep(
    result: dict[str, Any],
    place: tuple[str, str],
    as_markdown: Callable[[dict[str, Any]], str],
    options: Options,
    terminal: Console,
) -> None:
    """Write the result where it was asked for, and say so."""
    kept = RESULTS / f"{result['at'][:19].replace(':', '').replace('T', '-')}.json"
    files = [kept, *([options.json_file] if options.json_file else [])]
    write_json(result, *files)
    terminal.print(f"written to {', '.join(os.path.relpath(file) for file in files)}")
    if options.write_docs:
        write_docs(as_markdown(result), PAGE, place)
        terminal.print(f"written to {os.path.relpath(PAGE)}")


def write_docs(text: str, page: Path, place: tuple[str, str] = MEASURED) -> None:
    """Put the text between the page's markers; ValueError where it has none."""
    before, begin, rest = page.read_text().partition(place[0])
    _, end, after = rest.partition(place[1])
    if not begin or not end:
        raise ValueError(f"{page} has no place for it: the lines\n{place[0]}\n{place[1]}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *body)]


def _loads(stage: dict[str, Any]) -> list[dict[str, Any]]:
    return [value for value in stage.values() if isinstance(value, dict) and "sent" in value]


def _total(stage: dict[str, Any], name: str) -> int:
    return sum(load[name] for load in _loads(stage))


def _sum(parts: dict[str, float]) -> float:
    return sum(value for name, value in parts.items() if name not in ASIDE)


def _at(stage: dict[str, Any], rate: int) -> dict[str, Any]:
    load: dict[str, Any] = stage[f"inbound_at_{rate}"]
    return load


def _pair(load: dict[str, Any], *names: str) -> str:
    return " / ".join(f"{load[name]:.1f}" for name in names) + " ms"


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else 0.0
