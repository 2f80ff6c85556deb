"""`trunkline secrets …`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer

from trunkline.cli.api import CommandFailed, router
from trunkline.cli.output import Json, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="How tenants' secrets are sealed at rest.")

COLUMNS = ("key", "fingerprint", "secrets")
PAGE = 100


@app.command("status")
def show_status(context: typer.Context, as_json: Json = False) -> None:
    """Count the secrets by the key that sealed them; exit code 1 unless it is the first of CREDENTIALS_KEYS for all."""
    api = router(context)
    pages = _pages(lambda place: api.call("GET", "/secrets", query={"limit": PAGE, **place}))
    found = _summed(pages)
    _tell(found, as_json)
    if any(key["secrets"] for key in found["keys"][1:]) or found["unopened"]:
        raise typer.Exit(1)


@app.command("rotate")
def rotate(context: typer.Context, as_json: Json = False) -> None:
    """Seal every secret anew under the first of CREDENTIALS_KEYS, while all goes on.

    May be broken off and run again. Exit code 1 if a secret opens with none of the keys; it is named.
    """
    api = router(context)
    pages = _pages(lambda place: api.call("POST", "/secrets/rotate", body={"limit": PAGE, **place}))
    found = _summed(_with_progress(pages))
    _tell(found, as_json)
    if found["unopened"]:
        raise CommandFailed(
            f"{len(found['unopened'])} secrets open with none of CREDENTIALS_KEYS: put the key that sealed them back "
            "into the list, or set them anew with `trunkline tenants update`"
        )


def _pages(ask: Callable[[dict[str, str]], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = ask({"cursor": cursor} if cursor else {})
        yield page
        cursor = page["nextCursor"]
        if cursor is None:
            return


def _with_progress(pages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The pages, and meanwhile a bar on standard error, so that standard output has the answer only."""
    first = next(pages)
    with typer.progressbar(length=first["total"], label="sealing anew", file=sys.stderr) as bar:
        bar.update(first["checked"])
        yield first
        for page in pages:
            bar.update(page["checked"])
            yield page


def _summed(pages: Iterator[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"keys": {}, "checked": 0, "unopened": []}
    for page in pages:
        for key in page["keys"]:
            known = found["keys"].setdefault(key["key"], {**key, "secrets": 0})
            known["secrets"] += key["secrets"]
        found["checked"] += page["checked"]
        found["unopened"] += page["unopened"]
        if "resealed" in page:
            found["resealed"] = found.get("resealed", 0) + page["resealed"]
    return {**found, "keys": list(found["keys"].values())}


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(found["keys"], COLUMNS)
    if "resealed" in found:
        typer.echo(f"{found['resealed']} of {found['checked']} secrets were sealed anew")
    for secret in found["unopened"]:
        typer.echo(f"not opened by any key: {secret['column']} of {secret['id']} ({secret['table']})")
