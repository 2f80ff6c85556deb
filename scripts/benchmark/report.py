"""The result for people: tables on the terminal, the same in docs/performance.md; and for programs, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmark import targets
from scripts.benchmark.figures import over_rounds
from scripts.benchmark.options import Options
from scripts.benchmark.processes import ASIDE
from scripts.benchmark.targets import cpu_us
from scripts.launcher.service import ROOT

RESULTS = ROOT / "bench-results"
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
# Where a result stands on the page: between these lines.
MEASURED = ("<!-- measured: written by scripts/bench --write-docs -->", "<!-- end of what is measured -->")
STAGES = ("platform", "yardstick")
FAULTS = ("lost", "doubled", "reordered", "refused")
LATENCIES = ("p50_ms", "p99_ms", "p999_ms")
HELD = {True: "holds", False: "does not hold", None: "not measured"}


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table, as it is shown; the yardstick's figures last, and the platform's in proportion to them."""

    what: str
    rate: str
    accepted: str
    latency: str
    cpu: str
    memory: str
    calls: str
    commits: str
    yardstick_rate: str
    yardstick_latency: str
    yardstick_cpu: str
    ratio: str


TITLES = Line(
    "", "rate", "accepted", "p50 / p99 / p99.9, ms", "CPU, µs", "PSS, MiB", "calls: actors / clouds", "commits",
    "yardstick: rate", "p50 / p99 / p99.9, ms", "CPU, µs", "ratio",
)  # fmt: skip
TARGET_TITLES = ("target", "wanted", "measured", "")
FACT_TITLES = ("", "platform", "yardstick")


def summarise(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One figure out of those of all rounds, for each stage and row."""
    return over_rounds(rounds)


def faults(medians: Mapping[str, Any]) -> int:
    """How many messages were lost, doubled, reordered or refused, in all loads of all rounds."""
    return sum(_total(medians[stage], name) for stage in STAGES for name in FAULTS)


def lines(result: Mapping[str, Any]) -> list[Line]:
    """The table: a line for each row, in the order in which they were measured."""
    ours, theirs = (result["medians"][stage]["rows"] for stage in STAGES)
    return [_line(row, ours[row["name"]], theirs.get(row["name"])) for row in result["rows"]]


def part_table(result: Mapping[str, Any], figure: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and lines of the platform's `cpu_us` or `memory_mib` by part, the costly parts first, for each row."""
    ours = result["medians"]["platform"]["rows"]
    first = ours[result["rows"][0]["name"]][figure]
    parts = sorted({part for row in ours.values() for part in row[figure]}, key=lambda part: _place(part, first))
    return ("", *parts), [
        (row["what"], *(_number(ours[row["name"]][figure].get(part)) for part in parts)) for row in result["rows"]
    ]


def facts(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What concerns all rows, of both stages."""
    stages = [result["medians"][stage] for stage in STAGES]

    def fact(what: str, shown: Callable[[Mapping[str, Any]], str]) -> tuple[str, str, str]:
        return what, shown(stages[0]), shown(stages[1])

    return [
        fact(
            "lost / doubled / reordered / refused",
            lambda stage: " / ".join(str(_total(stage, name)) for name in FAULTS),
        ),
        fact("messages sent", lambda stage: f"{_total(stage, 'sent'):,}"),
        fact("idle, share of one core", lambda stage: f"{stage['idle_core_share']:.0%}"),
        fact("memory (PSS) after the first row, MiB", lambda stage: _number(_first_memory(stage))),
        fact(
            "sandbox, share of one core at most",
            lambda stage: f"{max((row['sandbox_core_share'] for row in stage['rows'].values()), default=0.0):.0%}",
        ),
    ]


def target_rows(result: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What is wanted, and whether it was reached."""
    checked = targets.check(result["medians"]["platform"]["rows"])
    return [(each.what, each.wanted, each.shown, HELD[each.holds]) for each in checked]


def guarantee(result: Mapping[str, Any]) -> str:
    """In a sentence, that nothing was switched off."""
    found = result["guarantees"]
    on = [name for name, value in found[0]["postgres"].items() if value == "on"]
    accepted, claimed, marked = (
        sum(each[name] for each in found) for name in ("accepted", "claimed_and_delivered", "marked_as_seen")
    )
    return (
        f"With every guarantee on: PostgreSQL waits for the disk ({', '.join(on)}), {found[0]['queues']} queues are "
        "durable, with publisher confirms, persistent messages and manual acknowledgements. Of "
        f"{accepted:,} messages that the platform accepted, warming up included, {claimed:,} were claimed in Postgres "
        f"before they were sent and delivered, {marked:,} are marked against repetition; "
        f"{sum(each['unknown_outcomes'] for each in found)} had an unknown outcome."
    )


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print all tables."""
    _print(console, "The platform beside one plain process", astuple(TITLES), [astuple(line) for line in lines(result)])
    _print(console, "CPU for a message by part, µs", *part_table(result, "cpu_us"))
    _print(console, "Memory (PSS) after each row by part, MiB", *part_table(result, "memory_mib"))
    _print(console, "All rows", FACT_TITLES, facts(result))
    _print(console, "Targets", TARGET_TITLES, target_rows(result))
    console.print(guarantee(result), highlight=False)


def markdown(result: Mapping[str, Any], pictures: Sequence[Path] = ()) -> str:
    """The result as it stands in the documentation."""
    machine, options = result["machine"], result["options"]
    names = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    rounds = "one round" if options["rounds"] == 1 else f"medians of {options['rounds']} rounds"
    return "\n".join(
        [
            f"Measured {result['at'][:16].replace('T', ' ')} UTC at `{machine['commit']}`: {rounds}, "
            f"{options['messages']:,} messages flat out, {options['pace_s']:g} s at each rate.",
            "",
            f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']:g} GiB, {machine['system']}; "
            f"load before the start {machine['load_before']}. {names}.",
            "",
            guarantee(result),
            "",
            *markdown_table(TARGET_TITLES, target_rows(result)),
            "",
            *markdown_table(astuple(TITLES), [astuple(line) for line in lines(result)]),
            "",
            *markdown_table(FACT_TITLES, facts(result)),
            "",
            "CPU for a message by part, µs:",
            "",
            *markdown_table(*part_table(result, "cpu_us")),
            "",
            "Memory (PSS) after each row by part, MiB:",
            "",
            *markdown_table(*part_table(result, "memory_mib")),
            *(line for picture in pictures for line in ("", f"![{_title(picture)}]({_below(picture)})")),
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
    files = [RESULTS / f"{stamp(result)}.json", *([options.json_file] if options.json_file else [])]
    write_json(result, *files)
    terminal.print(f"written to {', '.join(os.path.relpath(file) for file in files)}")
    if options.write_docs:
        write_docs(as_markdown(result), PAGE, place)
        terminal.print(f"written to {os.path.relpath(PAGE)}")


def stamp(result: Mapping[str, Any]) -> str:
    """The time of a result, as its files are named."""
    return str(result["at"])[:19].replace(":", "").replace("T", "-")


def write_json(result: dict[str, Any], *files: Path) -> None:
    """Write the result to each of the files."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def write_docs(text: str, page: Path, place: tuple[str, str] = MEASURED) -> None:
    """Put the text between the page's markers; ValueError where it has none."""
    before, begin, rest = page.read_text().partition(place[0])
    _, end, after = rest.partition(place[1])
    if not begin or not end:
        raise ValueError(f"{page} has no place for it: the lines\n{place[0]}\n{place[1]}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A table, its first column to the left and the others to the right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *body)]


def _line(row: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> Line:
    calls = [f"{ours[name]:.2f}" if name in ours else "" for name in ("actor_calls", "cloud_calls")]
    return Line(
        row["what"],
        _rate(ours["rate"]),
        "" if row["measures"] == "accept" else _rate(ours["accept_rate"]),
        _latency(ours),
        f"{cpu_us(ours):,.0f}",
        f"{_memory(ours):,.0f}",
        " / ".join(calls),
        f"{ours['commits']:.2f}" if "commits" in ours else "",
        *(("", "", "", "") if theirs is None else _beside(row, ours, theirs)),
    )


def _beside(row: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Flat out rates are compared, at a rate the 99th percentiles."""
    compared = "p99_ms" if row["rate"] else "rate"
    ratio = f"{ours[compared] / theirs[compared]:.2f}" if theirs[compared] else ""
    return _rate(theirs["rate"]), _latency(theirs), f"{cpu_us(theirs):,.0f}", ratio


def _rate(value: float) -> str:
    return f"{value:,.0f}/s"


def _latency(row: Mapping[str, Any]) -> str:
    return " / ".join(f"{row[name]:.1f}" for name in LATENCIES) if "p50_ms" in row else ""


def _memory(row: Mapping[str, Any]) -> float:
    return float(sum(value for part, value in row["memory_mib"].items() if part not in ASIDE))


def _first_memory(stage: Mapping[str, Any]) -> float | None:
    return next((_memory(row) for row in stage["rows"].values()), None)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _place(part: str, costs: Mapping[str, float]) -> tuple[bool, float, str]:
    return part in ASIDE, -costs.get(part, 0.0), part


def _total(stage: Mapping[str, Any], name: str) -> int:
    return sum(row[name] for row in stage["rows"].values())


def _title(picture: Path) -> str:
    return picture.stem.replace("-", " ").capitalize()


def _below(picture: Path) -> str:
    return os.path.relpath(picture, PAGE.parent)


def _print(console: Console, title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    table = Table(*head, title=title)
    for line in body:
        table.add_row(*line)
    console.print(table)
