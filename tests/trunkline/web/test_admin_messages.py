"""Tokens, conversations, messages, traces and dead letters over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from redis.asyncio import Redis

from tests.fakes import envelope
from tests.trunkline.admin_app import NOW, TOKEN, AdminApp
from tests.trunkline.web.rows import (
    WA_ID,
    insert,
    insert_conversation,
    insert_dead_letter,
    insert_message,
    insert_spooled,
)
from trunkline.envelope import Direction
from trunkline.errors import CredentialsRefused, StoreUnavailable, Throttled, Unavailable
from trunkline.stores.database import Pool
from trunkline.tenancy.circuit import Circuit
from trunkline.tenancy.record import TenantRecord
from trunkline.tenancy.standing import Hindrance, Obstacle, Standing

pytestmark = pytest.mark.services

# The clock of these circuits.
SECONDS = 100.0


def _opened() -> Circuit:
    circuit = Circuit(draw=lambda low, high: high)
    circuit.failing("503 try later", SECONDS - 1)
    return circuit


def _probing() -> Circuit:
    circuit = Circuit(draw=lambda low, high: high)
    circuit.failing("503 try later", SECONDS - 2)
    assert circuit.take_probe(SECONDS)
    return circuit


async def test_the_token_shows_its_ends_only(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = await client.get("/auth/token")
        assert answer.json() == {
            "tenantId": tenant.tenant_id,
            "tokenType": "bearer",
            "token": "abcd…wxyz",
            "expiresIn": 3600,
            "expiresAt": "2026-11-23T13:00:17.000Z",
            "source": "cache",
        }
        assert (await client.get("/auth/token?force=true")).json()["source"] == "fresh"
        assert (await client.get("/auth/token?force=maybe")).status_code == 400
    assert admin.actors.forced == [False, True]
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (CredentialsRefused("client not found: invalid client_id"), "client not found: invalid client_id"),
        (Unavailable("connection refused"), "connection refused"),
        (Throttled(12.5, "too many logins"), "too many logins"),
    ],
)
async def test_a_token_that_cannot_be_had_says_why_in_the_clouds_words(
    admin: AdminApp, tenant: TenantRecord, failure: Exception, words: str
) -> None:
    admin.actors.failure = failure
    async with admin.client(**{"X-Tenant-ID": tenant.tenant_id}) as client:
        answer = await client.get("/auth/token")
    assert (answer.status_code, answer.json()["error"]) == (502, "Failed to obtain OAuth token")
    assert answer.json()["details"] == {"reason": words}
    assert answer.headers.get("Retry-After") == ("13" if isinstance(failure, Throttled) else None)


async def test_a_store_that_is_away_is_not_blamed_on_the_cloud(admin: AdminApp, tenant: TenantRecord) -> None:
    admin.actors.failure = StoreUnavailable("Postgres is away")
    async with admin.client(**{"X-Tenant-ID": tenant.tenant_id}) as client:
        answer = await client.get("/auth/token")
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize("query", ["+919876543210", "%2B919876543210", "%20919876543210", "919876543210"])
async def test_a_number_is_found_however_it_is_written(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord, query: str
) -> None:
    conversation_id = await insert_conversation(admin, tenant, genesys_conversation_id="g-1")
    await insert_conversation(admin, other)
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = await client.get(f"/state/conversation?whatsappNumber={query}")
        assert answer.json() == {
            "tenantId": tenant.tenant_id,
            "conversationId": conversation_id,
            "waId": WA_ID,
            "whatsappNumber": f"+{WA_ID}",
            "status": "open",
            "createdAt": "2026-11-23T12:00:17.000Z",
            "lastActivityAt": "2026-11-23T12:00:17.000Z",
            "windowExpiresAt": "2026-11-24T12:00:17.000Z",
            "genesysConversationId": "g-1",
        }
        assert (await client.get(f"/state/conversation/{conversation_id}")).json() == answer.json()


@pytest.mark.parametrize("query", ["", "?whatsappNumber=", "?whatsappNumber=abc", "?whatsappNumber=1%002345"])
async def test_what_is_no_number_is_refused(admin: AdminApp, tenant: TenantRecord, query: str) -> None:
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = await client.get(f"/state/conversation{query}")
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["whatsappNumber"])


async def test_a_conversation_that_is_not_there_or_of_another_is_not_found(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    foreign = await insert_conversation(admin, other)
    async with admin.client(await admin.key_of(tenant)) as client:
        for path in [
            f"/state/conversation?whatsappNumber={WA_ID}",
            f"/state/conversation/{foreign}",
            f"/state/conversation/{foreign}/messages",
            "/state/conversation/not-an-id",
        ]:
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]) == (404, "Conversation not found"), path


async def test_the_open_conversation_comes_before_a_closed_one(admin: AdminApp, tenant: TenantRecord) -> None:
    await insert_conversation(admin, tenant, status="closed", created_at=NOW + timedelta(hours=1))
    latest = await insert_conversation(admin, tenant, status="closed", created_at=NOW + timedelta(hours=2))
    path = f"/state/conversation?whatsappNumber={WA_ID}"
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get(path)).json()["conversationId"] == latest
        opened = await insert_conversation(admin, tenant, last_inbound_at=None)
        answer = (await client.get(path)).json()
        assert (answer["conversationId"], answer["windowExpiresAt"]) == (opened, "2026-11-24T12:00:17.000Z")
        admin.now = NOW + timedelta(hours=72, seconds=1)
        assert (await client.get(path)).json()["status"] == "closed"


async def test_a_person_without_a_number_is_found_by_user_id(admin: AdminApp, tenant: TenantRecord) -> None:
    await insert_conversation(admin, tenant, wa_id="GB.55021188437766120934")
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = (await client.get("/state/conversation?whatsappNumber=GB.55021188437766120934")).json()
    assert (answer["waId"], answer["whatsappNumber"]) == ("GB.55021188437766120934", None)


async def test_messages_come_newest_first_in_pages(admin: AdminApp, tenant: TenantRecord) -> None:
    conversation_id = await insert_conversation(admin, tenant)
    made = [
        await insert_message(
            admin, tenant, conversation_id=conversation_id, text=f"number {n}",
            created_at=NOW + timedelta(seconds=n // 2), accepted_at=NOW + timedelta(seconds=n),
        )
        for n in range(5)
    ]  # fmt: skip
    await insert_message(admin, tenant, conversation_id=conversation_id, direction="status", kind="read")
    await insert_message(admin, tenant, conversation_id=str(uuid.uuid4()))
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    async with admin.client(await admin.key_of(tenant)) as client:
        while cursor is not None:
            query = {"limit": "2", "cursor": cursor} if cursor else {"limit": "2"}
            page = (await client.get(f"/state/conversation/{conversation_id}/messages", params=query)).json()
            found += page["messages"]
            cursor = page["nextCursor"]
    assert [message["messageId"] for message in found] == made[::-1]
    assert found[0]["text"] == "number 4"
    assert {"direction", "kind", "status", "wamid", "genesysId", "createdAt", "attempts"} <= set(found[0])


@pytest.mark.parametrize("name", ["wamid", "genesys_id", "message_id"])
async def test_a_trace_is_found_by_any_of_the_messages_ids(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord, name: str
) -> None:
    ids = {"wamid": f"wamid.a/b+c{uuid.uuid4()}==", "genesys_id": uuid.uuid4().hex}
    message_id = await insert_message(admin, tenant, status="waiting", attempts=1, **ids)
    await insert(
        admin, "message_events", tenant_id=tenant.tenant_id, message_id=message_id, at=NOW + timedelta(seconds=1),
        event="retry", attempt_id=str(uuid.uuid4()), detail=Jsonb({"error": "503", "wait_s": 2}),
    )  # fmt: skip
    await insert_message(admin, tenant, direction="status", wamid=ids["wamid"], accepted_at=NOW + timedelta(seconds=9))
    asked = {**ids, "message_id": message_id}[name]
    path = f"/messages/{asked.replace('/', '%2F')}/trace"
    async with admin.client() as client:
        trace = (await client.get(path)).json()
        assert (await client.get(path, headers={"X-Tenant-ID": tenant.tenant_id})).json() == trace
        assert (await client.get(path, headers={"X-Tenant-ID": other.tenant_id})).status_code == 404
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get(path)).json() == trace
    async with admin.client(await admin.key_of(other)) as client:
        assert (await client.get(path)).json()["error"] == "Message not found"
    assert (trace["messageId"], trace["tenantId"]) == (message_id, tenant.tenant_id)
    assert (trace["state"], trace["direction"]) == ("waiting", "inbound")
    assert trace["steps"][0] == {"at": "2026-11-23T12:00:17.000Z", "step": "received"}
    assert trace["attempts"][0]["outcome"] == "retry" and trace["attempts"][0]["error"] == "503"
    assert trace["waitingFor"] and trace["advice"]


@pytest.mark.parametrize(
    ("ratio", "direction", "is_named"),
    [
        pytest.param(1.0, "inbound", True, id="a customer's message"),
        pytest.param(1.0, "outbound", True, id="an agent's message"),
        pytest.param(1.0, "status", False, id="a status"),
        pytest.param(0.0, "inbound", False, id="off"),
    ],
)
async def test_a_trace_names_the_one_in_open_telemetry(
    pool: Pool, redis: Redis, tenant: TenantRecord, ratio: float, direction: str, is_named: bool
) -> None:
    admin = AdminApp(pool, redis, traces_ratio=ratio)
    message_id = await insert_message(admin, tenant, direction=direction)
    async with admin.client() as client:
        trace = (await client.get(f"/messages/{message_id}/trace")).json()
    assert trace["openTelemetryTraceId"] == (message_id.replace("-", "") if is_named else None)


async def test_what_belongs_to_nobody_has_a_trace_for_admins_only(admin: AdminApp, tenant: TenantRecord) -> None:
    wamid = f"wamid.{uuid.uuid4()}"
    await insert_dead_letter(admin, None, reason="unrouted", wamid=wamid)
    async with admin.client() as client:
        trace = (await client.get(f"/messages/{wamid}/trace")).json()
    assert (trace["state"], trace["tenantId"], trace["steps"][-1]["reason"]) == ("dead", None, "unrouted")
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get(f"/messages/{wamid}/trace")).status_code == 404


async def test_a_trace_says_that_its_message_lies_in_the_spool(admin: AdminApp, tenant: TenantRecord) -> None:
    message_id = await insert_message(admin, tenant, status="received")
    await insert_spooled(admin, tenant.tenant_id, message_id=message_id)
    async with admin.client(await admin.key_of(tenant)) as client:
        trace = (await client.get(f"/messages/{message_id}/trace")).json()
    assert trace["state"] == "received"
    assert "RabbitMQ was away" in trace["waitingFor"]


async def test_what_has_no_row_but_lies_in_the_spool_has_a_trace(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    message_id = await insert_spooled(admin, tenant.tenant_id, direction="status", cause="parked")
    path = f"/messages/{message_id}/trace"
    for key in (None, await admin.key_of(tenant)):
        async with admin.client(*([key] if key else [])) as client:
            trace = (await client.get(path)).json()
            assert (trace["tenantId"], trace["state"], trace["direction"]) == (tenant.tenant_id, "waiting", "status")
    async with admin.client(await admin.key_of(other)) as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("id", ["nothing", "%00", "x" * 600, "wamid.%F0%9F%91%8D"])
async def test_an_id_that_nobody_knows_is_not_found(admin: AdminApp, id: str) -> None:
    async with admin.client() as client:
        answer = await client.get(f"/messages/{id}/trace")
    assert (answer.status_code, answer.json()["error"]) == (404, "Message not found")


async def test_the_status_joins_the_actors_word_with_the_tables(admin: AdminApp, tenant: TenantRecord) -> None:
    await insert_conversation(admin, tenant)
    await insert_dead_letter(admin, tenant.tenant_id, reason="exhausted", answer="503")
    for _ in range(2):
        await insert_dead_letter(admin, tenant.tenant_id)
    await insert_spooled(admin, tenant.tenant_id)
    async with admin.client(await admin.key_of(tenant)) as client:
        status = (await client.get(f"/tenants/{tenant.tenant_id}/status")).json()
    letter_at = status.pop("lastErrorAt")
    assert letter_at is not None
    nothing = {"messages": 0, "unacked": 0, "spooled": 0, "oldestAgeSeconds": None, "held": None}
    assert status == {
        "tenantId": tenant.tenant_id,
        "name": tenant.name,
        "status": "active",
        "summary": "active; 1 inbound wait, the oldest for 0 s",
        "openConversations": 1,
        "rememberedConversations": None,
        "lastError": "no such integration",
        "circuits": {},
        "limits": None,
        "requests": {"limit": 100, "usedThisMinute": 1},
        "backlog": {
            "inbound": {**nothing, "messages": 1, "spooled": 1, "oldestAgeSeconds": 0.0},
            "outbound": nothing,
            "status": nothing,
        },
        "lanes": {},
        "spooled": 1,
        "deadLetters": {"exhausted": 1, "rejected": 2},
        "epoch": 3,
        "token": None,
        "tokenError": None,
        "missing": {},
    }


async def test_the_status_says_in_a_sentence_what_is_wrong(admin: AdminApp, tenant: TenantRecord) -> None:
    admin.actors.told = {
        "token": {"ageSeconds": 60, "expiresIn": 3000, "expiresAt": "2026-11-23T12:50:17.000Z"},
        "tokenError": "invalid_client",
        "circuits": {
            "genesys": {"state": "open", "reason": "invalid_client", "nextTryInSeconds": 4.0},
            "whatsapp": {"state": "closed", "reason": None, "nextTryInSeconds": None},
        },
    }
    queue = f"inbound-whatsapp-messages.{tenant.tenant_id}"
    held = {"reader": "transformer:inbound:0", "unacked": 0, "held": "invalid_client", "oldestAcceptedAt": 1.0}
    admin.actors.read = {queue: {**held, "oldestAcceptedAt": NOW.timestamp() - 90}}
    admin.queues.put(envelope(1, tenant_id=tenant.tenant_id), envelope(2, tenant_id=tenant.tenant_id))
    async with admin.client(await admin.key_of(tenant)) as client:
        status = (await client.get(f"/tenants/{tenant.tenant_id}/status")).json()
    assert status["summary"] == (
        "active; Genesys token good for 50 min; circuit to Genesys open: invalid_client; messages wait in order, "
        "next try in 4 s; 2 inbound wait, the oldest for 90 s"
    )
    assert status["lastError"] == "invalid_client"
    assert status["lanes"] == {queue: {"reader": "transformer:inbound:0", "held": "invalid_client", "unacked": 0}}


async def test_the_status_is_told_while_broker_redis_and_cell_are_away(
    admin: AdminApp, tenant: TenantRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*asked: object) -> dict[str, object]:
        await asyncio.sleep(600)
        return {}

    monkeypatch.setattr("trunkline.web.tenant_status.ANSWER_WITHIN_S", 2.0)
    monkeypatch.setattr(admin.actors, "status", hang)
    admin.queues.away = "RabbitMQ: connect ECONNREFUSED 127.0.0.1:5672"
    await insert_spooled(admin, tenant.tenant_id)
    key = await admin.key_of(tenant)
    admin.redis.connection_pool.connection_kwargs["port"] = 1
    await admin.redis.connection_pool.disconnect()
    async with admin.client(key) as client:
        answer = await client.get(f"/tenants/{tenant.tenant_id}/status")
    status = answer.json()
    assert answer.status_code == 200
    assert status["missing"] == {
        "rabbitmq": admin.queues.away, "cell": "no answer within 2 s", "redis": "Cannot connect to Redis",
    }  # fmt: skip
    assert (status["backlog"]["inbound"]["messages"], status["backlog"]["inbound"]["spooled"]) == (None, 1)
    assert (status["requests"]["usedThisMinute"], status["token"], status["circuits"]) == (None, None, {})
    assert "cell does not answer" in status["summary"]


@pytest.mark.parametrize(
    ("circuit", "words"),
    [
        pytest.param(Circuit(), "closed: calls leave as they come", id="closed"),
        pytest.param(_opened(), "open: 503 try later; messages wait in order, next try in 1 s", id="open"),
        pytest.param(
            _probing(),
            "half-open: one call tries whether it is well again; it opened for 503 try later",
            id="half-open",
        ),
    ],
)
async def test_the_status_tells_in_words_how_each_circuit_is(
    admin: AdminApp, tenant: TenantRecord, circuit: Circuit, words: str
) -> None:
    told = circuit.describe(SECONDS)
    admin.actors.told = {"circuits": {"genesys": told}}
    async with admin.client(await admin.key_of(tenant)) as client:
        status = (await client.get(f"/tenants/{tenant.tenant_id}/status")).json()
    assert status["circuits"] == {"genesys": {**told, "words": words}}


async def test_a_trace_says_what_the_tenant_waits_for_and_until_when(admin: AdminApp, tenant: TenantRecord) -> None:
    message_id = await insert_message(admin, tenant, status="received", direction="outbound")
    admin.actors.stands = Standing(Obstacle(Hindrance.FAILING, "503 Service Unavailable", 12.0), is_read=True)
    async with admin.client(await admin.key_of(tenant)) as client:
        trace = (await client.get(f"/messages/{message_id}/trace")).json()
    assert "503 Service Unavailable" in trace["waitingFor"]
    assert trace["waitingUntil"] == "2026-11-23T12:00:29.000Z"
    assert admin.actors.asked == [(tenant.tenant_id, Direction.OUTBOUND, WA_ID)]


@pytest.mark.parametrize("status", ["sending", "unknown", "delivered", "failed", "dead", "purged"])
async def test_the_actors_are_not_asked_about_a_message_that_has_left(
    admin: AdminApp, tenant: TenantRecord, status: str
) -> None:
    message_id = await insert_message(admin, tenant, status=status)
    async with admin.client() as client:
        trace = (await client.get(f"/messages/{message_id}/trace")).json()
    assert trace["state"] == status
    assert admin.actors.asked == []


async def test_actors_that_say_nothing_leave_what_the_tables_tell(admin: AdminApp, tenant: TenantRecord) -> None:
    message_id = await insert_message(admin, tenant, status="received")
    async with admin.client() as client:
        trace = (await client.get(f"/messages/{message_id}/trace")).json()
    assert (trace["waitingFor"], trace["waitingUntil"]) == ("a transformer to take it from its queue", None)
