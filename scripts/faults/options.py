"""What was asked for on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DESCRIPTION = """\
Breaks things under the running platform, one after the other, and checks that no message is lost, doubled or reordered.
"""
EPILOG = """\
The platform is started as scripts/run does it, with real PostgreSQL, RabbitMQ, Redis and Ray and simulated clouds, in
temporary folders and on free loopback ports. The stores are reached through proxies, so that they can be stopped,
killed and cut off. Each scenario breaks something while messages go both ways, and then accounts for every message:

  accepted = delivered + dead + waiting + lost   a webhook answered 200 is accepted
  doubled                                        sent twice although the platform could have known
  unknown                                        sent twice after an unknown outcome, as its trace says
  reordered                                      sent after a later message of its customer
  recovery                                       the longest silence after the fault's end
  calls                                          what the failing side was asked meanwhile

All of it takes about 25 minutes. Ctrl-C stops everything and leaves nothing. Exit status: 0 if everything holds, 1 if
something does not, 2 for a wrong command line, 130 when interrupted.

examples:
  scripts/chaos                              every scenario
  scripts/chaos --list                       what there is
  scripts/chaos --only broker-stopped        one; may be given several times, or as a beginning: --only kill
  scripts/chaos --short                      the sizes that the tests use, about 5 minutes
  scripts/chaos --json result.json --seed 7  with the result for programs
"""


@dataclass(frozen=True)
class Options:
    """Which scenarios, how large, and where the result goes."""

    only: tuple[str, ...] = ()
    listing: bool = False
    short: bool = False
    seed: int = 0
    json_file: Path | None = None


def parse(arguments: list[str], names: Sequence[str]) -> Options:
    """The options; exits with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only scenarios that begin so")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--short", action="store_true", help="smaller sizes and shorter faults")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is left to chance (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    given = parser.parse_args(arguments)
    for wanted in given.only:
        if not any(name.startswith(wanted) for name in names):
            parser.error(f"no scenario begins with {wanted!r}; scripts/chaos --list names them")
    return Options(tuple(given.only), given.list, given.short, given.seed, given.json)
