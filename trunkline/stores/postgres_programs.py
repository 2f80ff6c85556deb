"""PostgreSQL's own client programs: where they are on this machine, and how they are told whom to connect to."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trunkline.errors import ConfigurationError
from trunkline.stores.database import conninfo

# Where packages put the programs of each version; what is on the PATH may be a wrapper of the newest.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
NEEDED = ("pg_dump", "pg_restore", "psql")
APPLICATION_NAME = "trunkline-backup"


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with the client programs of one major version."""

    folder: Path
    version: int

    def path(self, name: str) -> str:
        """The program of this name."""
        return str(self.folder / name)


def find_programs(server_version: int, *more: Path) -> Programs:
    """The programs that fit a server of this major version: its own, or the next newer ones.

    `more` are further folders to look in. Raises ConfigurationError that names the package to install.
    """
    folders = [folder for place in PLACES for folder in Path("/").glob(place.removeprefix("/"))]
    folders += [*more, *(Path(which).parent for name in NEEDED[:1] if (which := shutil.which(name)))]
    found = [
        Programs(folder, version)
        for folder in folders
        if all((folder / name).exists() for name in NEEDED) and (version := _version(folder)) >= server_version
    ]
    if not found:
        raise ConfigurationError(
            f"{', '.join(NEEDED)} of PostgreSQL {server_version} or newer are not here. One of these helps:\n"
            f"  sudo apt-get install -y postgresql-client-{server_version}\n"
            f"  sudo dnf install -y postgresql{server_version}\n"
            f"  brew install postgresql@{server_version}"
        )
    return min(found, key=lambda programs: programs.version)


@contextmanager
def connecting(database_url: str) -> Iterator[str]:
    """What a client program is given with `--dbname`: the password is in a file of ours, not where `ps` shows it."""
    given = conninfo_to_dict(conninfo(database_url, application_name=APPLICATION_NAME))
    password = given.pop("password", None)
    if password is None:
        yield make_conninfo("", **given)
        return
    with tempfile.NamedTemporaryFile("w", prefix="trunkline-") as file:  # made with mode 600
        escaped = re.sub(r"([\\:])", r"\\\1", str(password))
        file.write(f"*:*:*:*:{escaped}\n")
        file.flush()
        yield make_conninfo("", **given, passfile=file.name)


def _version(folder: Path) -> int:
    told = subprocess.run([folder / NEEDED[0], "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+)", told)
    return int(number[1]) if number else 0
