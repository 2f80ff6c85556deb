"""The operator's verbs against a served admin API."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.trunkline.admin_app import NOW
from tests.trunkline.cli.conftest import Run, Served
from tests.trunkline.records import ACCESS_TOKEN, BY, CLIENT_SECRET, WEBHOOK_SECRET, tenant_record
from trunkline.envelope import Direction, Envelope
from trunkline.errors import Unavailable
from trunkline.stores.database import connection
from trunkline.tenancy.history import LetterFilter
from trunkline.tenancy.record import TenantRecord
from trunkline.web.admin_ports import ComponentHealth

pytestmark = pytest.mark.services


@pytest.fixture
def tenant(served: Served) -> TenantRecord:
    record = tenant_record()
    served.run(served.admin.tenants.create(record, BY))
    return record


def _insert(served: Served, table: str, **values: Any) -> None:
    async def insert() -> None:
        places = ", ".join(f"%({name})s" for name in values)
        async with connection(served.admin.pool) as taken:
            await taken.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", values)

    served.run(insert())


def _create_options() -> list[str]:
    return [
        "--name", "Alder", "--phone-number-id", str(secrets.randbits(60)), "--waba-id", "1", "--access-token",
        ACCESS_TOKEN, "--client-id", "c", "--client-secret", CLIENT_SECRET, "--integration-id", secrets.token_hex(8),
        "--webhook-secret", WEBHOOK_SECRET,
    ]  # fmt: skip


def test_a_tenants_life(run: Run) -> None:
    made = run("tenants", "create", *_create_options(), "--setting", "whatsappPersonBurst=50", "--json")
    assert made.code == 0, made.err
    tenant_id = made.json["tenantId"]
    assert made.json["apiKey"].startswith("tl_")
    assert made.json["settings"]["whatsappPersonBurst"] == 50

    assert tenant_id in run("tenants", "list").out
    assert run("tenants", "show", tenant_id, "--json").json["name"] == "Alder"
    updated = run(
        "tenants", "update", tenant_id, "--rate-limit", "7", "--setting", "whatsappPersonBurst=null", "--json"
    )
    assert (updated.json["rateLimit"], updated.json["settings"]["whatsappPersonBurst"]) == (7, 45)
    assert run("tenants", "suspend", tenant_id, "--json").json["status"] == "suspended"
    assert run("tenants", "activate", tenant_id).out == f"{tenant_id} is active\n"
    assert run("tenants", "delete", tenant_id).code == 1
    assert run("tenants", "delete", tenant_id, "--yes").code == 0
    gone = run("tenants", "show", tenant_id)
    assert (gone.code, gone.out) == (1, "")
    assert tenant_id in gone.err


def test_a_tenant_is_made_from_a_file_and_options_win(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tenant.json"
    whatsapp = {"phoneNumberId": str(secrets.randbits(60)), "wabaId": "1", "accessToken": ACCESS_TOKEN}
    genesys = {"clientId": "c", "clientSecret": CLIENT_SECRET, "integrationId": secrets.token_hex(8)}
    body = {"name": "From file", "whatsapp": whatsapp, "genesys": {**genesys, "webhookSecret": WEBHOOK_SECRET}}
    file.write_text(json.dumps(body))
    made = run("tenants", "create", "--file", str(file), "--name", "From option", "--waba-id", "2", "--json")
    assert (made.json["name"], made.json["whatsapp"]["wabaId"]) == ("From option", "2")


@pytest.mark.parametrize(
    "arguments",
    [
        ["tenants", "create", "--file", "/no/such/file"],
        ["tenants", "update", "alder"],
        ["tenants", "update", "alder", "--setting", "lanes"],
        ["tenants", "frobnicate"],
        ["keys", "create", "--name", "x"],
        ["keys", "create", "--name", "x", "--tenant", "a", "--role", "admin"],
        ["conversations", "messages", "1", "--limit", "0"],
        ["send", "hello"],
        ["send", "hello", "--as", "nobody"],
    ],
)
def test_a_wrong_call_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).code == 2


def test_a_refusal_says_why_per_field_and_as_json(run: Run, tenant: TenantRecord) -> None:
    refused = run("tenants", "update", tenant.tenant_id, "--region", "evil.example")
    assert refused.code == 1 and "genesys.region: not a region" in refused.err
    refused = run("tenants", "update", tenant.tenant_id, "--region", "evil.example", "--json")
    assert (refused.code, refused.json["code"]) == (1, "BAD_REQUEST")


def test_who_cannot_be_reached_or_does_not_know_us_is_said(run: Run) -> None:
    away = run("tenants", "list", url="http://127.0.0.1:1")
    assert away.code == 1 and "does not answer at http://127.0.0.1:1" in away.err
    stranger = run("tenants", "list", key="tl_unknown")
    assert stranger.code == 1 and "--key" in stranger.err
    nameless = run("conversations", "show", "447700900111")
    assert nameless.code == 1 and "--tenant" in nameless.err


def test_keys_are_made_listed_and_revoked(run: Run, tenant: TenantRecord) -> None:
    made = run(
        "keys", "create", "--name", "shop", "--tenant", tenant.tenant_id, "--expires", "2090-01-01", "--json"
    ).json
    listed = run("keys", "list", "--tenant", tenant.tenant_id, "--json").json
    assert [key["expiresAt"] for key in listed if key["keyId"] == made["keyId"]] == ["2090-01-01T00:00:00.000Z"]
    assert run("dead-letters", "list", key=made["apiKey"]).code == 0
    assert run("keys", "revoke", made["keyId"], "--tenant", tenant.tenant_id).code == 0
    assert run("dead-letters", "list", key=made["apiKey"]).code == 1

    staff = run("keys", "create", "--name", "ops", "--role", "operator", "--json").json
    assert staff["keyId"] in run("keys", "list").out
    assert run("keys", "revoke", staff["keyId"], "--json").json == {"keyId": staff["keyId"], "revoked": True}
    assert run("keys", "revoke", staff["keyId"]).code == 1


def test_meta_apps_are_made_listed_and_deleted(run: Run) -> None:
    name = f"app-{secrets.token_hex(4)}"
    made = run(
        "apps", "create", name, "--app-secret", "app-secret-abcd", "--verify-token", "verify-token-wxyz", "--json"
    )
    assert made.json == {"app": name, "appSecret": "****abcd", "verifyToken": "****wxyz"}
    assert name in run("apps", "list").out
    assert run("apps", "delete", name).code == 0
    assert run("apps", "delete", name).code == 1


def test_the_first_keys_are_read_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Served
) -> None:
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    assert run("keys", "first").code == 1
    (tmp_path / "keys.env").write_text("ADMIN_API_KEY=tk_1\nCREDENTIALS_KEYS=abc=\n")
    assert run("keys", "first").out == "ADMIN_API_KEY=tk_1\nCREDENTIALS_KEYS=abc=\n"
    assert run("keys", "first", "--json").json == {"ADMIN_API_KEY": "tk_1", "CREDENTIALS_KEYS": "abc="}


def test_a_message_can_be_followed(run: Run, served: Served, tenant: TenantRecord) -> None:
    conversation_id, message_id, wamid = str(uuid.uuid4()), str(uuid.uuid4()), f"wamid.{secrets.token_hex(8)}/+=="
    owner = {"tenant_id": tenant.tenant_id, "wa_id": "447700900111"}
    _insert(served, "conversation_mappings", **owner, conversation_id=conversation_id)
    _insert(
        served, "messages", **owner, conversation_id=conversation_id, message_id=message_id, direction="inbound",
        kind="text", status="waiting", wamid=wamid, text="hello\tthere", accepted_at=NOW,
    )  # fmt: skip
    _insert(
        served, "dead_letters", tenant_id=tenant.tenant_id, message_id=str(uuid.uuid4()), direction="inbound",
        reason="rejected", envelope=b"{}",
    )  # fmt: skip
    traced = run("trace", wamid)
    assert traced.code == 0 and message_id in traced.out and "received" in traced.out
    assert run("trace", wamid, "--tenant", tenant.tenant_id, "--json").json["state"] == "waiting"
    assert run("trace", "wamid.unknown").code == 1

    options = ["--tenant", tenant.tenant_id, "--json"]
    assert run("conversations", "show", "+447700900111", *options).json["conversationId"] == conversation_id
    assert run("conversations", "show", conversation_id, *options).json["waId"] == "447700900111"
    assert [m["messageId"] for m in run("conversations", "messages", "447700900111", *options).json] == [message_id]
    assert "hello there" in run("conversations", "messages", conversation_id, *options[:2]).out
    assert run("conversations", "show", "15550000000", *options).code == 1
    assert [row["reason"] for row in run("dead-letters", "list", *options).json] == ["rejected"]
    assert run("dead-letters", "list", "--reason", "exhausted", *options).json == []


def _give_up(served: Served, tenant: TenantRecord, **letter: Any) -> str:
    """A message that was given up; the id of its dead letter."""
    envelope = Envelope(
        str(uuid.uuid4()), tenant.tenant_id, Direction.INBOUND, "447700900111", "wamid.1", "text", time.time(), {}
    )
    row = {"tenant_id": tenant.tenant_id, "message_id": envelope.message_id, "direction": "inbound"}
    _insert(served, "messages", **row, wa_id="447700900111", kind="text", status="dead", accepted_at=NOW)
    values = {**row, "reason": "rejected", "answer": "400 no", "envelope": envelope.to_bytes(), **letter}
    _insert(served, "dead_letters", **values)
    listed = served.run(served.admin.replays.many(LetterFilter(tenant.tenant_id), 100, BY, dry_run=True))
    return str(max(listed, default=0))


def test_dead_letters_are_shown_and_replayed(run: Run, served: Served, tenant: TenantRecord) -> None:
    ids = [_give_up(served, tenant) for _ in range(3)]
    shown = run("dead-letters", "show", ids[0])
    assert shown.code == 0 and "400 no" in shown.out and "received" in shown.out
    assert run("dead-letters", "show", ids[0], "--json").json["id"] == ids[0]
    assert run("dead-letters", "show", "100000000000").code == 1

    options = ["--tenant", tenant.tenant_id, "--json"]
    dry = run("dead-letters", "replay", "--reason", "rejected", "--dry-run", *options)
    assert (dry.code, dry.json) == (0, {"replayed": 3, "dryRun": True, "ids": ids})
    assert run("dead-letters", "replay", ids[1], ids[0], "--json").json["ids"] == ids[:2], "oldest first"
    assert f"1 are replayed: {ids[2]}" in run("dead-letters", "replay", "--tenant", tenant.tenant_id).out
    assert run("dead-letters", "replay", "--direction", "inbound", *options).json["replayed"] == 0


def test_a_dead_letter_that_cannot_be_replayed_is_exit_code_1_with_its_reason(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    good = _give_up(served, tenant)
    _insert(
        served, "dead_letters", tenant_id=tenant.tenant_id, message_id=str(uuid.uuid4()), direction="inbound",
        reason="poison", envelope=b"\xff",
    )  # fmt: skip
    listed = run("dead-letters", "list", "--tenant", tenant.tenant_id, "--reason", "poison", "--json").json
    bad = listed[0]["id"]
    refused = run("dead-letters", "replay", good, bad, "100000000000")
    assert refused.code == 1 and f"1 are replayed: {good}" in refused.out
    assert "cannot be read" in refused.err and "Dead letter not found" in refused.err
    again = run("dead-letters", "replay", bad, "--json")
    assert (again.code, again.json["replayed"], list(again.json["refused"])) == (1, 0, [bad])


@pytest.mark.parametrize(
    "arguments", [[], ["--dry-run"], ["7", "--reason", "rejected"], ["7", "--all"], ["x"], ["--limit", "0"]]
)
def test_a_replay_that_says_nothing_clear_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    assert run("dead-letters", "replay", *arguments).code == 2


def test_status_is_exit_code_0_only_when_all_is_well(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    well = run("status")
    assert well.code == 0 and "rabbitmq" in well.out and "healthy at" in well.out

    async def away() -> None:
        raise ConnectionError

    monkeypatch.setitem(served.admin.actors.components, "inbound", ComponentHealth("degraded", None, "0 of 1"))
    degraded = run("status", "--json")
    assert (degraded.code, degraded.json["status"]) == (1, "degraded")
    monkeypatch.setitem(served.admin.probes, "rabbitmq", away)
    unhealthy = run("status")
    assert unhealthy.code == 1 and "Cannot connect to RabbitMQ" in unhealthy.out


def test_pools_are_listed_and_scaled(run: Run, served: Served) -> None:
    listed = run("pools", "list")
    assert listed.code == 0 and listed.out.splitlines()[1].split() == ["inbound", "1", "1", "1", "1", "no"]
    scaled = run("pools", "scale", "inbound", "3", "--json")
    assert (scaled.code, scaled.json["inbound"]["size"]) == (0, 3)
    bounded = run("pools", "scale", "outbound", "--min", "1", "--max", "4")
    assert bounded.code == 0 and served.admin.actors.bounds == {"inbound": (3, 3), "outbound": (1, 4)}
    crossed = run("pools", "scale", "inbound", "--min", "4", "--max", "2")
    assert crossed.code == 1 and "min must not be larger than max" in crossed.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["inbound"], ["sideways", "2"], ["inbound", "0"], ["inbound", "65"], ["inbound", "--min", "1"],
     ["inbound", "2", "--max", "3"]],
)  # fmt: skip
def test_a_size_that_says_nothing_clear_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    assert run("pools", "scale", *arguments).code == 2


def _progress(state: str, *steps: str, error: str | None = None) -> dict[str, Any]:
    named = [{"name": f"cell:{number}", "state": each, "seconds": 1.5} for number, each in enumerate(steps)]
    return {"state": state, "steps": named, "error": error}


def test_a_restart_is_followed_to_its_end(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.cli.restart.LOOK_EVERY_S", 0.0)
    course = [_progress("running", "running", "waiting"), _progress("running", "done", "running")]
    served.admin.actors.restarts = [*course, _progress("done", "done", "done")]
    done = run("restart", "--json")
    assert (done.code, done.json["state"]) == (0, "done")
    assert done.err.splitlines() == ["[1/2] cell:0  done  1.5 s", "[2/2] cell:1  done  1.5 s"]

    served.admin.actors.restarts = [
        *course,
        _progress("failed", "done", "failed", error="cell:1: it did not come back"),
    ]
    failed = run("restart")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.splitlines()[-1] == "error: cell:1: it did not come back"


def test_a_restart_outlasts_that_who_answers_is_restarted_too(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.cli.restart.LOOK_EVERY_S", 0.0)
    actors = served.admin.actors
    # Whether one runs is asked before another is begun.
    idle = _progress("idle")
    course: list[dict[str, Any] | Exception] = [idle, _progress("running", "running"), Unavailable("away")]
    course += [Unavailable("still away"), _progress("done", "done")]

    async def look() -> dict[str, Any]:
        found = course.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(actors, "restart_progress", look)
    assert run("restart").code == 0
    course += [idle, _progress("running", "running"), Unavailable("away"), Unavailable("still away")]
    monkeypatch.setattr("trunkline.cli.restart.SILENT_FOR_S", -1.0)
    lost = run("restart")
    assert lost.code == 1 and "away" in lost.err


def test_migrations_go_up_and_down(run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    pending = run("migrate", "status", "--json")
    assert pending.code == 1 and not any(row["applied"] for row in pending.json)
    up = run("migrate", "up")
    assert up.code == 0 and up.out.startswith("0001-tenants applied\n")
    assert run("migrate", "up", "--json").json == {"applied": []}
    assert run("migrate", "status").code == 0
    assert run("migrate", "down").code == 1
    count = len(pending.json)
    assert len(run("migrate", "down", "--count", str(count), "--yes", "--json").json["rolledBack"]) == count
    assert run("migrate", "status").code == 1


def test_without_a_database_the_command_says_which_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    refused = run("migrate", "up")
    assert refused.code == 1 and "DATABASE_URL" in refused.err


@pytest.mark.parametrize("verb", ["tenants", "keys", "apps", "conversations", "dead-letters", "pools", "migrate"])
def test_every_verb_explains_itself_and_prints_json(run: Run, verb: str) -> None:
    listed = run(verb, "--help").out.partition("Commands:")[2].strip().splitlines()
    assert listed
    for line in listed:
        if line.startswith("  ") and not line.startswith("   "):
            explained = run(verb, line.split()[0], "--help")
            assert explained.code == 0 and "--json" in explained.out
