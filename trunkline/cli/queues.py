"""`trunkline queues …`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated, Any

import typer

from trunkline.cli.api import CommandFailed, Router, Tenant, router
from trunkline.cli.output import Json, Yes, confirm, duration, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The tenants' queues: what waits in them, and removing it.")

COLUMNS = ("queue", "tenant", "messages", "readers", "oldest", "held")
# A purge is over when it is, and the API answers then.
PURGED_WITHIN_S = 3600.0
LOOK_EVERY_S = 0.5

Queue = Annotated[
    str,
    typer.Argument(help="inbound-whatsapp-messages, outbound-genesys-messages or whatsapp-status-updates."),
]


@app.command("list")
def list_queues(
    context: typer.Context,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only this one of the three.")] = None,
    tenant: Tenant = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those with something in them.")] = False,
    as_json: Json = False,
) -> None:
    """List the queues, those with the oldest message first, and why it waits if its whole queue does."""
    found, missing = read_queues(router(context), tenant=tenant, queue=queue)
    shown = [row for row in found if row["messages"] != 0 or not waiting]
    if as_json:
        print_json({"queues": shown, "missing": missing})
        return
    print_table(table_rows(shown), COLUMNS)
    for name, reason in missing.items():
        typer.echo(f"{name} does not tell: {reason}", err=True)


@app.command("purge")
def purge_queue(
    context: typer.Context, queue: Queue, tenant: Tenant = None, yes: Yes = False, as_json: Json = False
) -> None:
    """Remove all that waits in every tenant's queue, or one tenant's; the traces of the messages say `purged`.

    What is being sent is finished first, and what comes in meanwhile stays. Exit code 1 if something could not be.
    """
    api = router(context, PURGED_WITHIN_S)
    waiting = _waiting(api, queue, tenant)
    whose = f"tenant {tenant}" if tenant else "EVERY tenant"
    confirm(f"Remove {waiting} messages from {queue} of {whose}? They will not be delivered.", yes)
    purging = _begin(lambda: api.call("POST", f"/queues/{queue}/purge", tenant=tenant))
    _follow(api, purging, queue, tenant, waiting)
    purged = purging.result()
    print_json(purged) if as_json else typer.echo(f"{purged['purged']} messages were purged")
    if failed := purged.get("failed"):
        reasons = "".join(f"\n  {tenant_id}: {reason}" for tenant_id, reason in failed.items())
        raise CommandFailed(f"the queues of {len(failed)} tenants could not be purged, or not all of them:{reasons}")


def read_queues(
    api: Router, *, tenant: str | None = None, queue: str | None = None, in_use: bool | None = None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Queues, those with the oldest message first; and who did not tell, with the reason."""
    query = {"queue": queue, "inUse": in_use}
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    cursor = None
    while True:
        page = api.call("GET", "/queues", tenant=tenant, query={**query, "cursor": cursor})
        rows += page["queues"]
        missing |= page["missing"]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    rows.sort(key=lambda row: (-(row["oldestAgeSeconds"] or 0), -(row["messages"] or 0), row["tenantId"]))
    return rows, missing


def table_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Queues as a table shows them."""
    return [
        {
            **row,
            "tenant": row["tenantId"],
            "readers": row["consumers"],
            "oldest": duration(row["oldestAgeSeconds"]),
        }
        for row in rows
    ]


def _waiting(api: Router, queue: str, tenant: str | None) -> int:
    rows, _ = read_queues(api, tenant=tenant, queue=queue)
    return sum(row["messages"] or 0 for row in rows)


def _begin(work: Callable[[], Any]) -> Future[Any]:
    """Work beside us, which whoever breaks off need not wait for."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def _follow(api: Router, purging: Future[Any], queue: str, tenant: str | None, waiting: int) -> None:
    """A bar on standard error while it is under way, so that standard output has the answer only."""
    with typer.progressbar(length=waiting, label="purging", file=sys.stderr) as bar:
        while not _ends(purging, LOOK_EVERY_S):
            try:
                left = _waiting(api, queue, tenant)
            except CommandFailed:
                continue  # the purge itself says what is wrong
            bar.update(max(0, waiting - left - bar.pos))
        bar.update(waiting - bar.pos)


def _ends(purging: Future[Any], within_s: float) -> bool:
    try:
        purging.exception(within_s)
    except TimeoutError:
        return False
    return True
