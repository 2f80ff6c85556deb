"""Tokens, conversations, messages, traces and dead letters over HTTP."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.trunkline.admin_app import NOW, TOKEN, AdminApp
from trunkline.errors import CredentialsRefused, StoreUnavailable, Throttled, Unavailable
from trunkline.stores.database import connection
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services

WA_ID = "919876543210"


async def _insert(admin: AdminApp, table: str, **values: Any) -> Any:
    columns = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    async with connection(admin.pool) as taken:
        cursor = await taken.execute(f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING *", values)
        return await cursor.fetchone()


async def _conversation(admin: AdminApp, tenant: TenantRecord, **values: Any) -> str:
    conversation_id = str(uuid.uuid4())
    row = {"tenant_id": tenant.tenant_id, "wa_id": WA_ID, "conversation_id": conversation_id}
    times = {"created_at": NOW, "last_activity_at": NOW, "last_inbound_at": NOW}
    await _insert(admin, "conversation_mappings", **{**row, **times, **values})
    return conversation_id


async def _message(admin: AdminApp, tenant: TenantRecord, **values: Any) -> str:
    message_id = str(uuid.uuid4())
    row = {
        "tenant_id": tenant.tenant_id,
        "message_id": message_id,
        "wa_id": WA_ID,
        "direction": "inbound",
        "kind": "text",
        "status": "delivered",
        "accepted_at": NOW,
    }
    await _insert(admin, "messages", **{**row, **values})
    return message_id


async def _dead_letter(admin: AdminApp, tenant_id: str | None, **values: Any) -> str:
    row = {
        "tenant_id": tenant_id,
        "message_id": str(uuid.uuid4()),
        "direction": "inbound",
        "reason": "rejected",
        "answer": "no such integration",
        "attempts": 2,
        "envelope": b"{}",
    }
    inserted = await _insert(admin, "dead_letters", **{**row, **values})
    return str(inserted[0])


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
    conversation_id = await _conversation(admin, tenant, genesys_conversation_id="g-1")
    await _conversation(admin, other)
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
    foreign = await _conversation(admin, other)
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
    await _conversation(admin, tenant, status="closed", created_at=NOW + timedelta(hours=1))
    latest = await _conversation(admin, tenant, status="closed", created_at=NOW + timedelta(hours=2))
    path = f"/state/conversation?whatsappNumber={WA_ID}"
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get(path)).json()["conversationId"] == latest
        opened = await _conversation(admin, tenant, last_inbound_at=None)
        answer = (await client.get(path)).json()
        assert (answer["conversationId"], answer["windowExpiresAt"]) == (opened, None)
        admin.now = NOW + timedelta(hours=72, seconds=1)
        assert (await client.get(path)).json()["status"] == "closed"


async def test_a_person_without_a_number_is_found_by_user_id(admin: AdminApp, tenant: TenantRecord) -> None:
    await _conversation(admin, tenant, wa_id="GB.55021188437766120934")
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = (await client.get("/state/conversation?whatsappNumber=GB.55021188437766120934")).json()
    assert (answer["waId"], answer["whatsappNumber"]) == ("GB.55021188437766120934", None)


async def test_messages_come_newest_first_in_pages(admin: AdminApp, tenant: TenantRecord) -> None:
    conversation_id = await _conversation(admin, tenant)
    made = [
        await _message(
            admin, tenant, conversation_id=conversation_id, text=f"number {n}",
            created_at=NOW + timedelta(seconds=n // 2), accepted_at=NOW + timedelta(seconds=n),
        )
        for n in range(5)
    ]  # fmt: skip
    await _message(admin, tenant, conversation_id=conversation_id, direction="status", kind="read")
    await _message(admin, tenant, conversation_id=str(uuid.uuid4()))
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
    message_id = await _message(admin, tenant, status="waiting", attempts=1, **ids)
    await _insert(
        admin, "message_events", tenant_id=tenant.tenant_id, message_id=message_id, at=NOW + timedelta(seconds=1),
        event="retry", attempt_id=str(uuid.uuid4()), detail=Jsonb({"error": "503", "wait_s": 2}),
    )  # fmt: skip
    await _message(admin, tenant, direction="status", wamid=ids["wamid"], accepted_at=NOW + timedelta(seconds=9))
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


async def test_what_belongs_to_nobody_has_a_trace_for_admins_only(admin: AdminApp, tenant: TenantRecord) -> None:
    wamid = f"wamid.{uuid.uuid4()}"
    await _dead_letter(admin, None, reason="unrouted", wamid=wamid)
    async with admin.client() as client:
        trace = (await client.get(f"/messages/{wamid}/trace")).json()
    assert (trace["state"], trace["tenantId"], trace["steps"][-1]["reason"]) == ("dead", None, "unrouted")
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get(f"/messages/{wamid}/trace")).status_code == 404


@pytest.mark.parametrize("id", ["nothing", "%00", "x" * 600, "wamid.%F0%9F%91%8D"])
async def test_an_id_that_nobody_knows_is_not_found(admin: AdminApp, id: str) -> None:
    async with admin.client() as client:
        answer = await client.get(f"/messages/{id}/trace")
    assert (answer.status_code, answer.json()["error"]) == (404, "Message not found")


async def test_dead_letters_come_in_pages_and_by_filter(admin: AdminApp, tenant: TenantRecord) -> None:
    tried = datetime(2026, 11, 23, 11, tzinfo=UTC)
    first = await _dead_letter(admin, tenant.tenant_id, wamid="wamid.1", last_attempt_at=tried)
    second = await _dead_letter(admin, tenant.tenant_id, direction="outbound", reason="exhausted", genesys_id="g1")
    nobodys = await _dead_letter(admin, None, reason="unrouted")

    async def ids(key: str | None = None, **query: Any) -> list[str]:
        async with admin.client(*([key] if key else [])) as client:
            page = (await client.get("/dead-letters", params=query)).json()
            return [letter["id"] for letter in page["deadLetters"]]

    async with admin.client(await admin.key_of(tenant)) as client:
        page = (await client.get("/dead-letters?limit=1")).json()
        assert [letter["id"] for letter in page["deadLetters"]] == [second]
        page = (await client.get("/dead-letters", params={"limit": 1, "cursor": page["nextCursor"]})).json()
        assert page["nextCursor"] is None
        letter = page["deadLetters"][0]
        assert {name: letter[name] for name in ("id", "reason", "direction", "tenantId", "wamid", "answer")} == {
            "id": first,
            "reason": "rejected",
            "direction": "inbound",
            "tenantId": tenant.tenant_id,
            "wamid": "wamid.1",
            "answer": "no such integration",
        }
        assert (letter["attempts"], letter["lastAttemptAt"]) == (2, "2026-11-23T11:00:00.000Z")
        for bad in ("reason=whatever", "direction=up", "cursor=nonsense", "limit=0"):
            assert (await client.get(f"/dead-letters?{bad}")).status_code == 400, bad
    key = await admin.key_of(tenant)
    assert await ids(key) == [second, first]
    assert await ids(key, reason="exhausted") == [second]
    assert await ids(key, direction="inbound") == [first]
    assert nobodys in await ids()
    assert nobodys in await ids(await admin.operator_key(), reason="unrouted")


async def test_the_status_joins_the_actors_word_with_the_tables(admin: AdminApp, tenant: TenantRecord) -> None:
    await _conversation(admin, tenant)
    await _dead_letter(admin, tenant.tenant_id)
    async with admin.client(await admin.key_of(tenant)) as client:
        status = (await client.get(f"/tenants/{tenant.tenant_id}/status")).json()
    assert status == {
        "tenantId": tenant.tenant_id,
        "name": tenant.name,
        "status": "active",
        "openConversations": 1,
        "lastError": "no such integration",
        "epoch": 3,
        "token": None,
    }
