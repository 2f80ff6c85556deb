"""`trunkline top`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from trunkline.cli import overview
from trunkline.cli.api import CommandFailed, Router, router
from trunkline.cli.output import Json, print_json


def top(
    context: typer.Context,
    interval: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look once and end; so it is where there is no terminal.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep on the screen how everything is, until Ctrl-C: components, pools, actors, queues, tenants in trouble."""
    api = router(context)
    if as_json:
        print_json(overview.take(api).as_json())
        return
    console = Console()
    if once or not sys.stdout.isatty():
        console.print(_screen(api))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_look(api), refresh=True)
            time.sleep(interval)


def _look(api: Router) -> Group:
    """The screen, or why there is none: what is looked at may be starting anew."""
    try:
        return _screen(api)
    except CommandFailed as error:
        return Group(Text(error.text, style="red"))


def _screen(api: Router) -> Group:
    seen = overview.take(api)
    parts: list[object] = [Text(f"{seen.health['status']} at {seen.health['timestamp']}")]
    parts += [Group(Text(), table) for table in seen.fitted()]
    parts += [Text(f"{name} cannot be told: {reason}") for name, reason in seen.missing.items()]
    return Group(*parts)  # type: ignore[arg-type]
