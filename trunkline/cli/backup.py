"""`trunkline backup`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from config.settings import Settings, load_settings
from trunkline.cli import archive
from trunkline.cli.api import CommandFailed, first_keys
from trunkline.cli.local import database_url, program_folders
from trunkline.cli.local_audit import note_locally
from trunkline.cli.output import Json, print_json
from trunkline.cli.progress import Bytes
from trunkline.stores import dumps
from trunkline.stores.migrations import require_current
from trunkline.stores.postgres_programs import find_programs
from trunkline.stores.sealing import Sealer

# They say where this machine's parts are, and some hold passwords.
_OF_THE_MACHINE = frozenset({"database_url", "redis_url", "rabbitmq_url", "trunkline_home"})
_CLOUDS = frozenset({"graph_api_url", "genesys_login_url", "genesys_api_url"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; readable by you only.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="CREDENTIALS_KEYS and the other secret settings too, in the open.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write the database and the settings to a file, while all goes on.

    Tenants' secrets stay sealed in it: without CREDENTIALS_KEYS, kept elsewhere or with --with-keys, nobody opens them
    again. Customers' files, queues and Redis are not in it.
    """
    if file.exists() and not overwrite:
        raise CommandFailed(f"{file} is there already: name another file, or say --overwrite")
    settings = load_settings()
    url = database_url(settings)
    require_current(url)
    programs = find_programs(dumps.server_version(url), *program_folders(settings))
    sealer = Sealer(settings.sealing_keys) if settings.sealing_keys else None
    progress = Bytes("dumping the database")
    manifest = archive.write(
        file,
        version("trunkline"),
        plain_settings(settings),
        secret_settings(settings) if with_keys else {},
        lambda target: dumps.dump(url, programs, target, sealer, progress.show),
    )
    progress.end()
    _note(url, manifest)
    shown = shown_manifest(manifest)
    if as_json:
        print_json({"file": str(file), "bytes": file.stat().st_size, **shown})
    else:
        rows = sum(manifest.contents.rows.values())
        typer.echo(f"{file}: {rows} rows of {len(manifest.contents.rows)} tables, {file.stat().st_size} bytes")
        if not with_keys and manifest.contents.keys:
            typer.echo(
                "tenants' secrets in it open only with CREDENTIALS_KEYS "
                f"({', '.join(manifest.contents.keys)}): keep these elsewhere, and not beside it",
                err=True,
            )


def plain_settings(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults, without secrets and what belongs to the machine."""
    defaults = Settings(host=settings.host, port=settings.port)
    values = {name: getattr(settings, name) for name in Settings.model_fields if not _is_secret(name)}
    first = {"host": Settings.model_fields["host"].default, "port": Settings.model_fields["port"].default}
    return {
        name.upper(): str(value)
        for name, value in values.items()
        if value != first.get(name, getattr(defaults, name))
        and name not in _OF_THE_MACHINE
        and not (name in _CLOUDS and _is_here(value))
    }


def secret_settings(settings: Settings) -> dict[str, str]:
    """The settings that are secrets, those among them that the first run made."""
    made = first_keys(settings)
    values = {
        name.upper(): getattr(settings, name).get_secret_value() or made.get(name.upper(), "")
        for name in Settings.model_fields
        if _is_secret(name) and not (name.startswith("meta_") and _is_here(settings.graph_api_url))
    }
    return {name: value for name, value in values.items() if value}


def _is_secret(name: str) -> bool:
    return Settings.model_fields[name].annotation is SecretStr


def _is_here(url: str) -> bool:
    """Whether a cloud is simulated on this machine: the next one is to use its own, or the real one."""
    return urlsplit(url).hostname in _LOOPBACK


def shown_manifest(manifest: archive.Manifest) -> dict[str, Any]:
    """What is said of an archive."""
    return {
        "version": manifest.version,
        "madeAt": manifest.made_at,
        "withKeys": archive.KEYS in manifest.sha256,
        "keys": manifest.contents.keys,
        "migrations": manifest.contents.migrations,
        "rows": manifest.contents.rows,
    }


def _note(url: str, manifest: archive.Manifest) -> None:
    facts = {"rows": sum(manifest.contents.rows.values()), "withKeys": archive.KEYS in manifest.sha256}
    note_locally(url, "database.backed_up", None, after=facts)
