"""Migrations on a real Postgres."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trunkline.errors import ConfigurationError, StoreUnavailable
from trunkline.stores import migrations
from trunkline.stores.database import conninfo

pytestmark = pytest.mark.services

NAMES = sorted(
    path.stem for path in migrations.SQL.glob("[0-9][0-9][0-9][0-9]-*.sql") if not path.stem.endswith(".rollback")
)


def _tables(database_url: str) -> set[str]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows if "yoyo" not in name}


def test_every_migration_has_its_way_back() -> None:
    assert NAMES[:2] == ["0001-tenants", "0002-messages"]
    assert all((migrations.SQL / f"{name}.rollback.sql").exists() for name in NAMES)


def test_an_empty_database_is_told_which_command_to_run(empty_database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="scripts/trunkline migrate up") as caught:
        migrations.require_current(empty_database_url)
    assert "0001-tenants" in str(caught.value)
    assert migrations.pending(empty_database_url) == NAMES
    assert _tables(empty_database_url) == set()


def test_up_and_down_and_up_again(empty_database_url: str) -> None:
    seen: list[str] = []
    assert migrations.migrate_up(empty_database_url, on_done=seen.append) == NAMES == seen
    migrations.require_current(empty_database_url)
    tables = _tables(empty_database_url)
    assert {"tenants", "messages", "dead_letters"} <= tables
    assert migrations.migrate_up(empty_database_url) == []

    assert migrations.migrate_down(empty_database_url) == NAMES[-1:]
    assert migrations.pending(empty_database_url) == NAMES[-1:]
    assert migrations.migrate_down(empty_database_url, count=99) == NAMES[-2::-1]
    assert _tables(empty_database_url) == set()
    assert migrations.status(empty_database_url) == [(name, False) for name in NAMES]

    assert migrations.migrate_up(empty_database_url) == NAMES
    assert _tables(empty_database_url) == tables


def _insert_message(connection: psycopg.Connection[Any], at: str) -> str:
    made = connection.execute(
        "INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, text, accepted_at, created_at) "
        "VALUES ('acme', gen_random_uuid(), '447700900123', 'inbound', 'text', 'delivered', %s, now(), %s) "
        "RETURNING message_id::text",
        (f"hello of {at}", at),
    ).fetchone()
    assert made is not None
    return str(made[0])


def _messages(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT * FROM messages ORDER BY message_id").fetchall()


def _indexes(connection: psycopg.Connection[Any]) -> dict[str, str]:
    query = "SELECT indexname, replace(indexdef, ' ON ONLY ', ' ON ') FROM pg_indexes WHERE tablename = 'messages'"
    return dict(connection.execute(query).fetchall())


def test_messages_are_carried_into_the_partitions_of_their_months_and_back(
    empty_database_url: str, tmp_path: Path
) -> None:
    for path in migrations.SQL.glob("000[1-7]-*.sql"):
        shutil.copy(path, tmp_path)
    migrations.migrate_up(empty_database_url, tmp_path)
    migrations.migrate_down(empty_database_url, folder=tmp_path)
    where = {"2026-01-31 23:59:59.9+00": "messages_2026_01", "2026-02-01 00:00+00": "messages_2026_02"}
    with psycopg.connect(empty_database_url) as connection:
        made = {_insert_message(connection, at): where[at] for at in where}
        (claimed, _) = made
        connection.execute("INSERT INTO seen VALUES ('acme', %s, '2026-02-03 10:00+00')", (claimed,))
        connection.execute("CREATE INDEX messages_whose ON messages (wa_id, created_at DESC) WHERE wa_id <> ''")
        messages, indexes = _messages(connection), _indexes(connection)

    migrations.migrate_up(empty_database_url, tmp_path)
    with psycopg.connect(empty_database_url) as connection:
        assert _messages(connection) == messages
        found = connection.execute(
            "SELECT m.message_id::text, m.tableoid::regclass::text FROM messages m "
            "JOIN seen s ON s.tenant_id = m.tenant_id AND s.key_hash = m.message_id AND s.seen_at = m.created_at"
        ).fetchall()
        assert dict(found) == made
        key = indexes["messages_pkey"].replace("message_id)", "message_id, created_at)")
        assert _indexes(connection) == {**indexes, "messages_pkey": key}

    migrations.migrate_down(empty_database_url, folder=tmp_path)
    with psycopg.connect(empty_database_url) as connection:
        assert _messages(connection) == messages
        assert _indexes(connection) == indexes
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("UPDATE messages SET status = 'lost'")
    assert not any(name.startswith("messages_") for name in _tables(empty_database_url))


def test_a_migration_that_fails_leaves_nothing_of_itself_and_keeps_those_before(
    empty_database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "0001-good.sql").write_text("CREATE TABLE good (id int);")
    (tmp_path / "0002-bad.sql").write_text("CREATE TABLE half (id int); CREATE TABLE half (id int);")
    with pytest.raises(ConfigurationError, match=r"0002-bad.*already exists"):
        migrations.migrate_up(empty_database_url, tmp_path)
    assert _tables(empty_database_url) == {"good"}
    assert migrations.status(empty_database_url, tmp_path) == [("0001-good", True), ("0002-bad", False)]

    (tmp_path / "0002-bad.sql").write_text("CREATE TABLE half (id int);")
    assert migrations.migrate_up(empty_database_url, tmp_path) == ["0002-bad"]


def test_what_a_migration_selects_is_not_printed(
    empty_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0001-asks.sql").write_text("SELECT 'an answer';")
    assert migrations.migrate_up(empty_database_url, tmp_path) == ["0001-asks"]
    assert capsys.readouterr().out == ""


def test_two_at_once_do_not_get_into_each_others_way(empty_database_url: str) -> None:
    done: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: done.append(migrations.migrate_up(empty_database_url))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(done, key=len) == [[], [], NAMES]


def test_a_server_that_is_away_is_named_in_plain_words() -> None:
    with pytest.raises(StoreUnavailable, match="Postgres cannot be reached"):
        migrations.require_current("postgresql://nobody@127.0.0.1:1/none")


def test_a_database_that_does_not_exist_is_named(empty_database_url: str) -> None:
    with pytest.raises(StoreUnavailable, match='"no_such_database" does not exist'):
        migrations.status(conninfo(empty_database_url, dbname="no_such_database"))


def test_what_is_no_url_of_postgres_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        migrations.status("mysql://root:hunter2@127.0.0.1/x")
    assert "hunter2" not in str(caught.value)
