"""`trunkline restart`."""

from __future__ import annotations

import time
from typing import Any

import typer

from trunkline.cli.api import CommandFailed, Router, router
from trunkline.cli.output import Json, print_json

LOOK_EVERY_S = 0.5
# What answers our questions is restarted too.
SILENT_FOR_S = 60.0


def restart(context: typer.Context, as_json: Json = False) -> None:
    """Restart every actor and replica in turn, under load and without loss; exit code 1 if a step fails."""
    api = router(context)
    shown: set[str] = set()
    progress = api.call("POST", "/restart")
    _tell(progress, shown)
    while progress["state"] == "running":
        time.sleep(LOOK_EVERY_S)
        progress = _ask(api)
        _tell(progress, shown)
    if as_json:
        print_json(progress)
    if progress["state"] != "done":
        raise CommandFailed(progress["error"] or "the restart was forgotten: Ray itself was restarted meanwhile")


def _ask(api: Router) -> dict[str, Any]:
    deadline = time.monotonic() + SILENT_FOR_S
    while True:
        try:
            found: dict[str, Any] = api.call("GET", "/restart")
            return found
        except CommandFailed:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOK_EVERY_S)


def _tell(progress: dict[str, Any], shown: set[str]) -> None:
    """Each step once it has ended; on stderr, so that stdout has the answer only."""
    count = len(progress["steps"])
    for number, step in enumerate(progress["steps"], start=1):
        if step["state"] in ("done", "failed") and step["name"] not in shown:
            shown.add(step["name"])
            typer.echo(f"[{number}/{count}] {step['name']}  {step['state']}  {step['seconds']:.1f} s", err=True)
