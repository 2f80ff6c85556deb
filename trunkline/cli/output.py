"""What verbs print: JSON for programs, aligned columns for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def print_json(value: Any) -> None:
    """The value as indented JSON."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows in columns wide enough for what is in them; a dash stands for nothing."""
    table = [[_heading(column) for column in columns]]
    table += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[place]) for line in table) for place in range(len(columns))]
    for line in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_fields(value: Mapping[str, Any], indent: str = "") -> None:
    """Names and values under each other, objects inside indented."""
    width = max((len(name) for name in value), default=0)
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            typer.echo(f"{indent}{name}")
            print_fields(inner, indent + "  ")
        else:
            typer.echo(f"{indent}{name.ljust(width)}  {_cell(inner)}")


def confirm(question: str, yes: bool) -> None:
    """Go on if the operator says so, at once with `--yes`; nobody is asked where nobody types."""
    if yes:
        return
    if not sys.stdin.isatty():
        typer.echo(f"{question} Say so with --yes.", err=True)
        raise typer.Exit(1)
    typer.confirm(question, abort=True, err=True)


def _heading(name: str) -> str:
    return "".join(f" {letter}" if letter.isupper() else letter.upper() for letter in name).upper()


def _cell(value: Any) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | dict():
            return orjson.dumps(value).decode()
    return " ".join(str(value).split())
