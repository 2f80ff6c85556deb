"""A backup, the wreck of what it was taken of, and the way back, with a real Postgres."""

from __future__ import annotations

import io
import json
import re
import secrets
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from tests.trunkline.cli.conftest import Ran
from tests.trunkline.records import ACCESS_TOKEN, BY, tenant_record
from trunkline.cli import archive
from trunkline.cli.main import main
from trunkline.errors import ConfigurationError, DumpFailed
from trunkline.stores import dumps
from trunkline.stores.database import conninfo, open_pool
from trunkline.stores.migrations import migrate_down
from trunkline.stores.postgres_programs import connecting, find_programs
from trunkline.stores.sealing import Sealer, fingerprint
from trunkline.stores.tenants import TenantStore

pytestmark = pytest.mark.services

KEY, OTHER = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TEXT = "words of a customer; 'quoted', and\nin two lines \\."

Call = Callable[..., Ran]


@pytest.fixture
def call(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """The command line on a machine with this database, a home of its own and no .env."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    monkeypatch.setenv("CREDENTIALS_KEYS", KEY)
    monkeypatch.setattr("trunkline.cli.restore.ROOT", tmp_path)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(list(arguments))
        printed = capsys.readouterr()
        return Ran(int(exited.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
async def filled(database_url: str) -> str:
    """The database with a tenant, a message and a dead letter in it; the tenant's id."""
    record = tenant_record()
    async with open_pool(database_url, min_size=1, max_size=1) as pool:
        await TenantStore(pool, Sealer([KEY])).create(record, BY)
    with psycopg.connect(database_url) as link:
        link.execute(
            "INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, text, accepted_at) "
            "VALUES (%s, gen_random_uuid(), '447700900123', 'inbound', 'text', 'delivered', %s, now())",
            (record.tenant_id, TEXT),
        )
        link.execute(
            "INSERT INTO dead_letters (tenant_id, message_id, direction, reason, envelope) "
            "VALUES (%s, gen_random_uuid(), 'inbound', 'rejected', %s)",
            (record.tenant_id, bytes(range(256))),
        )
    return str(record.tenant_id)


def everything(database_url: str) -> dict[str, list[Any]]:
    """Every row of every table but the audit log, to which backup and restore add."""
    with psycopg.connect(conninfo(database_url)) as link:
        tables = [name for (name,) in link.execute(dumps._TABLES) if not name.startswith("audit")]
        query = sql.SQL("SELECT t::text FROM public.{} t ORDER BY 1")
        return {name: link.execute(query.format(sql.Identifier(name))).fetchall() for name in tables}


def wreck(database_url: str) -> None:
    """What a bad day leaves: tables gone, others emptied, strangers in their place."""
    with psycopg.connect(conninfo(database_url)) as link:
        link.execute("DROP TABLE messages, tenant_credentials CASCADE")
        link.execute("DELETE FROM dead_letters")
        link.execute("CREATE TYPE mood AS ENUM ('bad')")
        link.execute("CREATE TABLE messages (mood mood)")
        link.execute("CREATE VIEW moods AS SELECT * FROM messages")
        link.execute("CREATE TABLE parts (id int GENERATED ALWAYS AS IDENTITY, at date) PARTITION BY RANGE (at)")
        link.execute("CREATE TABLE parts_now PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")


def test_what_was_wrecked_comes_back_row_by_row(call: Call, database_url: str, filled: str, tmp_path: Path) -> None:
    before = everything(database_url)
    assert len(before["messages"]) == 1
    made = call("backup", str(tmp_path / "b.tar"), "--json")
    assert made.code == 0, made.err
    assert made.json["rows"]["messages"] == 1

    wreck(database_url)
    done = call("restore", str(tmp_path / "b.tar"), "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["migrated"] == []
    assert everything(database_url) == before
    # Identities go on behind what is there, triggers announce, and nothing of the wreck is left.
    with psycopg.connect(conninfo(database_url)) as link:
        link.execute(
            "INSERT INTO dead_letters (message_id, direction, reason, envelope) VALUES (gen_random_uuid(), '', '', '')"
        )
        link.execute("LISTEN trunkline_directory")
        link.execute("UPDATE tenants SET name = 'renamed' WHERE tenant_id = %s", (filled,))
        link.commit()
        assert [told.payload for told in link.notifies(timeout=5, stop_after=1)] == [f"tenant:{filled}"]
        assert link.execute("SELECT to_regclass('moods'), to_regtype('mood')").fetchone() == (None, None)
        assert link.execute("SELECT action FROM audit_log ORDER BY id DESC LIMIT 1").fetchone() == (
            "database.restored",
        )


def test_a_backup_of_an_older_version_is_migrated(call: Call, database_url: str, filled: str, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    programs = find_programs(dumps.server_version(database_url))
    newest = migrate_down(database_url)
    archive.write(
        file, "0.0.9", {}, {}, lambda target: dumps.dump(database_url, programs, target, None, lambda _: None)
    )
    done = call("restore", str(file), "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["migrated"] == newest
    assert call("migrate", "status").code == 0


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(lambda path: path.write_bytes(b"no tar at all"), "broken one", id="no tar"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-20_000]), "broken", id="cut off"),
        pytest.param(lambda path: flip(path), "is not what was written", id="a byte changed"),
        pytest.param(lambda path: path.unlink(), "No such file", id="not there"),
        pytest.param(lambda path: rewrite(path, format=7), "format 7", id="another format"),
        pytest.param(lambda path: rewrite(path, migration="0099-later"), "0099-later", id="a newer version"),
    ],
)
def test_a_file_that_cannot_be_restored_is_refused_before_anything_is_touched(
    call: Call, database_url: str, filled: str, tmp_path: Path, harm: Callable[[Path], Any], words: str
) -> None:
    file = tmp_path / "b.tar"
    assert call("backup", str(file)).code == 0
    before = everything(database_url)
    harm(file)
    refused = call("restore", str(file), "--yes")
    assert refused.code == 1
    assert words in refused.err
    assert everything(database_url) == before


def test_a_router_at_work_is_named_and_left_alone(call: Call, database_url: str, filled: str, tmp_path: Path) -> None:
    assert call("backup", str(tmp_path / "b.tar")).code == 0
    with psycopg.connect(conninfo(database_url)):
        refused = call("restore", str(tmp_path / "b.tar"), "--yes")
    assert refused.code == 1
    assert "trunkline with 1 connection." in refused.err
    assert "Ctrl-C" in refused.err


def test_a_restore_that_loses_a_row_is_taken_back_as_a_whole(database_url: str, filled: str, tmp_path: Path) -> None:
    programs = find_programs(dumps.server_version(database_url))
    contents = dumps.dump(database_url, programs, tmp_path / "dump", None, lambda _: None)
    before = everything(database_url)
    with pytest.raises(DumpFailed, match=r"dead_letters has .* rows where the backup had 99") as caught:
        dumps.restore(database_url, programs, tmp_path / "dump", {**contents.rows, "dead_letters": 99}, lambda _: None)
    assert TEXT[:10] not in str(caught.value)
    assert everything(database_url) == before


def test_a_backup_holds_no_open_secret_unless_it_is_to(call: Call, filled: str, tmp_path: Path) -> None:
    call("backup", str(tmp_path / "plain.tar"))
    call("backup", str(tmp_path / "keys.tar"), "--with-keys")
    plain, with_keys = (tmp_path / name for name in ("plain.tar", "keys.tar"))
    assert KEY.encode() not in plain.read_bytes()
    assert KEY.encode() in with_keys.read_bytes()
    for file in (plain, with_keys):
        assert ACCESS_TOKEN.encode() not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.tar", "plain.tar"]  # and no drafts


def test_a_machine_without_the_keys_refuses_unless_the_backup_has_them(
    call: Call, filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("backup", str(tmp_path / "plain.tar"))
    call("backup", str(tmp_path / "keys.tar"), "--with-keys")
    monkeypatch.delenv("CREDENTIALS_KEYS")
    (tmp_path / "keys.env").write_text(f"CREDENTIALS_KEYS={OTHER}\n")
    refused = call("restore", str(tmp_path / "plain.tar"), "--yes")
    assert refused.code == 1
    assert fingerprint(KEY) in refused.err
    assert call("restore", str(tmp_path / "keys.tar"), "--yes").code == 0
    assert f"CREDENTIALS_KEYS={OTHER},{KEY}" in (tmp_path / "keys.env").read_text()
    assert stat.S_IMODE((tmp_path / "keys.env").stat().st_mode) == 0o600


def test_settings_come_back_where_there_are_none_and_are_compared_where_there_are(
    call: Call, filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESYS_REGION", "mypurecloud.ie")
    monkeypatch.setenv("META_APP_SECRET", "a meta secret")
    call("backup", str(tmp_path / "b.tar"), "--with-keys")
    monkeypatch.delenv("GENESYS_REGION")
    assert call("restore", str(tmp_path / "b.tar"), "--yes").code == 0
    env = (tmp_path / ".env").read_text()
    assert "GENESYS_REGION=mypurecloud.ie\n" in env
    assert "META_APP_SECRET='a meta secret'\n" in env
    assert "DATABASE_URL" not in env
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600

    (tmp_path / ".env").write_text("GENESYS_REGION=mypurecloud.de\n")
    again = call("restore", str(tmp_path / "b.tar"), "--yes")
    assert (tmp_path / ".env").read_text() == "GENESYS_REGION=mypurecloud.de\n"
    assert "GENESYS_REGION" in again.err and "a meta secret" not in again.err + again.out


@pytest.mark.parametrize("host", ["127.0.0.1", "graph.example"])
def test_simulated_clouds_stay_where_they_are(
    call: Call, filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("GRAPH_API_URL", f"http://{host}:3001/graph")
    monkeypatch.setenv("META_VERIFY_TOKEN", "a-token")
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    call("backup", str(tmp_path / "b.tar"), "--with-keys")
    settings, keys = (json.loads(dict(_members(tmp_path / "b.tar"))[name]) for name in ("settings.json", "keys.json"))
    assert settings["LOG_LEVEL"] == "WARNING"
    assert ("GRAPH_API_URL" in settings) == ("META_VERIFY_TOKEN" in keys) == (host != "127.0.0.1")


def test_a_file_that_is_there_is_not_overwritten_by_accident(call: Call, filled: str, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("precious")
    refused = call("backup", str(tmp_path / "b.tar"))
    assert (refused.code, (tmp_path / "b.tar").read_text()) == (1, "precious")
    assert "--overwrite" in refused.err
    assert call("backup", str(tmp_path / "b.tar"), "--overwrite").code == 0
    assert call("backup", str(tmp_path / "no" / "folder.tar")).code == 1


def test_nobody_is_asked_where_nobody_types(call: Call, database_url: str, filled: str, tmp_path: Path) -> None:
    call("backup", str(tmp_path / "b.tar"))
    before = everything(database_url)
    asked = call("restore", str(tmp_path / "b.tar"))
    assert asked.code == 1
    assert re.search(r"Replace all \d+ rows of the database 'test_\w+'", asked.err)
    assert everything(database_url) == before


def test_programs_that_are_not_there_are_named_with_their_package() -> None:
    with pytest.raises(ConfigurationError, match="postgresql-client-99"):
        find_programs(99)


def test_a_password_is_where_ps_does_not_show_it() -> None:
    password = f"a:b\\c{secrets.token_hex(4)}"
    with connecting(f"postgresql://me:{password.replace(chr(92), '%5C')}@db.example/x") as where:
        assert password[-8:] not in where
        file = Path(re.search(r"passfile=(\S+)", where)[1])  # type: ignore[index]
        assert file.read_text() == "*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()


def flip(path: Path) -> None:
    """Change one byte in the middle of the dump."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, format: int | None = None, migration: str | None = None) -> None:
    """Change what the archive says of itself."""
    members = dict(_members(path))
    manifest = json.loads(members["manifest.json"])
    manifest["format"] = format or manifest["format"]
    manifest["contents"]["migrations"] += [migration] if migration else []
    members["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            yield member.name, file.read()
