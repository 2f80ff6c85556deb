"""People are erased by admins, named in any usual form, and counted by place; retention tells how it stands."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.trunkline.admin_app import AdminApp
from tests.trunkline.records import BY, tenant_record
from tests.trunkline.web.rows import insert, insert_conversation, insert_dead_letter, insert_message, insert_spooled
from trunkline.errors import Unavailable
from trunkline.stores.database import Pool, connection
from trunkline.stores.keys import mapping_by_conversation, mapping_by_wa_id
from trunkline.stores.media_files import MediaFiles
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services

USER_ID = "GB.71204433551902288417"


@pytest.fixture
def number() -> str:
    return f"4477{secrets.randbelow(10**8):08d}"


async def erase(admin: AdminApp, tenant_id: str, key: str | None = None, **body: Any) -> Any:
    async with admin.client(key) if key else admin.client() as client:
        return await client.post(f"/tenants/{tenant_id}/people/erase", json=body)


async def test_a_person_is_erased_from_tables_cache_disk_and_cell(
    pool: Pool, redis: Redis, tmp_path: Path, number: str
) -> None:
    files = MediaFiles(tmp_path, 2**30)
    admin = AdminApp(pool, redis, files=files)
    tenant = tenant_record()
    await admin.tenants.create(tenant, BY)
    name = tenant.tenant_id
    conversation_id = await insert_conversation(admin, tenant, wa_id=number)
    delivered = await insert_message(admin, tenant, wa_id=number, text="hello", conversation_id=conversation_id)
    await insert_message(admin, tenant, wa_id=number, status="received", text="hello")
    await insert_spooled(admin, name, wa_id=number, envelope=b'{"kind": "text"}')
    await insert_dead_letter(admin, name, wa_id=number)
    await insert(admin, "aliases", tenant_id=name, address=USER_ID, identity=number)
    await insert(admin, "customer_files", tenant_id=name, media_id="1203", wa_id=number)
    async with files.writing(name, "1203") as writer:
        await writer.write(b"a picture")
    keys = [mapping_by_wa_id(name, number), mapping_by_conversation(name, conversation_id)]
    await redis.mset(dict.fromkeys(keys, "{}"))

    answer = await erase(admin, name, whatsappNumber=f"+{number}")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["tenantId"], shown["person"]) == (name, f"****{number[-4:]}")
    assert shown["erasedAt"].endswith("Z")
    assert {place: count for place, count in shown["removed"].items() if count} == {
        "messages": 1, "purged": 1, "spooled": 1, "deadLetters": 1, "files": 1, "cacheKeys": 2, "conversations": 1,
        "aliases": 1,
    }  # fmt: skip
    assert await redis.exists(*keys) == 0
    assert await files.find(name, "1203") is None
    ((forgotten_of, addresses),) = admin.actors.forgotten
    assert (forgotten_of, set(addresses)) == (name, {number, USER_ID})
    async with admin.client(**{"X-Tenant-ID": name}) as client:
        assert (await client.get(f"/messages/{delivered}/trace")).status_code == 404
        found = await client.get("/state/conversation", params={"whatsappNumber": number})
        assert found.status_code == 404


@pytest.mark.parametrize("form", ["{}", "+{}", " {}"])
async def test_a_number_may_be_written_in_any_usual_form(
    admin: AdminApp, tenant: TenantRecord, number: str, form: str
) -> None:
    await insert_message(admin, tenant, wa_id=number)
    answer = await erase(admin, tenant.tenant_id, whatsappNumber=form.format(number))
    assert answer.json()["removed"]["messages"] == 1


async def test_a_user_id_names_a_person_too(admin: AdminApp, tenant: TenantRecord) -> None:
    await insert_message(admin, tenant, wa_id=USER_ID)
    assert (await erase(admin, tenant.tenant_id, userId=USER_ID)).json()["removed"]["messages"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "body", id="nobody"),
        pytest.param({"whatsappNumber": "447700900111", "userId": USER_ID}, "body", id="two"),
        pytest.param({"whatsappNumber": "Ines"}, "whatsappNumber", id="no number"),
        pytest.param({"userId": "447700900111"}, "userId", id="no user id"),
        pytest.param({"whatsappNumber": "447700900111", "reason": "x"}, "reason", id="an unknown name"),
    ],
)
async def test_a_person_who_is_not_named_rightly_is_refused(
    admin: AdminApp, tenant: TenantRecord, body: dict[str, str], field: str
) -> None:
    answer = await erase(admin, tenant.tenant_id, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert list(answer.json()["details"]) == [field]
    assert "Ines" not in answer.text


async def test_only_admins_erase(admin: AdminApp, tenant: TenantRecord, other: TenantRecord) -> None:
    person = {"whatsappNumber": "447700900111"}
    own, foreign = await admin.key_of(tenant), await admin.key_of(other)
    assert (await erase(admin, tenant.tenant_id, await admin.operator_key(), **person)).status_code == 403
    assert (await erase(admin, tenant.tenant_id, own, **person)).status_code == 403
    assert (await erase(admin, tenant.tenant_id, foreign, **person)).status_code == 404
    assert (await erase(admin, "nobody", **person)).status_code == 404


async def test_a_cell_that_is_away_asks_for_a_repetition(admin: AdminApp, tenant: TenantRecord) -> None:
    admin.actors.failure = Unavailable("cell:0 cannot be reached")
    answer = await erase(admin, tenant.tenant_id, whatsappNumber="447700900111")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    admin.actors.failure = None
    assert (await erase(admin, tenant.tenant_id, whatsappNumber="447700900111")).status_code == 200


async def test_who_asked_is_in_the_audit_log(admin: AdminApp, tenant: TenantRecord) -> None:
    await erase(admin, tenant.tenant_id, whatsappNumber="447700900111")
    (entry,) = await admin.audit.entries(1, tenant_id=tenant.tenant_id, action="person.erased")
    assert (entry.record.actor.key_id, entry.record.actor.role) == ("first", "admin")
    assert entry.record.subject == "****0111"


async def test_retention_tells_the_last_run_and_how_far_behind_it_is(admin: AdminApp) -> None:
    async with admin.client() as client:
        assert (await client.get("/retention")).json() == {"lastRun": None, "running": None, "behindSeconds": None}
        async with connection(admin.pool) as taken:
            await taken.execute(
                "INSERT INTO retention_runs (began_at, ended_at, removed) VALUES (now() - %s, now(), '{\"texts\": 3}')",
                (timedelta(hours=1),),
            )
        shown = (await client.get("/retention")).json()
    assert shown["lastRun"]["removed"] == {"texts": 3}
    assert shown["lastRun"]["beganAt"] < shown["lastRun"]["endedAt"]
    assert 3600 <= shown["behindSeconds"] < 3660


async def test_retention_is_for_staff(admin: AdminApp, tenant: TenantRecord) -> None:
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get("/retention")).status_code == 403
    async with admin.client(await admin.operator_key()) as client:
        assert (await client.get("/retention")).status_code == 200
