"""Migrations: numbered pairs in `sql/`, applied and rolled back with yoyo, each in one transaction with its mark."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import psycopg
import yoyo
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import default_migration_table

from trunkline.errors import ConfigurationError
from trunkline.stores.database import conninfo, translating

SQL = Path(__file__).resolve().parent.parent.parent / "sql"
UP_COMMAND = "scripts/trunkline migrate up"
# Any number will do, as long as nothing else in this database locks it: "trunk" in ASCII.
LOCK = 0x7472756E6B

OnDone = Callable[[str], None]


def status(database_url: str, folder: Path = SQL) -> list[tuple[str, bool]]:
    """Every migration with whether it is applied, in order; changes nothing in the database."""
    with _connected(database_url) as connection:
        applied = applied_in(connection)
    return [(migration.id, migration.id in applied) for migration in _read(folder)]


def pending(database_url: str, folder: Path = SQL) -> list[str]:
    """Migrations still to be applied, in order; changes nothing in the database."""
    return [name for name, applied in status(database_url, folder) if not applied]


def unknown(database_url: str, folder: Path = SQL) -> list[str]:
    """Applied migrations that this version does not have: the database is newer, or another product's."""
    known = {migration.id for migration in _read(folder)}
    with _connected(database_url) as connection:
        return sorted(applied_in(connection) - known)


def names(folder: Path = SQL) -> list[str]:
    """Every migration that this version has, in order."""
    return [migration.id for migration in _read(folder)]


def require_current(database_url: str, folder: Path = SQL) -> None:
    """Return when the database fits this version; raises ConfigurationError that says what to run."""
    missing = pending(database_url, folder)
    if missing:
        raise ConfigurationError(
            f"the database lacks {len(missing)} migration{'s' if len(missing) > 1 else ''} "
            f"({', '.join(missing)}): run `{UP_COMMAND}`"
        )


def migrate_up(database_url: str, folder: Path = SQL, on_done: OnDone | None = None) -> list[str]:
    """Apply what is pending and answer its names; `on_done` hears of each."""
    return _migrate(database_url, folder, "apply", None, on_done)


def migrate_down(database_url: str, count: int = 1, folder: Path = SQL, on_done: OnDone | None = None) -> list[str]:
    """Roll the newest `count` migrations back, newest first, and answer their names."""
    return _migrate(database_url, folder, "rollback", count, on_done)


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's backend, made safe against a kill: a migration and its mark commit together, locks die with us."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        with translating():
            super().__init__(parse_uri("postgresql+psycopg://"), default_migration_table)

    def connect(self, dburi: Any) -> psycopg.Connection[Any]:
        # The whole URL goes to libpq: yoyo's own reading of it knows no sockets, service files or several hosts.
        return psycopg.connect(conninfo(self._database_url), autocommit=True)

    def lock(self, timeout: float = 10) -> Any:
        return _advisory_lock(self.connection)

    def run(self, migration: Any, direction: str) -> None:
        with self.transaction():
            migration.process_steps(self, direction)
            self.log_migration(migration, direction)
            mark = self.mark_one if direction == "apply" else self.unmark_one
            mark(migration, log=False)


def _migrate(database_url: str, folder: Path, direction: str, count: int | None, on_done: OnDone | None) -> list[str]:
    done: list[str] = []
    with _Backend(database_url) as backend, backend.lock():
        backend.ensure_internal_schema_updated()
        choose = backend.to_apply if direction == "apply" else backend.to_rollback
        for migration in list(choose(_read(folder)))[:count]:
            _run(backend, migration, direction)
            done.append(migration.id)
            if on_done is not None:
                on_done(migration.id)
    return done


def _run(backend: _Backend, migration: Any, direction: str) -> None:
    with translating():
        try:
            # What a migration selects would be printed, among the answer of whoever migrates.
            with redirect_stdout(io.StringIO()):
                backend.run(migration, direction)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            verb = "applied" if direction == "apply" else "rolled back"
            reason = error.diag.message_primary
            raise ConfigurationError(
                f"migration {migration.id} could not be {verb}, and nothing of it was kept: {reason}"
            ) from error


def _read(folder: Path) -> Any:
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder} with migrations: run from a checkout or install with -e")
    return yoyo.read_migrations(str(folder))


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with translating(), psycopg.connect(conninfo(database_url), autocommit=True) as connection:
        yield connection


@contextmanager
def _advisory_lock(connection: psycopg.Connection[Any]) -> Iterator[None]:
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def applied_in(connection: psycopg.Connection[Any]) -> set[str]:
    """Names of the migrations that are applied."""
    found = connection.execute("SELECT to_regclass(%s)", (default_migration_table,)).fetchone()
    if found is None or found[0] is None:
        return set()
    return {name for (name,) in connection.execute(f"SELECT migration_id FROM {default_migration_table}")}
