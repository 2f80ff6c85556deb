"""Every check in a system where one thing is wrong: that one says so, with evidence and remedy, and no other does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.trunkline.doctor.systems import (
    GB,
    MB,
    NOW,
    WELL,
    examined,
    health,
    letter,
    line,
    pool,
    queue,
    redis_info,
    scene,
    status,
    tenant,
    with_verdict,
)
from trunkline.doctor.accepted import LAST_ACCEPTED, LastAccepted
from trunkline.doctor.cached import MAPPINGS, TOKENS, USE, StaleKey, Use
from trunkline.doctor.chapters.authentication import TOKEN
from trunkline.doctor.chapters.webhooks import OWN_SIGNATURE
from trunkline.doctor.database import KEYLESS, SCHEMA, SESSIONS, TABLES, Schema, Sessions
from trunkline.doctor.facts import Look, Unseen
from trunkline.doctor.guide import CHAPTERS, CHECKS, chosen
from trunkline.doctor.logbook import LOGBOOK, Logbook
from trunkline.doctor.machine import DISKS, INSTANCE, MEDIA, PORTS, STRAIN, Disk, Instance, Listener, Strain
from trunkline.doctor.opinion import Verdict
from trunkline.doctor.outside import CLOCKS, PUBLIC_URL, Clock
from trunkline.doctor.router import ACTORS, HEALTH, KEY, LETTERS, POOLS, QUEUES, SUSPECTS, TENANTS, Answering, Rows
from trunkline.doctor.stores import POSTGRES, RABBITMQ, REDIS, StoreAnswer

FREE = {3000: None, 3001: None}
UNHEALTHY = {"status": "unhealthy", "reason": "Cannot connect to Redis"}
SIGNATURE = "webhook.signature_refused"
NO_TOKEN = "Genesys refuses the credentials: invalid_client"
WRONG_SECRET = "invalid_client: authentication failed"
NO_CONNECTION = "Connection pool timeout"
GHOST = StaleKey("tenant:acme:mapping:wa:4477", "acme", "Postgres knows no such conversation")
USED_UP = {"genesysRequestsPerMinute": 300, "genesysBookedAheadSeconds": 40.0}
SLOWED = {"whatsappMessagesPerSecond": 80, "whatsappEffectiveMessagesPerSecond": 40.0}
ROWS: list[tuple[str, dict[Look[Any], Any], str, str]] = [
    # 1. services do not start
    ("router", {HEALTH: Answering(None, "Trunkline does not answer"), INSTANCE: Instance(None, ()), PORTS: FREE},
     "does not answer", "scripts/run"),
    ("router", {HEALTH: Answering(None, "Trunkline does not answer"), INSTANCE: Instance(9, ("Ray",))},
     "its child Ray is gone", "kill 9"),
    ("postgres", {POSTGRES: StoreAnswer("db:5432", "Postgres cannot be reached: refused")}, "cannot be reached",
     "systemctl start postgresql"),
    ("redis", {REDIS: StoreAnswer("127.0.0.1:6379", "Cannot connect to Redis: refused")}, "Cannot connect to Redis",
     "systemctl start redis-server"),
    ("redis", {HEALTH: health(redis=UNHEALTHY)}, "the router cannot reach it", "another REDIS_URL"),
    ("rabbitmq", {RABBITMQ: StoreAnswer("127.0.0.1:5672", "connect ECONNREFUSED 127.0.0.1:5672")},
     "connect ECONNREFUSED 127.0.0.1:5672", "systemctl start rabbitmq-server"),
    ("ray", {HEALTH: health(ray={"status": "degraded", "reason": "the supervisor does not answer"})},
     "the supervisor does not answer", "trunkline restart"),
    ("ray", {ACTORS: ({"name": "cell:0", "class": "TenantCell", "state": "silent", "memoryBytes": None},)},
     "cell:0 is silent", "restart"),
    # 2. webhook validation
    ("verify-token", {LOGBOOK: Logbook((line("webhook.handshake_refused", app="shop"),))},
     "app shop: 1 handshakes refused", "apps create"),
    ("meta-signature", {LOGBOOK: Logbook((line(SIGNATURE, cloud="meta", app="default", known=True),))},
     "app default: 1 signatures refused", "META_APP_SECRET"),
    ("meta-signature", {LOGBOOK: Logbook((line(SIGNATURE, cloud="meta", app="shop", known=False),))},
     "app shop", "apps create shop"),
    ("meta-signature", {OWN_SIGNATURE: 403}, "runs with another one", "scripts/run"),
    ("genesys-signature", {LOGBOOK: Logbook((line(SIGNATURE, cloud="genesys", tenant="acme"),))},
     "tenant acme: 1 signatures refused", "tenants update acme --webhook-secret"),
    ("public-url", {PUBLIC_URL: replace(WELL[PUBLIC_URL], is_private=True)}, "cannot be reached from outside",
     "PUBLIC_URL="),
    ("public-url", {PUBLIC_URL: replace(WELL[PUBLIC_URL], answers=False, error="refused")}, "refused", "curl -v"),
    ("public-url", {PUBLIC_URL: replace(WELL[PUBLIC_URL], certificate_ends=None)}, "no certificate", "curl -v"),
    # 3. authentication
    ("genesys-token", {SUSPECTS: {"acme": status(genesys=NO_TOKEN, tokenError=WRONG_SECRET)}},
     "Failed to obtain OAuth token", "tenants update acme --client-secret"),
    ("genesys-token", {SUSPECTS: {"acme": status(genesys=NO_TOKEN, tokenError="invalid_client: client not found")}},
     "region mypurecloud.ie", "--region REGION"),
    ("genesys-access", {SUSPECTS: {"acme": status(genesys="404 not.found: no such integration")}}, "404 not.found",
     "--integration-id"),
    ("genesys-access", {SUSPECTS: {"acme": status(genesys="403 missing.permissions: no")}}, "403", "role"),
    ("clock", {CLOCKS: {"Genesys Cloud": Clock(95.0)}}, "Genesys Cloud is 95 s ahead of", "set-ntp true"),
    ("token-cache", {TOKENS: (StaleKey("tenant:acme:oauth:token", "acme", "its token expired 1:00:00 ago"),)},
     "tenant:acme:oauth:token", "cache clear --tenant acme"),
    # 4. delivery failures
    ("to-genesys", {SUSPECTS: {"acme": status(genesys="503 service.unavailable: later")}}, "503", "by themselves"),
    ("to-genesys", {SUSPECTS: {"acme": status(genesys="429 too.many.requests: slow down")}}, "429",
     "genesysRequestsPerMinute"),
    ("to-whatsapp", {SUSPECTS: {"acme": status(whatsapp="131000 Something went wrong")}}, "131000", "by themselves"),
    ("whatsapp-token", {SUSPECTS: {"acme": status(whatsapp="190 Access token has expired")}}, "190 Access token",
     "tenants update acme --access-token"),
    ("whatsapp-limit", {SUSPECTS: {"acme": status(whatsapp="130429 Rate limit hit")}}, "130429",
     "whatsappMessagesPerSecond"),
    ("whatsapp-rejected", {LETTERS: Rows((letter("rejected", "outbound"),))}, "1 outbound rejected (acme 1)",
     "dead-letters replay --reason rejected"),
    ("dead-letters", {LETTERS: Rows((letter("exhausted"), letter("exhausted")))}, "2 inbound exhausted",
     "dead-letters replay --reason exhausted"),
    ("transformers", {HEALTH: health(inbound={"status": "degraded", "reason": "1 of 1 transformers do not answer"})},
     "1 of 1 transformers do not answer", "restart"),
    ("transformers", {POOLS: {"inbound": pool(), "outbound": pool(running=0)}}, "outbound: 0 of 1", "restart"),
    # 5. database
    ("connections", {POSTGRES: StoreAnswer("db:5432", "Too many clients already"), SESSIONS: Unseen("full")},
     "Too many clients already", "pg_stat_activity"),
    ("connections", {SESSIONS: Sessions(195, 197, (("psql", 180), ("trunkline", 15)), 0)}, "195 of 197 connections",
     "max_connections"),
    ("connections", {LOGBOOK: Logbook((line("spool.waits", ago=timedelta(minutes=1), error=NO_CONNECTION),))},
     NO_CONNECTION, "max_connections"),
    ("migrations", {SCHEMA: Schema(("0001-tenants",), ("0002-messages",), (), TABLES[:4], TABLES[4:])},
     "pending: 0002-messages", "scripts/trunkline migrate up"),
    ("migrations", {SCHEMA: Schema(("0001-tenants",), ("0002-messages",), (), TABLES, ())}, "a mark was lost",
     "migrate up"),
    ("migrations", {SCHEMA: Schema(("0001-tenants",), (), ("0099-later",), TABLES, ())}, "0099-later", "newer version"),
    ("migrations", {SCHEMA: Schema(("0001-tenants",), (), (), TABLES[1:], TABLES[:1])}, "tables are missing: tenants",
     "restore"),
    # 6. Redis
    ("redis-memory", {REDIS: replace(WELL[REDIS], facts=redis_info(used_memory=9 * MB, maxmemory=8 * MB))}, "9 of 8 MB",
     "CONFIG SET maxmemory"),
    ("redis-memory", {REDIS: replace(WELL[REDIS], facts=redis_info(role="slave"))}, "is a replica", "name the master"),
    ("stale-cache", {MAPPINGS: (GHOST,)}, "tenant:acme:mapping:wa:4477", "cache clear --tenant acme"),
    # 7. RabbitMQ
    ("backlog", {QUEUES: Rows((queue(messages=900, oldestAgeSeconds=240.0),))},
     "acme: 900 in inbound-whatsapp-messages", "pools scale inbound 2"),
    ("backlog", {QUEUES: Rows((queue("outbound-genesys-messages", messages=9, oldestAgeSeconds=90.0),))}, "for 90 s",
     "pools scale outbound 2"),
    ("backlog", {QUEUES: Rows((queue(messages=9, oldestAgeSeconds=90.0),)), SUSPECTS: {"acme": status(limits=USED_UP)}},
     "genesysRequestsPerMinute 300 is used up for the next 40 s", "--setting genesysRequestsPerMinute=600"),
    ("backlog", {QUEUES: Rows((queue(messages=2, spooled=2, consumers=0, oldestAgeSeconds=90.0),))}, "2 in inbound",
     "scripts/trunkline trace ID"),
    ("consumers", {QUEUES: Rows((queue(messages=3, consumers=0, oldestAgeSeconds=90.0),))}, "nobody consumes it",
     "pools scale inbound"),
    ("broker-alarm", {RABBITMQ: replace(WELL[RABBITMQ], facts={"blocked": True})}, "takes no messages", "alarms"),
    # 8. performance
    ("slow-stores", {HEALTH: health(postgres={"latencyMs": 700.0})}, "postgres takes 700 ms", "VACUUM"),
    ("machine", {STRAIN: Strain(2, 0.5, GB // 4, 16 * GB)}, "256 of 16384 MB", "pools scale"),
    ("actor-memory", {ACTORS: ({"name": "cell:0", "pid": 7, "memoryBytes": 600 * MB, "memoryLimitBytes": 512 * MB,
                                "state": "alive"},)},
     "cell:0 (pid 7): 600 MB of 512 MB", "scripts/trunkline restart"),
    ("disk", {DISKS: (Disk(Path("/srv"), GB // 4, 200 * GB),)}, "/srv: 0.2 of 200.0 GB", "du -xh"),
    # 9. tenants
    ("admin-key", {KEY: "the key is missing or unknown"}, "missing or unknown", "keys first"),
    ("inactive", {TENANTS: Rows((tenant(status="suspended"),)),
                  QUEUES: Rows((queue(messages=4, consumers=0, oldestAgeSeconds=99.0),))},
     "held because the tenant is suspended", "tenants activate acme"),
    ("unrouted", {LETTERS: Rows((letter("unrouted", tenantId=None, answer="no tenant has number 1"),))},
     "no tenant has number 1", "dead-letters replay --reason unrouted"),
    ("rate-limit", {USE: (Use("acme", 130, 100),)}, "acme: 130 requests in a minute", "--rate-limit 200"),
]  # fmt: skip


def test_in_a_system_that_is_well_no_check_fails_or_warns() -> None:
    findings = examined({})
    assert with_verdict(findings, Verdict.FAIL, Verdict.WARN) == set()
    # Only what is asked of one tenant has nothing to look at.
    assert with_verdict(findings, Verdict.SKIPPED) == {"tenant"}


@pytest.mark.parametrize(
    ("check", "changes", "evidence", "remedy"),
    [pytest.param(*row, id=f"{row[0]}: {row[2]}") for row in ROWS],
)
def test_what_is_wrong_fails_exactly_its_own_check_and_says_what_to_do(
    check: str, changes: dict[Look[Any], Any], evidence: str, remedy: str
) -> None:
    findings = examined(changes)
    assert with_verdict(findings, Verdict.FAIL) == {check}
    opinion = findings[check].opinion
    assert evidence in "\n".join(opinion.evidence)
    assert remedy in "\n".join(opinion.remedy)


@pytest.mark.parametrize(
    ("check", "changes", "evidence"),
    [
        pytest.param("port", {HEALTH: Answering(None, "x"), INSTANCE: Instance(None, ()),
                              PORTS: {3000: None, 3001: Listener(3001, 5, "nginx")}},
                     "Port 3001 is already in use by nginx (pid 5)", id="the sandbox's port"),
        pytest.param("public-url", {PUBLIC_URL: replace(WELL[PUBLIC_URL], certificate_ends=NOW + timedelta(days=3))},
                     "ends 2026-11-26", id="a certificate that ends soon"),
        pytest.param("clock", {CLOCKS: {"Redis": Clock(-8.0)}}, "Redis is 8 s behind", id="a clock that drifts"),
        pytest.param("whatsapp-limit", {SUSPECTS: {"acme": status(limits=SLOWED)}}, "40 of 80 messages",
                     id="a number slowed down"),
        pytest.param("dead-letters", {LETTERS: Rows((letter("exhausted", age=timedelta(hours=5)),))},
                     "1 inbound exhausted", id="given up some hours ago"),
        pytest.param("dead-letters", {LETTERS: Rows((letter("window_closed", "outbound"),))}, "window_closed",
                     id="a sender's own doing"),
        pytest.param("connections", {SESSIONS: Sessions(160, 197, (), 0)}, "160 of 197", id="connections filling up"),
        pytest.param("connections", {SESSIONS: Sessions(9, 197, (), 2)}, "2 sessions have sat idle",
                     id="a transaction left open"),
        pytest.param("connections", {LOGBOOK: Logbook((line("x", ago=timedelta(minutes=40), error=NO_CONNECTION),))},
                     NO_CONNECTION, id="no connection some time ago"),
        pytest.param("machine", {STRAIN: Strain(2, 3.5, 8 * GB, 16 * GB)}, "3.5 processes", id="a crowded machine"),
        pytest.param("actor-memory", {ACTORS: ({"name": "cell:0", "pid": 7, "memoryBytes": 480 * MB,
                                                "memoryLimitBytes": 512 * MB, "state": "alive"},)},
                     "480 MB of 512 MB", id="an actor near its limit"),
        pytest.param("disk", {DISKS: (Disk(Path("/srv"), GB, 200 * GB),)}, "1.0 of 200.0 GB", id="a disk filling up"),
        pytest.param("disk", {MEDIA: 10_200 * MB}, "10200 of 10240 MB", id="files at their limit"),
        pytest.param("inactive", {TENANTS: Rows((tenant(status="suspended"),))}, "nothing waits",
                     id="suspended and idle"),
        pytest.param("tenant-keys", {KEYLESS: ("acme",)}, "acme has no valid key", id="a tenant without a key"),
        pytest.param("rate-limit", {USE: (Use("acme", 85, 100),)}, "85 requests", id="a tenant near its limit"),
        pytest.param("genesys-signature", {LOGBOOK: Logbook((line(SIGNATURE, cloud="genesys", wellformed=False),))},
                     "1 webhooks in the last hour had no signature", id="webhooks without a signature"),
    ],
)  # fmt: skip
def test_what_only_might_become_wrong_warns(check: str, changes: dict[Look[Any], Any], evidence: str) -> None:
    findings = examined(changes)
    assert with_verdict(findings, Verdict.WARN) == {check}
    assert evidence in "\n".join(findings[check].opinion.evidence)


@pytest.mark.parametrize(
    ("accepted_ago", "verdict"),
    [
        pytest.param(timedelta(minutes=50), Verdict.FAIL, id="nothing accepted since the first refusal"),
        pytest.param(timedelta(minutes=20), Verdict.WARN, id="some accepted between refusals"),
        pytest.param(timedelta(minutes=5), Verdict.PASS, id="accepted since the last refusal"),
    ],
)
def test_refused_signatures_are_held_against_what_was_accepted(accepted_ago: timedelta, verdict: Verdict) -> None:
    refused = [line(SIGNATURE, ago=timedelta(minutes=ago), cloud="meta", app="shop", known=True) for ago in (30, 10)]
    refused += [line(SIGNATURE, ago=timedelta(minutes=ago), cloud="genesys", tenant="acme") for ago in (30, 10)]
    accepted = LastAccepted({"shop": NOW - accepted_ago}, {"acme": NOW - accepted_ago})
    findings = examined({LOGBOOK: Logbook(tuple(refused)), LAST_ACCEPTED: accepted})
    assert findings["meta-signature"].opinion.verdict is verdict
    assert findings["genesys-signature"].opinion.verdict is verdict


def test_a_handshake_that_is_accepted_after_the_refused_ones_ends_the_matter() -> None:
    lines = (
        line("webhook.handshake_refused", ago=timedelta(minutes=9), app="shop"),
        line("webhook.handshake_accepted", ago=timedelta(minutes=8), app="shop"),
    )
    assert examined({LOGBOOK: Logbook(lines)})["verify-token"].opinion.verdict is Verdict.PASS


def test_a_port_that_somebody_else_holds_is_named_with_its_holder() -> None:
    holder = Listener(3000, 41, "node")
    down: dict[Look[Any], Any] = {HEALTH: Answering(None, "not Trunkline"), INSTANCE: Instance(None, ())}
    down[PORTS] = {3000: holder, 3001: None}
    findings = examined(down)
    assert with_verdict(findings, Verdict.FAIL) == {"router", "port"}
    opinion = findings["port"].opinion
    assert opinion.evidence == ("Port 3000 is already in use by node (pid 41), which is not Trunkline",)
    assert opinion.remedy == ("stop it: kill 41", "or take another one: PORT=3100 scripts/run")


def test_what_is_left_when_the_router_is_down_are_the_stores_the_machine_and_the_log() -> None:
    asked = (KEY, POOLS, ACTORS, QUEUES, TENANTS, LETTERS, SUSPECTS)
    gone: dict[Look[Any], Any] = {look: Unseen("down") for look in asked}
    findings = examined({**gone, HEALTH: Answering(None, "down"), INSTANCE: Instance(None, ()), PORTS: FREE})
    assert with_verdict(findings, Verdict.FAIL) == {"router"}
    seen = {"port", "postgres", "redis", "rabbitmq", "migrations", "disk", "machine", "clock", "verify-token"}
    assert seen <= with_verdict(findings, Verdict.PASS)


def test_a_private_address_is_well_while_the_clouds_are_simulated() -> None:
    local = "http://127.0.0.1:3001"
    settings = Settings(graph_api_url=local, genesys_api_url=local, genesys_login_url=local)
    changes = {PUBLIC_URL: replace(WELL[PUBLIC_URL], is_private=True)}
    assert examined(changes, scene(settings=settings))["public-url"].opinion.verdict is Verdict.PASS


def test_with_a_tenant_named_its_token_is_tried_and_its_absence_told() -> None:
    refused = examined({TOKEN: "invalid_client: authentication failed"}, scene(tenant="acme"))
    assert with_verdict(refused, Verdict.FAIL) == {"genesys-token"}
    unknown = examined({TENANTS: Rows(()), SUSPECTS: {}}, scene(tenant="acme"))
    assert with_verdict(unknown, Verdict.FAIL) == {"tenant"}
    assert unknown["tenant"].opinion.evidence[0].startswith("Tenant not found")


def test_a_check_that_breaks_says_so_and_hides_no_other() -> None:
    findings = examined({STRAIN: "nonsense"})
    assert with_verdict(findings, Verdict.FAIL) == {"machine"}
    assert findings["machine"].opinion.evidence == ("the check itself failed: AttributeError",)


def test_every_chapter_has_checks_and_every_check_an_id_of_its_own() -> None:
    assert {check.chapter for check in CHECKS} == set(CHAPTERS) == set(range(1, 10))
    assert len({check.id for check in CHECKS}) == len(CHECKS)
    assert {row[0] for row in ROWS} | {"port", "tenant", "tenant-keys", "queue-type"} == {check.id for check in CHECKS}


def test_checks_are_chosen_by_chapter_or_by_name() -> None:
    assert [check.id for check in chosen(chapters=[6])] == ["redis", "token-cache", "redis-memory", "stale-cache"]
    assert [check.id for check in chosen(ids=["disk", "port"])] == ["port", "disk"]
    assert chosen() == list(CHECKS)
