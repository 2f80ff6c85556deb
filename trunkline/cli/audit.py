"""`trunkline audit …`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from trunkline.cli.api import CommandFailed, Router, Tenant, router
from trunkline.cli.output import Json, print_fields, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Who did what, and whether the log of it is whole.")

# What was there before and after is for `audit show`: it fits no line.
COLUMNS = ("id", "at", "action", "tenantId", "subject", "keyId", "address")
CHECKED_AT_ONCE = 2000
_PLACE = re.compile(r"(?P<id>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})")


@app.command("list")
def list_entries(
    context: typer.Context,
    tenant: Tenant = None,
    action: Annotated[str | None, typer.Option("--action", metavar="NOUN.VERB", help="e.g. key.revoked.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List what was done, newest first."""
    rows = router(context).pages("/audit", "entries", limit, query={"tenant": tenant, "action": action})
    print_json(rows) if as_json else print_table([_flat(row) for row in rows], COLUMNS)


@app.command("show")
def show_entry(
    context: typer.Context,
    id: Annotated[int, typer.Argument(metavar="ID", min=1, help="As `audit list` shows it.")],
    as_json: Json = False,
) -> None:
    """Show one entry, with what was there before and after."""
    found = router(context).call("GET", f"/audit/{id}")
    print_json(found) if as_json else print_fields(found)


@app.command("verify")
def verify(
    context: typer.Context,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="ID:HASH", help="An earlier run's head: still there, unchanged?"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that no entry was changed, removed, inserted or moved; exit code 1, and the entry, if one was."""
    api = router(context)
    noted = _place(head)
    found = _checked(api)
    if found["broken"] is None and noted is not None:
        found["broken"] = _missing_head(api, *noted)
    if as_json:
        print_json(found)
    else:
        _tell(found)
    if found["broken"] is not None:
        raise CommandFailed(f"the audit log is broken at entry {found['broken']['id']}: {found['broken']['reason']}")


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, **entry["actor"]}


def _place(head: str | None) -> tuple[str, str] | None:
    if head is None:
        return None
    if (given := _PLACE.fullmatch(head)) is None:
        raise typer.BadParameter("give it as `audit verify` prints it: ID:HASH", param_hint="--head")
    return given["id"], given["hash"]


def _checked(api: Router) -> dict[str, Any]:
    """The whole chain's standing, with a bar on standard error meanwhile."""
    parts = _parts(api)
    found: dict[str, Any] = next(parts)
    with typer.progressbar(length=found["total"], label="checking", file=sys.stderr) as bar:
        bar.update(found["checked"])
        for part in parts:
            bar.update(part["checked"])
            part["checked"] += found["checked"]
            part["removed"] += found["removed"]
            found = part
    return {name: found[name] for name in ("checked", "removed", "head", "broken")}


def _parts(api: Router) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        part = api.call("GET", "/audit/verify", query={"limit": CHECKED_AT_ONCE, "cursor": cursor})
        yield part
        cursor = part["nextCursor"]
        if cursor is None:
            return


def _missing_head(api: Router, id: str, hash: str) -> dict[str, str] | None:
    """What became of the entry that was once the newest, unless it is as it was."""
    try:
        entry = api.call("GET", f"/audit/{id}")
    except CommandFailed as error:
        if error.body is None or error.body.get("code") != "NOT_FOUND":
            raise
        return {"id": id, "reason": "it is not there any more: it was cut off, or removed by retention"}
    if entry["hash"] == hash:
        return None
    return {"id": id, "reason": "it is not the entry that was noted: the log was written anew"}


def _tell(found: dict[str, Any]) -> None:
    removed = f", {found['removed']} of them removed by retention" if found["removed"] else ""
    typer.echo(f"{found['checked']} entries checked{removed}")
    typer.echo(f"head {found['head']['id']}:{found['head']['hash']}")
    if found["broken"] is None:
        typer.echo("the audit log is whole")
