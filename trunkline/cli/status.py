"""`trunkline status`."""

from __future__ import annotations

import typer

from trunkline.cli.api import router
from trunkline.cli.output import Json, print_json, print_table

COLUMNS = ("component", "status", "latencyMs", "reason")


def status(context: typer.Context, as_json: Json = False) -> None:
    """Show how the platform is; exit code 1 unless all is well."""
    health = router(context).call("GET", "/health", also=(503,))
    if as_json:
        print_json(health)
    else:
        print_table([{"component": name, **part} for name, part in health["components"].items()], COLUMNS)
        typer.echo(f"{health['status']} at {health['timestamp']}")
    if health["status"] != "healthy":
        raise typer.Exit(1)
