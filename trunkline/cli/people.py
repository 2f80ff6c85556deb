"""`trunkline people …`."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli.api import router
from trunkline.cli.output import Json, Yes, confirm, print_fields, print_json

app = typer.Typer(no_args_is_help=True, help="People who wrote to a tenant: erase their data.")

# Somebody may have written a hundred thousand messages.
TIMEOUT_S = 120.0

OfTenant = Annotated[str, typer.Option("--tenant", "-t", metavar="ID", help="The tenant that is meant.")]


@app.command("erase")
def erase_person(
    context: typer.Context,
    tenant: OfTenant,
    number: Annotated[str | None, typer.Option("--number", help="WhatsApp number, with or without its plus.")] = None,
    user_id: Annotated[str | None, typer.Option("--user-id", help="WhatsApp's id of a hidden number.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove a person's content everywhere, for good; what waits of it is purged."""
    if (number is None) == (user_id is None):
        raise typer.BadParameter("give either --number or --user-id")
    confirm(f"Erase everything of this person in tenant {tenant}, for good?", yes)
    body = {"whatsappNumber": number} if number is not None else {"userId": user_id}
    erased = router(context, TIMEOUT_S).call("POST", f"/tenants/{tenant}/people/erase", tenant=tenant, body=body)
    print_json(erased) if as_json else print_fields(erased)
