"""`trunkline dead-letters …`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from trunkline.cli.api import CommandFailed, Router, Tenant, router
from trunkline.cli.messages import print_way
from trunkline.cli.output import Json, print_fields, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Messages that were given up: list, show, replay.")

COLUMNS = ("id", "createdAt", "tenantId", "direction", "reason", "attempts", "messageId", "answer")
LETTER_ID = re.compile(r"[0-9]{1,18}")
LARGEST_REPLAY = 1000

Reason = Annotated[str | None, typer.Option("--reason", help="e.g. rejected, exhausted, unrouted.")]
Direction = Annotated[str | None, typer.Option("--direction", help="inbound, outbound or status.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These; else those that the filter names.")]


@app.command("list")
def list_dead_letters(
    context: typer.Context,
    tenant: Tenant = None,
    reason: Reason = None,
    direction: Direction = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List messages that were given up, newest first."""
    query = {"reason": reason, "direction": direction}
    rows = router(context).pages("/dead-letters", "deadLetters", limit, tenant=tenant, query=query)
    print_json(rows) if as_json else print_table(rows, COLUMNS)


@app.command("show")
def show_dead_letter(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="As `dead-letters list` shows it.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show one with every attempt, the cloud's answers and what can be done."""
    _check_ids([id])
    found = router(context).call("GET", f"/dead-letters/{id}", tenant=tenant)
    if as_json:
        print_json(found)
        return
    print_fields({name: value for name, value in found.items() if name != "trace" and value is not None})
    print_fields({"advice": found["trace"]["advice"]})
    print_way(found["trace"])


@app.command("replay")
def replay_dead_letters(
    context: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="These; else those that are filtered.")
    ] = None,
    tenant: Tenant = None,
    reason: Reason = None,
    direction: Direction = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=LARGEST_REPLAY, help="How many at most, the oldest first; default: 100.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Of any reason and direction.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    as_json: Json = False,
) -> None:
    """Deliver again, behind what was sent meanwhile; exit code 1 if one that was named cannot be."""
    filters: dict[str, Any] = {"reason": reason, "direction": direction, "limit": limit}
    wanted = {name: value for name, value in filters.items() if value is not None}
    if ids and (wanted or every):
        raise typer.BadParameter("give either ids or a filter")
    if not (ids or wanted or every or tenant):
        raise typer.BadParameter("give ids, or say which: --reason, --direction, --tenant, --limit or --all")
    api = router(context)
    if ids:
        _check_ids(ids)
        wanted |= {"ids": ids, "limit": len(ids)}
    found = api.call("POST", "/dead-letters/replay", tenant=tenant, body={**wanted, "dryRun": dry_run})
    left = _reasons(api, [id for id in ids or [] if str(int(id)) not in found["ids"]], tenant)
    if as_json:
        print_json({**found, "refused": left} if ids else found)
    else:
        _tell(found, left)
    if left:
        raise typer.Exit(1)


def _check_ids(ids: list[str]) -> None:
    if len(ids) > LARGEST_REPLAY:
        raise typer.BadParameter(f"at most {LARGEST_REPLAY} at once")
    for id in ids:
        if not LETTER_ID.fullmatch(id):
            raise typer.BadParameter(f"{id!r} is not the id of a dead letter, as `dead-letters list` shows it")


def _reasons(api: Router, ids: list[str], tenant: str | None) -> dict[str, str]:
    """Why these were not replayed, by id."""
    reasons: dict[str, str] = {}
    for id in ids:
        try:
            api.call("POST", f"/dead-letters/{id}/replay", tenant=tenant, body={"dryRun": True})
            reasons[id] = f"Dead letter {id} was in use: try again"
        except CommandFailed as error:
            reasons[id] = error.text
    return reasons


def _tell(found: dict[str, Any], left: dict[str, str]) -> None:
    ids = f": {', '.join(found['ids'])}" if found["ids"] else ""
    typer.echo(f"{found['replayed']} {'would be' if found['dryRun'] else 'are'} replayed{ids}")
    for reason in left.values():
        typer.echo(f"error: {reason}", err=True)
