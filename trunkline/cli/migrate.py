"""`trunkline migrate …`."""

from __future__ import annotations

from typing import Annotated

import typer

from config.settings import load_settings
from trunkline.cli.local import database_url
from trunkline.cli.local_audit import note_locally
from trunkline.cli.output import Json, Yes, confirm, print_json, print_table
from trunkline.stores import migrations

app = typer.Typer(no_args_is_help=True, help="Bring the database to this version, or back.")


@app.command("up")
def migrate_up(as_json: Json = False) -> None:
    """Apply every migration that is pending."""
    url = database_url(load_settings())
    done = migrations.migrate_up(url, on_done=None if as_json else _say("applied"))
    _note(url, "migrations.applied", done)
    _finish(done, "applied", "nothing to do: the database is up to date", as_json)


@app.command("down")
def migrate_down(
    count: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 1,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Roll migrations back; what their tables held is lost."""
    url = database_url(load_settings())
    applied = [name for name, is_applied in migrations.status(url) if is_applied]
    if applied:
        confirm(f"Roll back {', '.join(applied[-count:][::-1])}? What their tables hold is lost.", yes)
    done = migrations.migrate_down(url, count, on_done=None if as_json else _say("rolled back"))
    _note(url, "migrations.rolled_back", done)
    _finish(done, "rolledBack", "nothing to do: no migration is applied", as_json)


@app.command("status")
def show_status(as_json: Json = False) -> None:
    """List the migrations; exit code 1 when one is pending."""
    found = migrations.status(database_url(load_settings()))
    rows = [{"migration": name, "applied": applied} for name, applied in found]
    print_json(rows) if as_json else print_table(rows, ("migration", "applied"))
    if not all(row["applied"] for row in rows):
        raise typer.Exit(1)


def _note(url: str, action: str, done: list[str]) -> None:
    if done:
        note_locally(url, action, ", ".join(done))


def _say(what: str) -> migrations.OnDone:
    return lambda name: typer.echo(f"{name} {what}")


def _finish(done: list[str], field: str, nothing: str, as_json: bool) -> None:
    if as_json:
        print_json({field: done})
    elif not done:
        typer.echo(nothing)
