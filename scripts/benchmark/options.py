"""What was asked for on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import rows
from scripts.benchmark.rows import Row, Sizes

DESCRIPTION = """\
Measures the platform end to end, against the same work done by one plain asyncio process without Ray.
"""
EPILOG = """\
Each round starts the platform as scripts/run does (private durable stores, the sandbox as both clouds), in a temporary
folder, and sends signed webhooks from a process of its own, row after row. Then it does the same, where the row is one
that it can serve, to the yardstick. The figures are medians over the rounds, and sums of what was lost, doubled,
reordered or refused.

rows, by group:
{rows}
Without --rows and --all: {usual}.

All of it happens on this machine, on loopback: clouds, stores, load and platform share its cores. Other work on it
shows in the figures. Three rounds of the usual rows take about ten minutes, of all rows more than an hour. Ctrl-C stops
everything and leaves nothing.

With --admin the platform's database is filled with the past of years and the admin API is asked, one request after the
other: a first answer from a browser's point of view. It fails where a route's p95 is over 100 ms.

With --profile the platform alone is run once, and py-spy samples each of our processes during one row, flat out unless
--rows names another. What costs most is printed for each process: functions at work themselves, and with what they
called, ours and those of libraries. Stacks and flame graphs are in bench-results/. Being sampled costs time: take
shares from it, not rates. It needs the right to look into other processes: root, or kernel.yama.ptrace_scope = 0.

The result is printed, and kept as JSON and pictures in bench-results/. Exit status: 0 if nothing was lost, doubled,
reordered or refused (with --admin: slow) and every guarantee was on, 1 otherwise, 2 for a wrong command line, 130 when
interrupted. A target that is not reached is no failure.
"""
MESSAGES = 4_000
PROFILED_MESSAGES = 12_000
QUICK_MESSAGES = 1_500
BACKLOG = 50_000
QUICK_BACKLOG = 5_000
PACE_S = 10.0
QUICK_PACE_S = 4.0


@dataclass(frozen=True)
class Options:
    """The size of the measurement, and where its result goes; `counts` says whether calls and commits are counted."""

    rows: tuple[Row, ...]
    rounds: int = 3
    messages: int = MESSAGES
    pace_s: float = PACE_S
    backlog: int = BACKLOG
    counts: bool = True
    admin: bool = False
    asked: int = 300
    profile: bool = False
    json_file: Path | None = None
    write_docs: bool = False


def parse(arguments: list[str]) -> Options:
    """The options; exits with a message where they are wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    messages = given.messages or (PROFILED_MESSAGES if given.profile else MESSAGES)
    sizes = Sizes(
        min(messages, QUICK_MESSAGES) if given.quick else messages,
        QUICK_PACE_S if given.quick else PACE_S,
        min(given.backlog, QUICK_BACKLOG) if given.quick else given.backlog,
    )
    wanted = tuple(rows.every_row(sizes)) if given.all else given.rows or (["flat"] if given.profile else rows.USUAL)
    chosen = rows.select(wanted, sizes)
    if given.profile and (len(chosen) != 1 or chosen[0].held):
        parser.error("--profile takes one row, and none in which the pools are held")
    return Options(
        rows=chosen,
        rounds=1 if given.quick or given.profile else given.rounds,
        messages=sizes.messages,
        pace_s=sizes.pace_s,
        backlog=sizes.backlog,
        counts=not given.quick and not given.profile,
        admin=given.admin,
        asked=min(given.asked, 50) if given.quick else given.asked,
        profile=given.profile,
        json_file=given.json,
        write_docs=given.write_docs,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=DESCRIPTION,
        epilog=EPILOG.format(rows=_described_rows(), usual=", ".join(rows.USUAL)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--rows", type=_row_names, metavar="NAME,…", help="the rows and groups of rows to measure, between commas"
    )
    which.add_argument("--all", action="store_true", help="measure every row")
    parser.add_argument("--rounds", type=_whole(1, 9), default=3, metavar="N", help="rounds (default 3, at most 9)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"one short round: at most {QUICK_MESSAGES:,} messages flat out and {QUICK_BACKLOG:,} waiting, "
        f"{QUICK_PACE_S:g} s at each rate, no calls counted; a first look, not a result",
    )
    parser.add_argument(
        "--messages",
        type=_whole(100, 50_000),
        metavar="N",
        help=f"messages flat out (default {MESSAGES:,}, with --profile {PROFILED_MESSAGES:,})",
    )
    parser.add_argument(
        "--backlog",
        type=_whole(1_000, 100_000),
        default=BACKLOG,
        metavar="N",
        help=f"messages that wait, to be drained (default {BACKLOG:,})",
    )
    parser.add_argument(
        "--admin",
        action="store_true",
        help="measure the admin API instead: every route that reads, over 100,000 messages of 1,000 tenants",
    )
    parser.add_argument(
        "--asked", type=_whole(20, 5_000), default=300, metavar="N", help="how often each is asked (default 300)"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="sample our processes instead, and tell which functions cost most",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the result into docs/performance.md, between its markers"
    )
    return parser


def _described_rows() -> str:
    groups = rows.every_row(Sizes(MESSAGES, PACE_S, BACKLOG))
    return "".join(
        f"  {group}\n" + "".join(f"    {row.name:<14}{row.what}\n" for row in members)
        for group, members in groups.items()
    )


def _row_names(text: str) -> list[str]:
    known = set(rows.names(Sizes(MESSAGES, PACE_S, BACKLOG)))
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no row {name!r}: see --help")
    if not wanted:
        raise argparse.ArgumentTypeError("no row is named")
    return wanted


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
        return number

    return whole
