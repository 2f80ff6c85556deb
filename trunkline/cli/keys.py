"""`trunkline keys …`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from config.settings import load_settings
from trunkline.cli.api import CommandFailed, Tenant, first_keys, keys_file, router
from trunkline.cli.output import Json, print_fields, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys of the admin API.")

COLUMNS = ("keyId", "name", "role", "tenantId", "createdAt", "expiresAt", "lastUsedAt")


class StaffRole(StrEnum):
    """Roles that belong to no tenant."""

    ADMIN = "admin"
    OPERATOR = "operator"


@app.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")],
    tenant: Tenant = None,
    role: Annotated[StaffRole | None, typer.Option("--role", help="Instead of --tenant: a key for staff.")] = None,
    expires: Annotated[datetime | None, typer.Option("--expires", help="When it stops working, in UTC.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key; it is shown this once."""
    if (tenant is None) == (role is None):
        raise typer.BadParameter("give either --tenant or --role")
    body = {"name": name, **({"expiresAt": expires.replace(tzinfo=UTC).isoformat()} if expires else {})}
    if role is not None:
        made = router(context).call("POST", "/api-keys", body={**body, "role": role.value})
    else:
        made = router(context).call("POST", f"/tenants/{tenant}/api-keys", tenant=tenant, body=body)
    print_json(made) if as_json else print_fields(made)


@app.command("list")
def list_keys(context: typer.Context, tenant: Tenant = None, as_json: Json = False) -> None:
    """List a tenant's keys, or without --tenant those of admins and operators."""
    path = f"/tenants/{tenant}/api-keys" if tenant else "/api-keys"
    rows = router(context).call("GET", path, tenant=tenant)["apiKeys"]
    print_json(rows) if as_json else print_table(rows, COLUMNS)


@app.command("revoke")
def revoke_key(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Revoke a key; it opens nothing a second later."""
    path = f"/tenants/{tenant}/api-keys/{key_id}" if tenant else f"/api-keys/{key_id}"
    router(context).call("DELETE", path, tenant=tenant)
    print_json({"keyId": key_id, "revoked": True}) if as_json else typer.echo(f"{key_id} is revoked")


@app.command("first")
def show_first_keys(as_json: Json = False) -> None:
    """Show the keys that the first run made."""
    settings = load_settings()
    keys = first_keys(settings)
    if not keys:
        raise CommandFailed(f"there is no {keys_file(settings)}: the keys were given, or nothing ran here yet")
    if as_json:
        print_json(keys)
    else:
        for name, value in keys.items():
            typer.echo(f"{name}={value}")
