"""The audit log on a real Postgres: added to with what it tells of, and whole unless somebody was at it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.trunkline.records import ACCESS_TOKEN, BY, CLIENT_SECRET, WEBHOOK_SECRET, tenant_record
from trunkline.errors import Conflict
from trunkline.stores.audit import AuditStore, append, append_if_kept
from trunkline.stores.database import Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.audit import Actor, AuditEntry, AuditRecord, Breach, Verified
from trunkline.tenancy.record import Secret

pytestmark = pytest.mark.services

KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
OPERATOR = Actor("key-7", "operator", "203.0.113.9")
TABLES = ("audit_log", "audit_removed", "audit_head")


@pytest.fixture
async def audit(pool: Pool) -> AsyncIterator[AuditStore]:
    """An empty log; what a test does to it is undone, since it is the module's."""
    await _forge(
        pool,
        "TRUNCATE audit_log, audit_removed",
        "UPDATE audit_head SET last_id = 0, anchor_id = 0, last_hash = decode(repeat('00', 32), 'hex'), "
        "anchor_hash = decode(repeat('00', 32), 'hex')",
    )
    yield AuditStore(pool)


async def _forge(pool: Pool, *statements: str) -> None:
    """Do to the log what its triggers refuse, as the owner of its tables can."""
    async with connection(pool) as taken:
        for table in TABLES:
            await taken.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            await taken.execute(statement)
        for table in TABLES:
            await taken.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def _fill(audit: AuditStore, count: int = 5, tenant_id: str | None = "alder") -> None:
    for number in range(count):
        await audit.record(AuditRecord(OPERATOR, "tenant.updated", tenant_id, None, {"n": number}, {"n": number + 1}))


async def _verified(audit: AuditStore, limit: int = 1000) -> Verified:
    found = await audit.verify(limit)
    while not found.is_done:
        found = await audit.verify(limit, found.reached)
    return found


async def _all(audit: AuditStore, **wanted: Any) -> list[AuditEntry]:
    return await audit.entries(1000, **wanted)


async def test_an_entry_says_who_did_what_when_from_where_and_what_was_there_before(audit: AuditStore) -> None:
    record = AuditRecord(OPERATOR, "pool.scaled", "alder", "inbound", {"min": 1}, {"min": 2, "max": None, "x": [1.5]})
    await audit.record(record)
    (entry,) = await _all(audit)
    assert entry.record == record
    assert entry.id == 1
    assert timedelta(0) <= datetime.now(UTC) - entry.at < timedelta(minutes=1)


async def test_what_postgres_cannot_hold_is_left_out_of_an_entry(audit: AuditStore) -> None:
    odd = {"a\0b": ["c\0d", {"e": "\ud800"}], "large": 1e30, "at": datetime(2026, 1, 1, tzinfo=UTC)}
    await audit.record(AuditRecord(Actor("k\0", "admin", "a\0"), "x.y", None, "s\0", None, odd))
    assert (await _verified(audit)).breach is None


async def test_pages_go_from_new_to_old_and_keep_to_a_tenant_or_an_action(audit: AuditStore) -> None:
    await _fill(audit, 3)
    await audit.record(AuditRecord(BY, "key.revoked", "birch", "key-1"))
    assert [entry.id for entry in await audit.entries(2)] == [4, 3]
    assert [entry.id for entry in await audit.entries(2, 3)] == [2, 1]
    assert [entry.id for entry in await _all(audit, tenant_id="birch")] == [4]
    assert [entry.id for entry in await _all(audit, action="tenant.updated")] == [3, 2, 1]
    assert await _all(audit, tenant_id="birch", action="tenant.updated") == []


async def test_a_change_that_fails_leaves_no_entry_and_one_that_is_made_leaves_one(
    audit: AuditStore, pool: Pool
) -> None:
    tenants, record = TenantStore(pool, Sealer([KEY])), tenant_record()
    await tenants.create(record, OPERATOR)
    with pytest.raises(Conflict):
        await tenants.create(record, OPERATOR)
    with pytest.raises(RuntimeError):
        async with connection(pool) as taken:
            await append(taken, AuditRecord(OPERATOR, "tenant.updated", record.tenant_id, None))
            raise RuntimeError
    await tenants.update(record.tenant_id, lambda before: before, OPERATOR)
    await tenants.update(record.tenant_id, lambda before: dataclasses.replace(before, rate_limit=200), OPERATOR)
    assert await tenants.delete(record.tenant_id, OPERATOR)
    assert not await tenants.delete(record.tenant_id, OPERATOR)
    told = [(entry.record.action, entry.record.before) for entry in reversed(await _all(audit))]
    assert told == [
        ("tenant.created", None),
        ("tenant.updated", {"rateLimit": 100}),
        ("tenant.deleted", {"name": record.name, "status": "active"}),
    ]
    assert (await _verified(audit)).breach is None


async def test_no_secret_is_in_the_log(audit: AuditStore, pool: Pool) -> None:
    tenants, record = TenantStore(pool, Sealer([KEY])), tenant_record()
    _, key = await tenants.create(record, OPERATOR)
    changed = dataclasses.replace(record.whatsapp, access_token=Secret("EAAG-the-next-token-wxyz"))
    await tenants.update(record.tenant_id, lambda before: dataclasses.replace(before, whatsapp=changed), OPERATOR)
    async with connection(pool) as taken:
        rows = str(await (await taken.execute("SELECT l::text FROM audit_log l")).fetchall())
    assert f"****{ACCESS_TOKEN[-4:]}" in rows and "****wxyz" in rows
    for secret in (ACCESS_TOKEN, CLIENT_SECRET, WEBHOOK_SECRET, "EAAG-the-next-token-wxyz", key):
        assert secret not in rows


async def test_those_who_append_at_once_make_one_chain(audit: AuditStore) -> None:
    await asyncio.gather(*(_fill(audit, 10, f"tenant-{number}") for number in range(4)))
    found = await _verified(audit, limit=7)
    assert (found.breach, found.head.id, found.checked) == (None, 40, 40 % 7)
    assert [entry.id for entry in await _all(audit)] == list(range(40, 0, -1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'x.y' WHERE id = 2",
        "DELETE FROM audit_log WHERE id = 2",
        "TRUNCATE audit_log",
        "UPDATE audit_head SET last_id = last_id - 1",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
        "INSERT INTO audit_head (last_id, last_hash, anchor_id, anchor_hash) VALUES (0, '', 0, '')",
        "INSERT INTO audit_removed VALUES (2, ''); DELETE FROM audit_log WHERE id = 2",
        "INSERT INTO audit_removed VALUES (9, ''); DELETE FROM audit_removed",
        "INSERT INTO audit_removed VALUES (9, ''); UPDATE audit_removed SET id = 8",
        "TRUNCATE audit_removed",
    ],
)
async def test_the_log_is_only_ever_added_to(audit: AuditStore, pool: Pool, statement: str) -> None:
    await _fill(audit)
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError)):
        async with connection(pool) as taken:
            for each in statement.split(";"):
                await taken.execute(each)
    found = await _verified(audit)
    assert (found.breach, found.checked) == (None, 5)


@pytest.mark.parametrize(
    ("statements", "id"),
    [
        pytest.param(["UPDATE audit_log SET after = '{\"n\": 7}' WHERE id = 3"], 3, id="what was there"),
        pytest.param(["UPDATE audit_log SET key_id = 'key-8' WHERE id = 3"], 3, id="who did it"),
        pytest.param(["UPDATE audit_log SET address = NULL WHERE id = 3"], 3, id="from where"),
        pytest.param(["UPDATE audit_log SET at = at - interval '1 day' WHERE id = 3"], 3, id="when"),
        pytest.param(["DELETE FROM audit_log WHERE id = 3"], 3, id="removed"),
        pytest.param(["DELETE FROM audit_log WHERE id = 5"], 5, id="the newest removed"),
        pytest.param(["DELETE FROM audit_log WHERE id = 1"], 1, id="the oldest removed"),
        pytest.param(["DELETE FROM audit_log"], 1, id="all removed"),
        pytest.param(
            ["DELETE FROM audit_log WHERE id = 5", "UPDATE audit_head SET last_id = 4"], 4, id="the head put back"
        ),
        pytest.param(
            [
                "UPDATE audit_log SET id = 99 WHERE id = 2",
                "UPDATE audit_log SET id = 2 WHERE id = 3",
                "UPDATE audit_log SET id = 3 WHERE id = 99",
            ],
            2,
            id="two exchanged",
        ),
        pytest.param(
            [
                "INSERT INTO audit_log SELECT 6, at, key_id, role, address, action, tenant_id, subject, before, after, "
                "content_hash, previous_hash, hash FROM audit_log WHERE id = 5"
            ],
            6,
            id="inserted",
        ),
        pytest.param(
            ["INSERT INTO audit_removed VALUES (3, decode(repeat('ab', 32), 'hex'))",
             "DELETE FROM audit_log WHERE id = 3"],
            4,
            id="removed as if by retention",
        ),
    ],
)  # fmt: skip
async def test_whoever_was_at_the_log_is_found_out_and_the_first_entry_named(
    audit: AuditStore, pool: Pool, statements: list[str], id: int
) -> None:
    await _fill(audit)
    await _forge(pool, *statements)
    for limit in (1, 2, 1000):
        breach = (await _verified(audit, limit)).breach
        assert isinstance(breach, Breach) and breach.id == id


async def test_retention_removes_a_tenants_old_entries_and_the_chain_is_followed_across_them(
    audit: AuditStore, pool: Pool
) -> None:
    await _fill(audit, 2, "alder")
    await _fill(audit, 1, None)
    await _fill(audit, 2, "birch")
    await _fill(audit, 1, "alder")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert await audit.prune("birch", later, 100) == 2
    assert [entry.id for entry in await _all(audit)] == [6, 3, 2, 1]
    found = await _verified(audit)
    assert (found.breach, found.removed, found.start.id) == (None, 2, 0)
    # The oldest have gone with all before them: nothing of them has to be kept.
    assert await audit.prune("alder", later, 2) == 2
    assert await audit.prune(None, later, 100) == 1
    assert await audit.prune(None, later, 100) == 0
    found = await _verified(audit)
    assert (found.breach, found.removed, found.start.id, found.head.id) == (None, 0, 5, 6)
    async with connection(pool) as taken:
        assert await (await taken.execute("SELECT * FROM audit_removed")).fetchall() == []
    await _fill(audit, 1)
    await _forge(pool, "DELETE FROM audit_log WHERE id = 6")
    breach = (await _verified(audit)).breach
    assert breach is not None and breach.id == 6


async def test_what_is_not_old_enough_stays(audit: AuditStore) -> None:
    await _fill(audit, 2)
    assert await audit.prune("alder", datetime.now(UTC) - timedelta(days=1), 100) == 0
    assert len(await _all(audit)) == 2


async def test_a_check_goes_on_behind_what_was_removed_meanwhile(audit: AuditStore) -> None:
    await _fill(audit, 6)
    first = await audit.verify(2)
    assert await audit.prune("alder", datetime.now(UTC) + timedelta(minutes=1), 4) == 4
    rest = await audit.verify(100, first.reached)
    assert (rest.breach, rest.is_done, rest.reached.id) == (None, True, 6)


async def test_a_check_that_is_under_way_does_not_stumble_over_what_is_added(audit: AuditStore) -> None:
    await _fill(audit, 3)
    first = await audit.verify(2)
    await _fill(audit, 3)
    rest = await audit.verify(100, first.reached)
    assert (rest.breach, rest.checked, rest.head.id) == (None, 4, 6)


async def test_a_verb_of_the_machine_itself_notes_what_it_did_where_there_is_a_log(
    audit: AuditStore, database_url: str, empty_database_url: str
) -> None:
    record = AuditRecord(Actor("local:root", "local"), "migrations.applied", None, "0005-audit")
    await append_if_kept(database_url, record)
    await append_if_kept(empty_database_url, record)
    assert [entry.record for entry in await _all(audit)] == [record]
