"""`trunkline status`."""

from __future__ import annotations

import typer

from trunkline.cli import overview
from trunkline.cli.api import router
from trunkline.cli.output import Json, print_json, print_table


def status(context: typer.Context, as_json: Json = False) -> None:
    """Show components, pools, actors, queues with something in them and tenants in trouble.

    Exit code 1 unless every component is healthy.
    """
    seen = overview.take(router(context))
    if as_json:
        print_json(seen.as_json())
    else:
        for _, rows, columns in seen.tables():
            if rows:
                print_table(rows, columns)
                typer.echo()
        for name, reason in seen.missing.items():
            typer.echo(f"{name} cannot be told: {reason}")
        typer.echo(f"{seen.health['status']} at {seen.health['timestamp']}")
    if seen.health["status"] != "healthy":
        raise typer.Exit(1)
