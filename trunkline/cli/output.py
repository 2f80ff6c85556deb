"""What verbs print: JSON for programs, aligned columns for people."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Control characters but for white space, and those that turn the direction of writing.
_STEERING = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# As the API tells times; a terminal has no room for more than seconds.
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(\.\d+)?Z")

NARROWEST_TERMINAL = 80
# The last column has the long words, and gives way first; it needs some room all the same.
ROOM_FOR_WORDS = 12
# The words for states, wherever they stand alone.
_STYLES = {
    **dict.fromkeys(("healthy", "alive", "active"), "green"),
    **dict.fromkeys(("degraded", "suspended"), "yellow"),
    **dict.fromkeys(("unhealthy", "silent", "unreachable"), "red"),
}

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def print_json(value: Any) -> None:
    """The value as indented JSON."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows in columns wide enough for what is in them, on a terminal as wide as that; a dash stands for nothing."""
    if sys.stdout.isatty():
        Console().print(fitted_table(rows, columns))
        return
    table = [[_heading(column) for column in columns]]
    table += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[place]) for line in table) for place in range(len(columns))]
    for line in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def fitted_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], title: str | None = None) -> Table:
    """Rows in columns that fit where they are shown, what is too long folded, states in colour."""
    lines = [[_TIME.sub(r"\1 \2", _cell(row.get(column))) for column in columns] for row in rows]
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for column, least in zip(columns, _least_widths(lines, columns), strict=True):
        table.add_column(_heading(column), overflow="fold", header_style="bold", min_width=least)
    for line in lines:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in line))
    return table


def duration(seconds: float | None) -> str | None:
    """A time that has passed, as people say it."""
    if seconds is None:
        return None
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


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


def plain(text: Any) -> str:
    """The text on one line and harmless: customers and clouds choose some of what is shown."""
    return " ".join(harmless(str(text)).split())


def harmless(text: str) -> str:
    """The text without what would steer a terminal."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def _least_widths(lines: Sequence[Sequence[str]], columns: Sequence[str]) -> list[int | None]:
    """What is not to be folded: all but the last column, if that leaves room for it."""
    longest = [max(map(len, (_heading(column), *(line[at] for line in lines)))) for at, column in enumerate(columns)]
    fixed = longest[:-1]
    fits = sum(fixed) + 2 * len(fixed) + ROOM_FOR_WORDS <= NARROWEST_TERMINAL
    return [*fixed, None] if fits else [None] * len(columns)


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
    return plain(value)
