"""What was asked for on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DESCRIPTION = """\
Measures the platform end to end, against the same work done by one plain asyncio process without Ray.
"""
EPILOG = """\
Each round starts the platform as scripts/run does (private durable stores, the sandbox as both clouds), in a temporary
folder, and sends signed webhooks from a process of its own: inbound flat out, inbound at 50 and at 100 messages a
second, outbound flat out. Then it does the same, inbound only, to the yardstick. The figures are medians over the
rounds, and sums of what was lost, doubled, reordered or refused.

All of it happens on this machine, on loopback: clouds, stores, load and platform share its cores. Other work on it
shows in the figures. Three rounds take about six minutes. Ctrl-C stops everything and leaves nothing.

With --admin the platform's database is filled with the past of years and the admin API is asked, one request after the
other: a first answer from a browser's point of view. It fails where a route's p95 is over 100 ms.

With --profile the platform alone is run once, and py-spy samples each of our processes while messages come in flat out.
What costs most is printed for each process: functions at work themselves, and with what they called, ours and those of
libraries. Stacks and flame graphs are in bench-results/. Being sampled costs time: take shares from it, not rates.

The result is printed, and kept as JSON in bench-results/. Exit status: 0 if nothing was lost, doubled, reordered or
refused (with --admin: slow), 1 otherwise, 2 for a wrong command line, 130 when interrupted.
"""

MESSAGES = 4_000
PROFILED_MESSAGES = 12_000


@dataclass(frozen=True)
class Options:
    """The size of the measurement, and where its result goes."""

    rounds: int = 3
    messages: int = MESSAGES
    customers: int = 200
    tenants: int = 5
    connections: int = 64
    pace_s: float = 10.0
    admin: bool = False
    asked: int = 300
    profile: bool = False
    json_file: Path | None = None
    write_docs: bool = False


def parse(arguments: list[str]) -> Options:
    """The options; exits with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=_whole(1, 9), default=3, metavar="N", help="rounds (default 3, at most 9)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short round: at most 1,500 messages flat out, 4 s at each rate; a first look, not a result",
    )
    parser.add_argument(
        "--messages",
        type=_whole(100, 50_000),
        metavar="N",
        help=f"messages flat out (default {MESSAGES}, with --profile {PROFILED_MESSAGES})",
    )
    parser.add_argument(
        "--customers", type=_whole(1, 5_000), default=200, metavar="N", help="customers who write them (default 200)"
    )
    parser.add_argument(
        "--tenants", type=_whole(1, 50), default=5, metavar="N", help="tenants they write to (default 5)"
    )
    parser.add_argument(
        "--connections", type=_whole(1, 256), default=64, metavar="N", help="connections of the load (default 64)"
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
        help="sample our processes while messages come in flat out, and tell which functions cost most",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the result into docs/performance.md, between its markers"
    )
    given = parser.parse_args(arguments)
    messages = given.messages or (PROFILED_MESSAGES if given.profile else MESSAGES)
    return Options(
        rounds=1 if given.quick else given.rounds,
        messages=min(messages, 1500) if given.quick else messages,
        customers=given.customers,
        tenants=given.tenants,
        connections=given.connections,
        pace_s=4.0 if given.quick else 10.0,
        admin=given.admin,
        asked=min(given.asked, 50) if given.quick else given.asked,
        profile=given.profile,
        json_file=given.json,
        write_docs=given.write_docs,
    )


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
