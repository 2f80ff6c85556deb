"""`trunkline`: the operator's command line. Exit code 0 means it holds, 1 it does not, 2 that it was called wrongly."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from trunkline.cli import (
    apps,
    audit,
    backup,
    cache,
    dead_letters,
    doctor,
    keys,
    logs,
    messages,
    migrate,
    people,
    pools,
    queues,
    restart,
    restore,
    secrets,
    send,
    status,
    tenants,
    top,
)
from trunkline.cli.api import CommandFailed, Place
from trunkline.cli.output import print_json
from trunkline.errors import TrunklineError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Runs Trunkline from the command line. Every verb has --help and --json.",
)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.command("top")(top.top)
app.command("send")(send.send)
app.command("restart")(restart.restart)
app.command("logs")(logs.logs)
app.command("trace")(messages.trace)
app.command("backup")(backup.backup)
app.command("restore")(restore.restore)
app.add_typer(messages.conversations, name="conversations")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(tenants.app, name="tenants")
app.add_typer(keys.app, name="keys")
app.add_typer(apps.app, name="apps")
app.add_typer(people.app, name="people")
app.add_typer(audit.app, name="audit")
app.add_typer(queues.app, name="queues")
app.add_typer(pools.app, name="pools")
app.add_typer(cache.app, name="cache")
app.add_typer(secrets.app, name="secrets")
app.add_typer(migrate.app, name="migrate")


@app.callback()
def place(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where the router is; default: PUBLIC_URL, or HOST and PORT."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Key of the admin API; default: ADMIN_API_KEY.")
    ] = None,
) -> None:
    """What holds for every verb."""
    context.obj = Place(url.rstrip("/") if url else None, key)


def main(arguments: list[str] | None = None) -> None:
    """The command line's entry point."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=given, prog_name="trunkline")
    except CommandFailed as error:
        _fail(error.text, error.body if "--json" in given else None)
    except TrunklineError as error:
        _fail(str(error), {"error": str(error)} if "--json" in given else None)


def _fail(text: str, body: dict[str, object] | None) -> None:
    if body is not None:
        print_json(body)
    typer.echo(f"error: {text}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
