"""`trunkline apps …`."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli.api import router
from trunkline.cli.output import Json, print_fields, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Further Meta apps; the default one is in the settings.")

AppName = Annotated[str, typer.Argument(metavar="APP", help="Its name, as in /webhook/whatsapp/APP.")]


@app.command("list")
def list_apps(context: typer.Context, as_json: Json = False) -> None:
    """List the further Meta apps, secrets masked."""
    rows = router(context).call("GET", "/meta-apps")["metaApps"]
    print_json(rows) if as_json else print_table(rows, ("app", "appSecret", "verifyToken"))


@app.command("create")
def create_app(
    context: typer.Context,
    name: AppName,
    app_secret: Annotated[str, typer.Option(prompt=True, hide_input=True, help="Asked for when left out.")],
    verify_token: Annotated[str, typer.Option(prompt=True, hide_input=True, help="Asked for when left out.")],
    as_json: Json = False,
) -> None:
    """Add a Meta app; both secrets may be two, separated by a comma, while one replaces the other."""
    body = {"app": name, "appSecret": app_secret, "verifyToken": verify_token}
    made = router(context).call("POST", "/meta-apps", body=body)
    print_json(made) if as_json else print_fields(made)


@app.command("delete")
def delete_app(context: typer.Context, name: AppName, as_json: Json = False) -> None:
    """Remove a Meta app that no tenant's number belongs to."""
    router(context).call("DELETE", f"/meta-apps/{name}")
    print_json({"app": name, "deleted": True}) if as_json else typer.echo(f"{name} is deleted")
