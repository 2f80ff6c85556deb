"""`trunkline logs`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from config.settings import load_settings
from trunkline.cli.api import CommandFailed
from trunkline.cli.output import Json, harmless, plain
from trunkline.cli.times import moment
from trunkline.logs import LogLine, follow_logs, is_at_least, read_logs

_COLOURS = {"WARNING": typer.colors.YELLOW, "ERROR": typer.colors.RED, "CRITICAL": typer.colors.RED}
# Facts that say where in the code a line was written.
_ASIDE = ("logger", "trace")


class Level(StrEnum):
    """Levels of log lines, the worst last."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


SinceOption = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="From then on: 45s, 30m, 2h or 1d ago, or an ISO time (UTC)."),
]
UntilOption = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="TIME", help="Up to then, written likewise.")
]
LevelOption = Annotated[
    Level | None,
    typer.Option(
        case_sensitive=False,
        help="This level or worse. Without it: all of Trunkline's own, and what Ray and the stores warn of.",
    ),
]


def logs(
    since: SinceOption = None,
    until: UntilOption = None,
    level: LevelOption = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="ID", help="Lines about this tenant only.")
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", metavar="ID", help="Lines about this message: `messageId` in its trace.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show the log of the instance on this machine, oldest first; with --json an object a line."""
    if follow and until is not None:
        raise typer.BadParameter("with --follow there is no end: leave --until out", param_hint="--until")
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("is later than --until", param_hint="--since")
    home = load_settings().trunkline_home
    if not home.is_dir():
        raise CommandFailed(f"there is no {home}: nothing ran here yet, or TRUNKLINE_HOME has to name another folder")
    given = {"since": since, "level": level.value if level else None, "tenant": tenant}
    try:
        for line in _shown(_lines(home, until, follow, given), level, message):
            _tell(line, as_json)
    except KeyboardInterrupt:
        if not follow:
            raise


def _lines(home: Path, until: datetime | None, follow: bool, given: dict[str, Any]) -> Iterator[LogLine]:
    return follow_logs(home, **given) if follow else read_logs(home, until=until, **given)


def _shown(lines: Iterator[LogLine], level: Level | None, message: str | None) -> Iterator[LogLine]:
    for line in lines:
        wanted = line.is_ours or level is not None or is_at_least(line, Level.WARNING)
        if wanted and (message is None or line.message_id == message):
            yield line


def _tell(line: LogLine, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(_object(line), default=str).decode())
        return
    names = {"tenant": line.tenant, "message": line.message_id}
    facts = {name: value for name, value in {**names, **line.facts}.items() if value is not None}
    told = "".join(f"  {name}={plain(value)}" for name, value in facts.items() if name not in _ASIDE)
    event = "\n    ".join(harmless(part.rstrip()) for part in line.event.split("\n"))
    level = typer.style(line.level.ljust(8), fg=_COLOURS.get(line.level))
    typer.echo(f"{_time(line)}  {level}  {line.source}  {event}{told}")


def _object(line: LogLine) -> dict[str, Any]:
    return {
        "at": _time(line),
        "level": line.level,
        "event": line.event,
        "tenantId": line.tenant,
        "messageId": line.message_id,
        "source": line.source,
        "facts": line.facts,
    }


def _time(line: LogLine) -> str:
    return line.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
