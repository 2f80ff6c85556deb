"""Dumps of the whole database, and their way back into one: all of it or nothing, with every row counted."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from trunkline.errors import DumpFailed, Sealed
from trunkline.stores.database import conninfo, translating
from trunkline.stores.migrations import applied_in
from trunkline.stores.postgres_programs import APPLICATION_NAME, Programs, connecting
from trunkline.stores.sealing import Sealer
from trunkline.stores.seals import SEALED

LOOK_EVERY_S = 0.2
PIECE_BYTES = 1 << 18

# Hears how many bytes were written so far.
OnBytes = Callable[[int], None]

# Partitions are counted with the table that they are parts of.
_TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_OTHERS = """
SELECT coalesce(nullif(application_name, ''), 'a nameless program'), count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
GROUP BY 1 ORDER BY 1
"""
# Everything of ours, in whichever state a broken database may be; what belongs to an extension stays.
_CLEAR = """
SET lock_timeout = '10s';
DO $clear$
DECLARE thing record;
BEGIN
    FOR thing IN SELECT c.oid::regclass AS name, c.relkind AS kind FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    LOOP
        IF to_regclass(thing.name::text) IS NOT NULL THEN
            EXECUTE format('DROP %s %s CASCADE', CASE thing.kind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, thing.name);
        END IF;
    END LOOP;
    FOR thing IN SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S'
    LOOP
        EXECUTE format('DROP SEQUENCE %s CASCADE', thing.name);
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('DROP ROUTINE %s CASCADE', thing.name);
    END LOOP;
    FOR thing IN SELECT t.oid::regtype AS name FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace
        AND t.typtype IN ('e', 'd')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('DROP TYPE %s CASCADE', thing.name);
    END LOOP;
END $clear$;
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dump holds: its migrations, the rows of each table, and by fingerprint the keys that its secrets need.

    `keys` is None where it was dumped without the keys, so that nobody knows.
    """

    server_version: int
    migrations: tuple[str, ...]
    rows: dict[str, int]
    keys: tuple[str, ...] | None


def server_version(database_url: str) -> int:
    """The major version of the server; raises StoreUnavailable."""
    with _connected(database_url) as link:
        return link.info.server_version // 10_000


def dump(database_url: str, programs: Programs, file: Path, sealer: Sealer | None, on_bytes: OnBytes) -> Contents:
    """Dump the database, as it is at one moment, into the file while all goes on; raises DumpFailed."""
    with _connected(database_url) as link, link.transaction():
        link.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = _one(link, "SELECT pg_export_snapshot()")
        contents = Contents(
            link.info.server_version // 10_000,
            tuple(sorted(applied_in(link))),
            _count_rows(link),
            _keys_in_use(link, sealer) if sealer is not None else None,
        )
        with connecting(database_url) as where:
            options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
            command = [programs.path("pg_dump"), *options, f"--file={file}", f"--dbname={where}"]
            _run(command, lambda: on_bytes(file.stat().st_size if file.exists() else 0))
    return contents


def others(database_url: str) -> list[tuple[str, int]]:
    """Who else is connected to the database, and how often."""
    with _connected(database_url) as link:
        return [(name, count) for name, count in link.execute(_OTHERS)]


def describe(database_url: str) -> dict[str, int]:
    """The rows of each table that is there now."""
    with _connected(database_url) as link:
        return _count_rows(link)


def check_dump(programs: Programs, file: Path) -> None:
    """Return when the dump can be read to its end; raises DumpFailed."""
    _run([programs.path("pg_restore"), "--file=/dev/null", str(file)], lambda: None)


def restore(database_url: str, programs: Programs, file: Path, rows: dict[str, int], on_bytes: OnBytes) -> None:
    """Put the dump in the place of all that the database holds, in one transaction which also counts the rows.

    Raises DumpFailed, and then nothing has changed.
    """
    with connecting(database_url) as where, tempfile.TemporaryFile() as said:
        # Terse, since Postgres would quote what is in the rows.
        options = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"]
        command = [programs.path("psql"), *options, "--file=-", "--output=/dev/null", f"--dbname={where}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as psql:
            assert psql.stdin is not None
            try:
                _feed(psql.stdin, programs, file, rows, on_bytes)
                psql.stdin.close()
            except BrokenPipeError:
                pass  # it has ended, and says why
            except BaseException:
                psql.kill()  # before it can commit
                raise
            status = psql.wait()
        if status != 0:
            raise DumpFailed(f"the backup could not be restored, and nothing was changed: {_last_words(said)}")
    with _connected(database_url) as link:
        link.execute("ANALYZE")


def _feed(psql: IO[bytes], programs: Programs, file: Path, rows: dict[str, int], on_bytes: OnBytes) -> None:
    psql.write(_CLEAR.encode())
    written = 0
    with tempfile.TemporaryFile() as said:
        command = [programs.path("pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as reading:
            assert reading.stdout is not None
            while piece := reading.stdout.read(PIECE_BYTES):
                psql.write(piece)
                written += len(piece)
                on_bytes(written)
        if reading.returncode != 0:
            raise DumpFailed(f"the backup cannot be read, and nothing was changed: {_last_words(said)}")
    psql.write(_counting(rows).encode())


def _counting(rows: dict[str, int]) -> str:
    """Statements that fail unless every table has as many rows as it should."""
    checks = [
        sql.SQL("SELECT count(*) INTO found FROM public.{}; IF found <> {} THEN RAISE {}, found; END IF;").format(
            sql.Identifier(table),
            sql.Literal(count),
            sql.Literal(f"{table} has % rows where the backup had {count}"),
        )
        for table, count in rows.items()
    ]
    body = sql.SQL("DO $count$ DECLARE found bigint; BEGIN {} END $count$;\n").format(sql.SQL(" ").join(checks))
    return body.as_string(None)


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    where = conninfo(database_url, application_name=APPLICATION_NAME)
    with translating(), psycopg.connect(where, autocommit=True) as link:
        yield link


def _count_rows(link: psycopg.Connection[Any]) -> dict[str, int]:
    tables = [name for (name,) in link.execute(_TABLES)]
    count = sql.SQL("SELECT count(*) FROM public.{}")
    return {name: _one(link, count.format(sql.Identifier(name))) for name in tables}


def _keys_in_use(link: psycopg.Connection[Any], sealer: Sealer) -> tuple[str, ...]:
    """Fingerprints of the keys without which not every secret can be opened."""
    used: set[str] = set()
    for table, (_, columns) in SEALED.items():
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        for row in link.execute(sql.SQL("SELECT {} FROM public.{}").format(names, sql.Identifier(table))):
            for sealed in row:
                try:
                    used.add(sealer.fingerprints[sealer.key_of(sealed)])
                except Sealed:
                    continue  # lost before, and not by this
    return tuple(sorted(used))


def _one(link: psycopg.Connection[Any], query: Any) -> Any:
    row = link.execute(query).fetchone()
    assert row is not None
    return row[0]


def _run(command: list[str], look: Callable[[], None]) -> None:
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said) as running:
            while True:
                try:
                    status = running.wait(LOOK_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    look()
                except BaseException:
                    running.terminate()
                    raise
            look()
        if status != 0:
            raise DumpFailed(_last_words(said))


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines()]
    errors = [line for line in lines if "error" in line.lower()] or [line for line in lines if line]
    return errors[0].removeprefix("psql:<stdin>:") if errors else "it does not say why"
