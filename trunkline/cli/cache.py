"""`trunkline cache …`."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli.api import router
from trunkline.cli.output import Json, print_json

app = typer.Typer(no_args_is_help=True, help="What Redis keeps of a tenant.")


@app.callback()
def cache() -> None:
    """A group, though it has one command so far."""


@app.command("clear")
def clear_cache(
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="ID", help="The tenant that is meant.")],
    pattern: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Only these keys: oauth:*, mapping:wa:*, or a key's whole name."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Delete what is cached of a tenant, its Genesys token too; all of it is found or fetched again."""
    cleared = router(context).call("POST", "/cache/clear", tenant=tenant, body={"pattern": pattern} if pattern else {})
    print_json(cleared) if as_json else typer.echo(f"{cleared['cleared']} keys were deleted")
