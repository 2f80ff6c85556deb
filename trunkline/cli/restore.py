"""`trunkline restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg.conninfo import conninfo_to_dict

from config.settings import ROOT, Settings, load_settings
from trunkline.cli import archive
from trunkline.cli.api import CommandFailed
from trunkline.cli.archive import Archive
from trunkline.cli.backup import plain_settings, shown_manifest
from trunkline.cli.local import database_url, program_folders
from trunkline.cli.local_audit import note_locally
from trunkline.cli.output import Json, Yes, confirm, print_json
from trunkline.cli.progress import Bytes
from trunkline.cli.restored_settings import missing_keys, restore_settings
from trunkline.stores import dumps, migrations
from trunkline.stores.postgres_programs import Programs, find_programs


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` has written.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even if tenants' secrets cannot be opened with the keys at hand.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of everything in the database; the router must be stopped.

    All of it or nothing: the file is checked first, and the rows are counted before anything is final. Settings are
    written to .env where there is none; those of a .env that is there are left alone, and differences are named.
    """
    settings = load_settings()
    url = database_url(settings)
    with archive.reading(file) as found:
        programs = find_programs(dumps.server_version(url), *program_folders(settings))
        _check(found, programs, settings, force)
        _require_quiet(url)
        confirm(f"Replace all {_described(url)} with the backup of {found.manifest.made_at}?", yes)
        progress = Bytes("restoring the database")
        dumps.restore(url, programs, found.dump, found.manifest.contents.rows, progress.show)
        progress.end()
        applied = migrations.migrate_up(url)
        _note(url, found)
        done = restore_settings(found, settings, ROOT / ".env", plain_settings(settings))
    _tell(found, applied, done, as_json)


def _check(found: Archive, programs: Programs, settings: Settings, force: bool) -> None:
    """Return when this version can restore it; nothing was touched yet."""
    unknown = [name for name in found.manifest.contents.migrations if name not in migrations.names()]
    if unknown:
        raise CommandFailed(
            f"the backup is of version {found.manifest.version}, whose migration {unknown[0]} is not known here: "
            "restore it with that version"
        )
    dumps.check_dump(programs, found.dump)
    if (missing := missing_keys(found, settings)) and not force:
        raise CommandFailed(
            f"the backup's secrets were sealed with keys that are not at hand ({', '.join(missing)}): put them into "
            "CREDENTIALS_KEYS, behind a comma. If they are lost, --force restores the rest"
        )


def _require_quiet(url: str) -> None:
    others = dumps.others(url)
    if others:
        who = ", ".join(f"{name} with {count} connection{'' if count == 1 else 's'}" for name, count in others)
        raise CommandFailed(
            f"the database is in use: {who}. Stop the router first, with Ctrl-C where scripts/run runs; "
            "scripts/trunkline restore then starts the database by itself"
        )


def _described(url: str) -> str:
    place = conninfo_to_dict(url)
    rows = sum(dumps.describe(url).values())
    return f"{rows} rows of the database {place.get('dbname', '')!r} on {place.get('host', 'this machine')}"


def _note(url: str, found: Archive) -> None:
    facts = {"madeAt": found.manifest.made_at, "rows": sum(found.manifest.contents.rows.values())}
    note_locally(url, "database.restored", None, after=facts)


def _tell(found: Archive, applied: list[str], done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({**shown_manifest(found.manifest), "migrated": applied, "settings": done})
        return
    contents = found.manifest.contents
    typer.echo(
        f"{sum(contents.rows.values())} rows of {len(contents.rows)} tables are back, as of {found.manifest.made_at}"
    )
    for name in applied:
        typer.echo(f"{name} applied")
    for name in done["written"]:
        typer.echo(f"{name} is restored")
    for name, (now, then) in done["differing"].items():
        typer.echo(f"{name} is {now!r} and was {then!r} in the backup: left as it is", err=True)
