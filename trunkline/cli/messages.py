"""`trunkline trace` and `trunkline conversations …`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import typer

from trunkline.cli.api import Router, Tenant, router
from trunkline.cli.output import Json, print_fields, print_json, print_table

conversations = typer.Typer(no_args_is_help=True, help="Conversations and their messages.")

MESSAGE_COLUMNS = ("createdAt", "direction", "kind", "status", "receipt", "attempts", "messageId", "text")

Which = Annotated[str, typer.Argument(metavar="NUMBER|ID", help="A WhatsApp number, or a conversation's id.")]


def trace(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="The message's wamid, Genesys id or our own.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show a message's way, what it waits for and what can be done."""
    found = fetch_trace(router(context), id, tenant)
    print_json(found) if as_json else print_trace(found)


def fetch_trace(api: Router, id: str, tenant: str | None) -> dict[str, Any]:
    """The trace of a message, by any of its ids."""
    found: dict[str, Any] = api.call("GET", f"/messages/{quote(id, safe='')}/trace", tenant=tenant)
    return found


def print_trace(found: dict[str, Any]) -> None:
    """A trace for people."""
    lists = ("steps", "attempts")
    print_fields({name: value for name, value in found.items() if name not in lists and value is not None})
    print_way(found)


def print_way(found: dict[str, Any]) -> None:
    """The steps and attempts of a trace, a line for each."""
    for name in ("steps", "attempts"):
        typer.echo(name)
        for entry in found[name]:
            facts = {key: value for key, value in entry.items() if key not in ("at", "step", "outcome") and value}
            told = "  ".join(f"{key}={value}" for key, value in facts.items())
            typer.echo(f"  {entry['at']}  {entry.get('step') or entry.get('outcome')}  {told}".rstrip())


@conversations.command("show")
def show_conversation(context: typer.Context, which: Which, tenant: Tenant = None, as_json: Json = False) -> None:
    """Show the conversation with a number, or of an id."""
    found = _conversation(router(context), which, tenant)
    print_json(found) if as_json else print_fields(found)


@conversations.command("messages")
def list_messages(
    context: typer.Context,
    which: Which,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List a conversation's messages, newest first."""
    api = router(context)
    found = _conversation(api, which, tenant)
    path = f"/state/conversation/{found['conversationId']}/messages"
    rows = api.pages(path, "messages", limit, tenant=tenant)
    print_json(rows) if as_json else print_table(rows, MESSAGE_COLUMNS)


def _conversation(api: Router, which: str, tenant: str | None) -> dict[str, Any]:
    found: dict[str, Any]
    if _is_id(which):
        found = api.call("GET", f"/state/conversation/{which}", tenant=tenant)
    else:
        found = api.call("GET", "/state/conversation", tenant=tenant, query={"whatsappNumber": which})
    return found


def _is_id(which: str) -> bool:
    try:
        return bool(UUID(which))
    except ValueError:
        return False
