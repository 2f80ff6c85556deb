"""`scripts/bench --admin`: the platform started, its database filled, the admin API asked, the table written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich.console
from rich.table import Table

from scripts.benchmark import admin, machine, report
from scripts.benchmark.history import Past, make_past
from scripts.benchmark.options import Options
from scripts.benchmark.stage import platform_stage
from scripts.launcher.console import complain
from trunkline.stores.database import open_pool
from trunkline.stores.sealing import Sealer

TENANTS = 1_000
MESSAGES = 100_000
PLACE = ("<!-- admin: written by scripts/bench --admin --write-docs -->", "<!-- end of the admin API -->")
TITLES = ("route", "p50, ms", "p95, ms", "slowest, ms")


def measure(options: Options, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of every question, with what they were measured on."""
    found = machine.describe()
    platform = platform_stage(folder)
    try:
        say("platform: starting")
        platform.start()
        versions = machine.versions(platform.environment)
        say(f"filling the database: {MESSAGES:,} messages of {TENANTS:,} tenants")
        past = asyncio.run(_fill(platform.environment))
        key = platform.environment["ADMIN_API_KEY"]
        figures = admin.measure(platform.urls["router"], key, past, options.asked, say)
    finally:
        platform.remove()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": found,
        "versions": versions,
        "options": {"tenants": TENANTS, "messages": MESSAGES, "asked": options.asked},
        "routes": [asdict(each) for each in figures],
    }


def publish(result: dict[str, Any], options: Options) -> int:
    """Print and keep the result; 1 where a route is slower than it may be."""
    terminal = rich.console.Console()
    table = Table(*TITLES, title="The admin API over a long past")
    for row in _rows(result):
        table.add_row(*row)
    terminal.print(table)
    report.keep(result, PLACE, markdown, options, terminal)
    slow = admin.slow([admin.Figures(**each) for each in result["routes"]])
    for each in slow:
        complain(f"{each.route} {each.how} takes {each.p95_ms:.0f} ms at p95, over {admin.LONGEST_MS:g} ms")
    return 1 if slow else 0


def markdown(result: dict[str, Any]) -> str:
    """The result as it stands in the documentation."""
    where, options = result["machine"], result["options"]
    return "\n".join(
        [
            f"Measured {result['at'][:16].replace('T', ' ')} UTC at `{where['commit']}` on {where['cores']} cores of "
            f"{where['cpu']}, PostgreSQL {result['versions']['PostgreSQL']}: {options['messages']:,} messages of "
            f"{options['tenants']:,} tenants, each route asked {options['asked']} times, one request after the other.",
            "",
            *report.markdown_table(TITLES, _rows(result)),
        ]
    )


async def _fill(environment: dict[str, str]) -> Past:
    async with open_pool(environment["DATABASE_URL"], min_size=1, max_size=2) as pool:
        sealer = Sealer(environment["CREDENTIALS_KEYS"].split(","))
        return await make_past(pool, sealer, tenants=TENANTS, messages=MESSAGES)


def _rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"{each['route']}{', ' if each['how'] else ''}{each['how']}",
            *(f"{each[name]:.1f}" for name in ("p50_ms", "p95_ms", "worst_ms")),
        )
        for each in result["routes"]
    ]
