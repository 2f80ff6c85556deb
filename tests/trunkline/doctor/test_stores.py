"""The doctor beside real stores: each thing broken for real, seen by its check alone, and mended by the remedy."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config.settings import Settings
from tests.trunkline.doctor.systems import scene, with_verdict
from trunkline.cli.main import main
from trunkline.doctor.accepted import LAST_ACCEPTED
from trunkline.doctor.facts import Scene, gather
from trunkline.doctor.guide import chosen, examine
from trunkline.doctor.logbook import LOGBOOK
from trunkline.doctor.opinion import Finding, Verdict
from trunkline.stores import keys
from trunkline.stores.database import conninfo
from trunkline.stores.migrations import migrate_up

pytestmark = pytest.mark.services

WA_ID = "447700900123"
DATABASE_CHECKS = ("postgres", "connections", "migrations")
CACHE_CHECKS = ("redis", "redis-memory", "token-cache", "stale-cache", "rate-limit", "tenant-keys")


def here(tenant: str | None = None, **settings: Any) -> Scene:
    """A router on this machine with these stores; nobody asks the router itself."""
    return scene(settings=Settings(**settings), tenant=tenant, now=datetime.now(UTC))


def judged(of: Scene, *checks: str) -> dict[str, Finding]:
    return {finding.check.id: finding for finding in examine(of, chosen(ids=checks))}


def said(findings: dict[str, Finding], check: str) -> str:
    opinion = findings[check].opinion
    return "\n".join((*opinion.evidence, *opinion.remedy))


def failing(of: Scene, *checks: str) -> set[str]:
    return with_verdict(judged(of, *checks), Verdict.FAIL)


# --- Postgres ---


@pytest.fixture
def limited_role(database_url: str) -> Iterator[str]:
    """The database, for a role that may hold two connections."""
    name, password = f"few_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 2 PASSWORD '{password}'".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
        yield conninfo(database_url, user=name, password=password)
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def test_connections_that_are_used_up_fail_their_check_alone_until_they_are_given_back(limited_role: str) -> None:
    system = here(database_url=limited_role)
    with psycopg.connect(limited_role), psycopg.connect(limited_role):
        findings = judged(system, *DATABASE_CHECKS)
        assert with_verdict(findings, Verdict.FAIL) == {"connections"}
        assert "Too many clients already" in said(findings, "connections")
        assert "pg_stat_activity" in said(findings, "connections")
    findings = judged(here(database_url=limited_role), "connections")
    assert "of 2 connections are in use" in said(findings, "connections")


def test_a_wrong_password_is_told_as_such(database_url: str) -> None:
    findings = judged(here(database_url=conninfo(database_url, password="wrong-one")), *DATABASE_CHECKS)
    assert with_verdict(findings, Verdict.FAIL) == {"postgres"}
    assert "authentication failed" in said(findings, "postgres")
    assert "correct user and password in DATABASE_URL" in said(findings, "postgres")
    assert "wrong-one" not in str(findings)


def test_an_empty_database_has_every_migration_pending_until_the_remedy_is_typed(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system = here(database_url=empty_database_url)
    findings = judged(system, *DATABASE_CHECKS)
    assert with_verdict(findings, Verdict.FAIL) == {"migrations"}
    assert "pending: 0001-tenants" in said(findings, "migrations")
    remedy = findings["migrations"].opinion.remedy[0]
    assert remedy == "scripts/trunkline migrate up"
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    with pytest.raises(SystemExit) as ended:
        main(remedy.split()[1:])
    assert ended.value.code == 0, capsys.readouterr().err
    assert failing(system, *DATABASE_CHECKS) == set()


@pytest.mark.parametrize(
    ("harm", "evidence"),
    [
        pytest.param(
            "DELETE FROM _yoyo_migration WHERE migration_id = (SELECT max(migration_id) FROM _yoyo_migration)",
            "a mark was lost",
            id="a mark that was lost",
        ),
        pytest.param(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) VALUES (1, '9999-new', now())",
            "does not know: 9999-new",
            id="a database of a newer version",
        ),
        pytest.param("DROP TABLE lanes", "tables are missing: lanes", id="a table that was dropped"),
    ],
)
def test_a_schema_that_was_tampered_with_is_found(empty_database_url: str, harm: str, evidence: str) -> None:
    migrate_up(empty_database_url)
    system = here(database_url=empty_database_url)
    assert failing(system, *DATABASE_CHECKS) == set()
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(harm.encode())
    findings = judged(system, *DATABASE_CHECKS)
    assert with_verdict(findings, Verdict.FAIL) == {"migrations"}
    assert evidence in said(findings, "migrations")


# --- Redis beside Postgres ---


class Tenant:
    """A tenant in the tables, with a conversation, and its keys in Redis."""

    def __init__(self, database: psycopg.Connection[Any], cache: redis.Redis) -> None:
        self.id = f"t-{secrets.token_hex(5)}"
        self.conversation_id = str(uuid.uuid4())
        self._database = database
        self._cache = cache
        self._made: set[str] = set()
        database.execute(
            "INSERT INTO tenants (tenant_id, name, status, rate_limit, dedicated, settings) "
            "VALUES (%s, 'Acme', 'active', 100, false, '{}')",
            [self.id],
        )
        database.execute(
            "INSERT INTO conversation_mappings (tenant_id, wa_id, conversation_id) VALUES (%s, %s, %s)",
            [self.id, WA_ID, self.conversation_id],
        )
        self.give_key()
        self.cache_mapping()
        self.cache_token(expires_in_s=3600)

    def give_key(self) -> None:
        self._database.execute(
            "INSERT INTO tenant_api_keys (key_id, tenant_id, role, name, key_sha256) "
            "VALUES (%s, %s, 'tenant', 'test', %s)",
            [f"k-{secrets.token_hex(6)}", self.id, secrets.token_bytes(32)],
        )

    def lose_keys(self) -> None:
        self._database.execute("UPDATE tenant_api_keys SET revoked_at = now() WHERE tenant_id = %s", [self.id])

    def cache_mapping(self, conversation_id: str | None = None, wa_id: str = WA_ID) -> None:
        told = {"tenantId": self.id, "waId": wa_id, "conversationId": conversation_id or self.conversation_id}
        self._set(keys.mapping_by_wa_id(self.id, WA_ID), json.dumps(told), keys.MAPPING_TTL_S)
        self._set(keys.mapping_by_conversation(self.id, told["conversationId"]), json.dumps(told), keys.MAPPING_TTL_S)

    def cache_token(self, expires_in_s: float, ttl_s: int | None = 3600) -> None:
        value = json.dumps({"token": "sealed", "issuedAt": time.time(), "expiresAt": time.time() + expires_in_s})
        self._set(keys.oauth_token(self.id), value, ttl_s)

    def use(self, requests: int) -> None:
        self._set(keys.rate_limit(self.id, datetime.now(UTC)), str(requests), keys.RATE_LIMIT_TTL_S)

    def clear(self) -> None:
        """What `cache clear` does."""
        self._cache.delete(*self._made)

    def _set(self, key: str, value: str, ttl_s: int | None) -> None:
        self._made.add(key)
        self._cache.set(key, value, ex=ttl_s)


@pytest.fixture
def tenant(database_url: str, redis_url: str) -> Iterator[Tenant]:
    with psycopg.connect(database_url, autocommit=True) as database, redis.Redis.from_url(redis_url) as cache:
        made = Tenant(database, cache)
        yield made
        made.clear()


@pytest.mark.parametrize(
    ("harm", "check", "evidence"),
    [
        pytest.param(lambda t: t.cache_mapping(str(uuid.uuid4())), "stale-cache", "Postgres knows no such conversation",
                     id="a mapping to a conversation that is not there"),
        pytest.param(lambda t: t.cache_mapping(wa_id="447700900999"), "stale-cache", "another person's",
                     id="a mapping to somebody else"),
        pytest.param(lambda t: t.cache_token(-60), "token-cache", "expired 0:01:00 ago", id="a token past its time"),
        pytest.param(lambda t: t.cache_token(3600, ttl_s=None), "token-cache", "never ends",
                     id="a token kept for ever"),
        pytest.param(lambda t: t.use(130), "rate-limit", "130 requests in a minute, 100 are allowed",
                     id="a limit used up"),
    ],
)  # fmt: skip
def test_a_cache_that_says_otherwise_fails_its_check_alone_until_it_is_cleared(
    tenant: Tenant, database_url: str, redis_url: str, harm: Callable[[Tenant], None], check: str, evidence: str
) -> None:
    system = here(tenant.id, database_url=database_url, redis_url=redis_url)
    assert failing(system, *CACHE_CHECKS) == set()
    harm(tenant)
    findings = judged(system, *CACHE_CHECKS)
    assert with_verdict(findings, Verdict.FAIL) == {check}
    assert evidence in said(findings, check)
    assert tenant.id in said(findings, check)
    tenant.clear()
    assert failing(system, *CACHE_CHECKS) == set()


def test_a_conversation_that_was_closed_and_opened_anew_is_known_by_its_latest(
    tenant: Tenant, database_url: str, redis_url: str
) -> None:
    system = here(tenant.id, database_url=database_url, redis_url=redis_url)
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("UPDATE conversation_mappings SET status = 'closed' WHERE tenant_id = %s", [tenant.id])
        assert failing(system, "stale-cache") == set()  # nobody has written since
        database.execute(
            "INSERT INTO conversation_mappings (tenant_id, wa_id, created_at) VALUES (%s, %s, now())",
            [tenant.id, WA_ID],
        )
    assert "conversation is another one" in said(judged(system, "stale-cache"), "stale-cache")


def test_a_tenant_whose_keys_are_gone_is_named(tenant: Tenant, database_url: str, redis_url: str) -> None:
    system = here(tenant.id, database_url=database_url, redis_url=redis_url)
    tenant.lose_keys()
    findings = judged(system, "tenant-keys")
    assert with_verdict(findings, Verdict.WARN) == {"tenant-keys"}
    assert f"scripts/trunkline keys create --tenant {tenant.id}" in said(findings, "tenant-keys")
    tenant.give_key()
    assert with_verdict(judged(system, "tenant-keys"), Verdict.PASS) == {"tenant-keys"}


# --- the log beside Postgres ---


def _log(home: Path, *lines: dict[str, Any]) -> None:
    folder = home / "logs"
    folder.mkdir(exist_ok=True)
    with (folder / "application.log").open("a") as file:
        file.writelines(
            json.dumps({"level": "WARNING", "logger": "trunkline.web.webhooks", **line}) + "\n" for line in lines
        )


def test_refused_signatures_in_the_log_fail_until_one_is_accepted(
    tenant: Tenant, database_url: str, tmp_path: Path
) -> None:
    refused_at = datetime.now(UTC) - timedelta(minutes=2)
    line = {"event": "webhook.signature_refused", "at": refused_at.isoformat(), "cloud": "genesys", "tenant": tenant.id}
    _log(tmp_path, line, {**line, "at": (refused_at - timedelta(hours=3)).isoformat()})
    system = here(tenant.id, database_url=database_url, trunkline_home=tmp_path)
    facts = gather([LOGBOOK, LAST_ACCEPTED], system)
    assert len(facts.of(LOGBOOK).lines) == 1  # what is older than an hour does not count
    assert facts.of(LAST_ACCEPTED).from_genesys(tenant.id) is None
    findings = judged(system, "genesys-signature", "meta-signature", "verify-token", "connections")
    assert with_verdict(findings, Verdict.FAIL) == {"genesys-signature"}
    assert f"tenants update {tenant.id} --webhook-secret" in said(findings, "genesys-signature")

    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO messages (tenant_id, message_id, wa_id, direction, kind, status, accepted_at) "
            "VALUES (%s, %s, %s, 'outbound', 'text', 'delivered', now())",
            [tenant.id, str(uuid.uuid4()), WA_ID],
        )
    assert with_verdict(judged(system, "genesys-signature"), Verdict.PASS) == {"genesys-signature"}


def test_work_without_a_connection_is_found_in_the_log(database_url: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    _log(tmp_path, {"event": "ledger.unavailable", "at": now.isoformat(), "error": "Connection pool timeout"})
    findings = judged(here(database_url=database_url, trunkline_home=tmp_path), *DATABASE_CHECKS)
    assert with_verdict(findings, Verdict.FAIL) == {"connections"}
    assert "1 times in the last hour" in said(findings, "connections")
