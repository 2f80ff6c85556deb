"""The audit log on the command line: listed, shown, and checked."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.trunkline.cli.conftest import Run, Served
from tests.trunkline.records import BY, tenant_record
from trunkline.stores.database import conninfo
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services


@pytest.fixture
def tenant(served: Served) -> TenantRecord:
    record = tenant_record()
    served.run(served.admin.tenants.create(record, BY))
    return record


@contextmanager
def _forged(database_url: str, change: str, back: str) -> Iterator[None]:
    """What the log's triggers refuse, done as the owner of its tables can, and undone."""
    with psycopg.connect(conninfo(database_url), autocommit=True) as taken:
        for statement in (change, back):
            taken.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
            taken.execute(statement)
            taken.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
            if statement == change:
                yield


def test_what_was_done_is_listed_and_shown(run: Run, tenant: TenantRecord) -> None:
    assert run("tenants", "update", tenant.tenant_id, "--rate-limit", "7").code == 0
    listed = run("audit", "list", "--tenant", tenant.tenant_id, "--json").json
    assert [entry["action"] for entry in listed] == ["tenant.updated", "tenant.created"]
    table = run("audit", "list", "--action", "tenant.updated", "--limit", "1")
    assert table.code == 0 and tenant.tenant_id in table.out and "tenant.created" not in table.out
    shown = run("audit", "show", listed[0]["id"])
    assert shown.code == 0 and "rateLimit" in shown.out and "127.0.0.1" in shown.out
    assert run("audit", "show", listed[0]["id"], "--json").json == listed[0]
    assert run("audit", "show", "999999999").code == 1


def test_a_whole_log_is_said_to_be_whole_with_its_head(run: Run, tenant: TenantRecord) -> None:
    found = run("audit", "verify")
    assert found.code == 0 and "the audit log is whole" in found.out
    told = run("audit", "verify", "--json").json
    assert told["broken"] is None and told["checked"] == int(told["head"]["id"])
    head = f"{told['head']['id']}:{told['head']['hash']}"
    assert f"head {head}" in found.out
    assert run("tenants", "suspend", tenant.tenant_id).code == 0
    assert run("audit", "verify", "--head", head).code == 0


def test_a_log_that_somebody_was_at_is_exit_code_1_and_the_entry_named(
    run: Run, database_url: str, tenant: TenantRecord
) -> None:
    assert run("tenants", "suspend", tenant.tenant_id).code == 0
    entry = run("audit", "list", "--limit", "1", "--json").json[0]
    change = f"UPDATE audit_log SET key_id = 'somebody' WHERE id = {entry['id']}"
    back = f"UPDATE audit_log SET key_id = '{entry['actor']['keyId']}' WHERE id = {entry['id']}"
    with _forged(database_url, change, back):
        found = run("audit", "verify")
        assert found.code == 1 and f"broken at entry {entry['id']}: its content was changed" in found.err
        assert "whole" not in found.out
        told = run("audit", "verify", "--json")
        assert told.code == 1
    assert run("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (f"1:{'ab' * 32}", "the log was written anew"),
        (f"999999:{'ab' * 32}", "it is not there any more"),
    ],
)
def test_a_log_without_the_head_that_was_noted_is_broken(
    run: Run, tenant: TenantRecord, head: str, reason: str
) -> None:
    found = run("audit", "verify", "--head", head)
    assert found.code == 1 and reason in found.err


def test_a_head_that_is_none_is_a_wrong_call(run: Run) -> None:
    assert run("audit", "verify", "--head", "7").code == 2


def test_keys_are_listed_with_their_last_use_and_expiry(run: Run, served: Served, tenant: TenantRecord) -> None:
    key = run("keys", "create", "--name", "shop", "--tenant", tenant.tenant_id, "--json").json
    assert run("dead-letters", "list", key=key["apiKey"]).code == 0
    served.run(_noted(served))
    listed = run("keys", "list", "--tenant", tenant.tenant_id, "--json").json
    (used,) = [each["lastUsedAt"] for each in listed if each["keyId"] == key["keyId"]]
    assert used is not None
    table = run("keys", "list", "--tenant", tenant.tenant_id).out
    assert "LAST USED AT" in table and "EXPIRES AT" in table and used in table


async def _noted(served: Served) -> None:
    """Return once the uses of keys so far are written."""
    for noting in list(served.admin.keys._noting):
        await noting


def test_migrations_are_noted_as_done_by_the_user_of_the_machine(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    assert run("migrate", "up").code == 0
    assert run("migrate", "up").code == 0
    assert run("migrate", "down", "--yes").code == 0
    with psycopg.connect(empty_database_url) as taken:
        rows = taken.execute("SELECT key_id, role, action, subject FROM audit_log ORDER BY id").fetchall()
    actor = (f"local:{getpass.getuser()}", "local")
    assert [row[:3] for row in rows] == [(*actor, "migrations.applied"), (*actor, "migrations.rolled_back")]
    assert "0005-audit" in rows[0][3] and "," not in rows[1][3]
