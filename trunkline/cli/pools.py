"""`trunkline pools …`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from trunkline.cli.api import router
from trunkline.cli.output import Json, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The pools of transformers, and how large they are.")

COLUMNS = ("pool", "size", "running", "min", "max", "changing")


class Pool(StrEnum):
    """The pools: one serves Genesys, the other WhatsApp."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@app.command("list")
def list_pools(context: typer.Context, as_json: Json = False) -> None:
    """List the pools, how many of each run, and whether that is changing."""
    _print(router(context).call("GET", "/pools"), as_json)


@app.command("scale")
def scale_pool(
    context: typer.Context,
    pool: Annotated[Pool, typer.Argument(metavar="inbound|outbound", help="Which pool.")],
    size: Annotated[int | None, typer.Argument(min=1, max=64, help="Its size from now on.")] = None,
    low: Annotated[int | None, typer.Option("--min", min=1, max=64, help="Or: not fewer than this ...")] = None,
    high: Annotated[int | None, typer.Option("--max", min=1, max=64, help="... and not more than this.")] = None,
    as_json: Json = False,
) -> None:
    """Give a pool a fixed size, or bounds between which it finds its size by itself; returns when that has begun."""
    if (size is None) == (low is None and high is None) or (low is None) != (high is None):
        raise typer.BadParameter("give either a size, or both --min and --max")
    body = {"size": size} if size is not None else {"min": low, "max": high}
    _print(router(context).call("PATCH", f"/pools/{pool.value}", body=body), as_json)


def _print(pools: dict[str, Any], as_json: bool) -> None:
    print_json(pools) if as_json else print_table(({"pool": name, **pool} for name, pool in pools.items()), COLUMNS)
