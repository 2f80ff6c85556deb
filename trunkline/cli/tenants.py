"""`trunkline tenants …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from trunkline.cli.api import router
from trunkline.cli.output import Json, Yes, confirm, print_fields, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Make, look at and change tenants.")

COLUMNS = ("tenantId", "name", "status", "rateLimit", "dedicated", "createdAt")

TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="Read the fields from this JSON file, - for standard input; options win."),
]
NameOption = Annotated[str | None, typer.Option("--name")]
RateLimitOption = Annotated[int | None, typer.Option("--rate-limit", help="Requests to the admin API per minute.")]
DedicatedOption = Annotated[bool | None, typer.Option("--dedicated/--shared", help="An actor of its own, or a cell.")]
PhoneNumberIdOption = Annotated[str | None, typer.Option("--phone-number-id", help="WhatsApp phone number id.")]
WabaIdOption = Annotated[str | None, typer.Option("--waba-id", help="WhatsApp business account id.")]
DisplayOption = Annotated[str | None, typer.Option("--display-phone-number")]
TokenOption = Annotated[
    str | None, typer.Option("--access-token", help="WhatsApp access token; better in --file, where ps cannot see it.")
]
AppOption = Annotated[str | None, typer.Option("--app", help="Meta app that owns the number.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="Genesys Cloud region, e.g. mypurecloud.ie.")]
ClientIdOption = Annotated[str | None, typer.Option("--client-id", help="Genesys OAuth client id.")]
ClientSecretOption = Annotated[str | None, typer.Option("--client-secret", help="Better in --file.")]
IntegrationOption = Annotated[str | None, typer.Option("--integration-id", help="Open Messaging integration id.")]
WebhookSecretOption = Annotated[str | None, typer.Option("--webhook-secret", help="Better in --file.")]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("--setting", "-s", metavar="NAME=VALUE", help="e.g. whatsappMessagesPerSecond=100; null: default."),
]


@app.command("list")
def list_tenants(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    as_json: Json = False,
) -> None:
    """List the tenants."""
    rows = router(context).pages("/tenants", "tenants", limit)
    print_json(rows) if as_json else print_table(rows, COLUMNS)


@app.command("show")
def show_tenant(context: typer.Context, tenant: TenantId, as_json: Json = False) -> None:
    """Show a tenant."""
    _show(router(context).call("GET", f"/tenants/{tenant}", tenant=tenant), as_json)


@app.command("create")
def create_tenant(
    context: typer.Context,
    id: Annotated[str | None, typer.Option("--id", help="Generated when left out.")] = None,
    file: FileOption = None,
    name: NameOption = None,
    rate_limit: RateLimitOption = None,
    dedicated: DedicatedOption = None,
    phone_number_id: PhoneNumberIdOption = None,
    waba_id: WabaIdOption = None,
    display_phone_number: DisplayOption = None,
    access_token: TokenOption = None,
    app: AppOption = None,
    region: RegionOption = None,
    client_id: ClientIdOption = None,
    client_secret: ClientSecretOption = None,
    integration_id: IntegrationOption = None,
    webhook_secret: WebhookSecretOption = None,
    setting: SettingOption = None,
    as_json: Json = False,
) -> None:
    """Make a tenant; prints its first key, which is shown this once."""
    body = _body(
        file,
        {"tenantId": id, "name": name, "rateLimit": rate_limit, "dedicated": dedicated},
        _whatsapp(phone_number_id, waba_id, display_phone_number, access_token, app),
        _genesys(region, client_id, client_secret, integration_id, webhook_secret),
        setting,
    )
    _show(router(context).call("POST", "/tenants", body=body), as_json)


@app.command("update")
def update_tenant(
    context: typer.Context,
    tenant: TenantId,
    file: FileOption = None,
    name: NameOption = None,
    rate_limit: RateLimitOption = None,
    dedicated: DedicatedOption = None,
    phone_number_id: PhoneNumberIdOption = None,
    waba_id: WabaIdOption = None,
    display_phone_number: DisplayOption = None,
    access_token: TokenOption = None,
    app: AppOption = None,
    region: RegionOption = None,
    client_id: ClientIdOption = None,
    client_secret: ClientSecretOption = None,
    integration_id: IntegrationOption = None,
    webhook_secret: WebhookSecretOption = None,
    setting: SettingOption = None,
    as_json: Json = False,
) -> None:
    """Change what the options name; in force within a second."""
    body = _body(
        file,
        {"name": name, "rateLimit": rate_limit, "dedicated": dedicated},
        _whatsapp(phone_number_id, waba_id, display_phone_number, access_token, app),
        _genesys(region, client_id, client_secret, integration_id, webhook_secret),
        setting,
    )
    if not body:
        raise typer.BadParameter("say what to change: see --help")
    _show(router(context).call("PATCH", f"/tenants/{tenant}", tenant=tenant, body=body), as_json)


@app.command("suspend")
def suspend_tenant(context: typer.Context, tenant: TenantId, as_json: Json = False) -> None:
    """Hold a tenant's messages; what comes in meanwhile is kept."""
    _set_status(context, tenant, "suspended", as_json)


@app.command("activate")
def activate_tenant(context: typer.Context, tenant: TenantId, as_json: Json = False) -> None:
    """Let a suspended tenant's messages go on, in order."""
    _set_status(context, tenant, "active", as_json)


@app.command("delete")
def delete_tenant(context: typer.Context, tenant: TenantId, yes: Yes = False, as_json: Json = False) -> None:
    """Delete a tenant: its keys die, what is queued becomes dead letters, its data is kept for its retention."""
    confirm(f"Delete tenant {tenant}? It cannot be brought back.", yes)
    router(context).call("DELETE", f"/tenants/{tenant}", tenant=tenant)
    print_json({"tenantId": tenant, "status": "deleted"}) if as_json else typer.echo(f"{tenant} is deleted")


def _set_status(context: typer.Context, tenant: str, status: str, as_json: bool) -> None:
    shown = router(context).call("PATCH", f"/tenants/{tenant}", tenant=tenant, body={"status": status})
    print_json(shown) if as_json else typer.echo(f"{tenant} is {shown['status']}")


def _show(tenant: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(tenant)
    else:
        print_fields({name: value for name, value in tenant.items() if name != "id"})


def _whatsapp(
    phone_number_id: str | None, waba_id: str | None, display: str | None, token: str | None, app: str | None
) -> dict[str, Any]:
    return {
        "phoneNumberId": phone_number_id,
        "wabaId": waba_id,
        "displayPhoneNumber": display,
        "accessToken": token,
        "app": app,
    }


def _genesys(
    region: str | None, client_id: str | None, secret: str | None, integration_id: str | None, webhook: str | None
) -> dict[str, Any]:
    return {
        "region": region,
        "clientId": client_id,
        "clientSecret": secret,
        "integrationId": integration_id,
        "webhookSecret": webhook,
    }


def _body(
    file: Path | None,
    plain: dict[str, Any],
    whatsapp: dict[str, Any],
    genesys: dict[str, Any],
    setting: list[str] | None,
) -> dict[str, Any]:
    body = _read(file) if file is not None else {}
    body |= _given(plain)
    for name, part in (("whatsapp", whatsapp), ("genesys", genesys), ("settings", _settings(setting or []))):
        given = part if name == "settings" else _given(part)
        if given:
            body[name] = {**(body.get(name) or {}), **given}
    return body


def _read(file: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--file") from None
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}", param_hint="--file") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{file} does not hold an object", param_hint="--file")
    return value


def _settings(given: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        try:
            settings[name] = orjson.loads(value)
        except ValueError:
            equals = ""
        if not name or not equals:
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE with a JSON value", param_hint="--setting")
    return settings


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
