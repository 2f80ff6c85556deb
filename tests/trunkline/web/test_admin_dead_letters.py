"""Dead letters over HTTP: listed, shown, replayed."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from psycopg.types.json import Jsonb

from tests.trunkline.admin_app import NOW, AdminApp
from tests.trunkline.records import BY, WEBHOOK_SECRET, tenant_record
from tests.trunkline.web.rows import WA_ID, insert, insert_dead_letter, insert_message
from trunkline.delivery.intake import Intake
from trunkline.delivery.people import People
from trunkline.envelope import Direction, Envelope
from trunkline.protocol.signatures import sign_genesys
from trunkline.stores.aliases import AliasStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.spool import SpoolStore
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import MetaApp, TenantRecord

pytestmark = pytest.mark.services


class NoLanes:
    """Nothing is routed while a webhook belongs to nobody."""

    async def publish(self, envelope: Envelope) -> bool:
        raise AssertionError(envelope)


def intake_of(admin: AdminApp) -> Intake:
    directory = TenantDirectory(admin.tenants, MetaApp("default", (), ()))
    people = People(AliasStore(admin.pool), lambda: NOW.timestamp())
    return Intake(directory, NoLanes(), ArrivalStore(admin.pool), people)


async def give_up(admin: AdminApp, tenant: TenantRecord, number: int = 1, **letter: Any) -> tuple[str, Envelope]:
    """A message that was given up, and the id of its dead letter."""
    accepted = NOW + timedelta(seconds=number)
    wamid = f"wamid.{secrets.token_hex(6)}"
    message_id = await insert_message(admin, tenant, status="dead", attempts=2, wamid=wamid, accepted_at=accepted)
    payload = {"phoneNumberId": "1", "message": {"id": wamid, "type": "text", "text": {"body": f"number {number}"}}}
    envelope = Envelope(
        message_id, tenant.tenant_id, Direction.INBOUND, WA_ID, wamid, "text", accepted.timestamp(), payload
    )
    row = {"message_id": message_id, "wamid": wamid, "envelope": envelope.to_bytes(), **letter}
    return await insert_dead_letter(admin, tenant.tenant_id, **row), envelope


async def spooled(admin: AdminApp, envelope: Envelope) -> list[Envelope]:
    return await SpoolStore(admin.pool).of_conversation(envelope.tenant_id, envelope.direction, envelope.conversation)


async def test_dead_letters_come_in_pages_and_by_filter(admin: AdminApp, tenant: TenantRecord) -> None:
    tried = datetime(2026, 11, 23, 11, tzinfo=UTC)
    first = await insert_dead_letter(admin, tenant.tenant_id, wamid="wamid.1", last_attempt_at=tried)
    second = await insert_dead_letter(
        admin, tenant.tenant_id, direction="outbound", reason="exhausted", genesys_id="g1"
    )
    nobodys = await insert_dead_letter(admin, None, reason="unrouted")

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


async def test_a_dead_letter_is_shown_with_every_attempt_and_the_clouds_answers(
    admin: AdminApp, tenant: TenantRecord, other: TenantRecord
) -> None:
    id, envelope = await give_up(admin, tenant, reason="exhausted")
    for at, event, detail in (
        (2, "retry", {"error": "503 try later", "code": "503", "wait_s": 2.5}),
        (5, "dead", {"reason": "exhausted", "error": "503 still not"}),
    ):
        await insert(
            admin, "message_events", tenant_id=tenant.tenant_id, message_id=envelope.message_id, event=event,
            at=NOW + timedelta(seconds=at), attempt_id=str(uuid.uuid4()), detail=Jsonb(detail),
        )  # fmt: skip
    async with admin.client(await admin.key_of(tenant)) as client:
        shown = (await client.get(f"/dead-letters/{id}")).json()
        (listed,) = (await client.get("/dead-letters")).json()["deadLetters"]
        for unknown in ("10000000000000000", "9" * 19, "-1", "abc", "1.5"):
            answer = await client.get(f"/dead-letters/{unknown}")
            assert (answer.status_code, answer.json()["error"]) == (404, "Dead letter not found"), unknown
    trace = shown.pop("trace")
    assert shown == listed
    assert [step["step"] for step in trace["steps"]] == ["received", "retry", "dead"]
    assert trace["attempts"][0].items() >= {"outcome": "retry", "error": "503 try later", "code": "503"}.items()
    assert f"trunkline dead-letters replay {id}" in trace["advice"]
    async with admin.client(await admin.key_of(other)) as client:
        assert (await client.get(f"/dead-letters/{id}")).status_code == 404
    async with admin.client(**{"X-Tenant-ID": other.tenant_id}) as client:
        assert (await client.get(f"/dead-letters/{id}")).status_code == 404


async def test_what_belongs_to_nobody_is_shown_to_staff_only(admin: AdminApp, tenant: TenantRecord) -> None:
    id = await insert_dead_letter(admin, None, reason="unrouted")
    async with admin.client(await admin.operator_key()) as client:
        assert (await client.get(f"/dead-letters/{id}")).json()["reason"] == "unrouted"
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.get(f"/dead-letters/{id}")).status_code == 404
        assert (await client.post(f"/dead-letters/{id}/replay")).status_code == 404


async def test_one_is_replayed_once(admin: AdminApp, tenant: TenantRecord, caplog: pytest.LogCaptureFixture) -> None:
    id, envelope = await give_up(admin, tenant)
    caplog.set_level(logging.INFO)
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = await client.post(f"/dead-letters/{id}/replay", json={"dryRun": True})
        assert answer.json() == {"replayed": 1, "dryRun": True, "ids": [id]}
        assert (await client.post(f"/dead-letters/{id}/replay?dryRun=true")).json() == answer.json()
        assert await spooled(admin, envelope) == []
        answer = await client.post(f"/dead-letters/{id}/replay")
        assert answer.json() == {"replayed": 1, "dryRun": False, "ids": [id]}
        assert (await client.post(f"/dead-letters/{id}/replay")).status_code == 404
        assert (await client.get("/dead-letters")).json()["deadLetters"] == []
        trace = (await client.get(f"/messages/{envelope.message_id}/trace")).json()
    (waiting,) = await spooled(admin, envelope)
    assert dataclasses.replace(waiting, accepted_at=envelope.accepted_at) == envelope
    assert (trace["state"], [step["step"] for step in trace["steps"]]) == (
        "waiting",
        ["received", "replayed", "waiting"],
    )
    assert "replay" in trace["waitingFor"] and trace["advice"]
    told = [record for record in caplog.records if record.message == "dead_letters.replayed"]
    assert [(each.tenant, each.count) for each in told] == [(tenant.tenant_id, 1)]  # type: ignore[attr-defined]


async def test_a_foreign_key_replays_nothing(admin: AdminApp, tenant: TenantRecord, other: TenantRecord) -> None:
    id, envelope = await give_up(admin, tenant)
    async with admin.client(await admin.key_of(other)) as client:
        answer = await client.post(f"/dead-letters/{id}/replay")
        assert (answer.status_code, answer.json()["error"]) == (404, "Dead letter not found")
        assert (await client.post("/dead-letters/replay", json={"ids": [id]})).json()["replayed"] == 0
    async with admin.client(**{"X-Tenant-ID": other.tenant_id}) as client:
        assert (await client.post("/dead-letters/replay", json={})).json()["ids"] == []
    assert await spooled(admin, envelope) == []


async def test_many_of_a_conversation_are_replayed_by_filter_oldest_first(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    made = {number: await give_up(admin, tenant, number) for number in (3, 1, 4, 2)}
    await give_up(admin, tenant, 0, reason="exhausted")
    ordered = [made[number][0] for number in (1, 2, 3, 4)]
    asked = {"reason": "rejected", "direction": "inbound"}
    async with admin.client(await admin.key_of(tenant)) as client:
        dry = (await client.post("/dead-letters/replay", json={**asked, "dryRun": True})).json()
        assert dry == {"replayed": 4, "dryRun": True, "ids": ordered}
        first = (await client.post("/dead-letters/replay", params={**asked, "limit": 3})).json()
        assert first == {"replayed": 3, "dryRun": False, "ids": ordered[:3]}
        assert (await client.post("/dead-letters/replay", json=asked)).json()["ids"] == ordered[3:]
        left = (await client.get("/dead-letters")).json()["deadLetters"]
        assert [letter["reason"] for letter in left] == ["exhausted"]
    waiting = await spooled(admin, made[1][1])
    assert [each.message_id for each in waiting] == [made[number][1].message_id for number in (1, 2, 3, 4)]
    times = [each.accepted_at for each in waiting]
    assert times == sorted(set(times))


async def test_two_replays_of_the_same_letters_at_once_replay_each_once(admin: AdminApp, tenant: TenantRecord) -> None:
    made = [await give_up(admin, tenant, number) for number in range(10)]
    async with admin.client(await admin.key_of(tenant)) as client:
        answers = await asyncio.gather(*(client.post("/dead-letters/replay", json={}) for _ in range(4)))
    replayed = [id for answer in answers for id in answer.json()["ids"]]
    assert sorted(replayed) == sorted(id for id, _ in made)
    assert len(await spooled(admin, made[0][1])) == 10


@pytest.mark.parametrize(
    "bad",
    [{"reason": "whatever"}, {"direction": "up"}, {"limit": 0}, {"limit": 1001}, {"dryrun": True}, {"ids": ["x"]}],
)
async def test_a_filter_that_says_nothing_clear_replays_nothing(
    admin: AdminApp, tenant: TenantRecord, bad: dict[str, Any]
) -> None:
    await give_up(admin, tenant)
    async with admin.client(await admin.key_of(tenant)) as client:
        assert (await client.post("/dead-letters/replay", json=bad)).status_code == 400
        assert (await client.post("/dead-letters/replay", params=bad)).status_code == 400
        assert len((await client.get("/dead-letters")).json()["deadLetters"]) == 1


async def test_a_message_that_was_delivered_without_its_file_is_not_sent_twice(
    admin: AdminApp, tenant: TenantRecord
) -> None:
    message_id = await insert_message(admin, tenant, status="delivered")
    id = await insert_dead_letter(admin, tenant.tenant_id, message_id=message_id, reason="media_unavailable")
    async with admin.client(await admin.key_of(tenant)) as client:
        answer = await client.post(f"/dead-letters/{id}/replay")
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_REPLAYABLE")
        assert "delivered without its file" in answer.json()["error"]
        assert (await client.post("/dead-letters/replay", json={})).json()["ids"] == []
        assert "cannot be replayed" in (await client.get(f"/dead-letters/{id}")).json()["trace"]["advice"]


async def test_a_customers_message_that_belonged_to_nobody_is_replayed_once_it_has_a_tenant(admin: AdminApp) -> None:
    record = tenant_record()
    wamid = f"wamid.{secrets.token_hex(6)}"
    message = {"id": wamid, "from": WA_ID, "type": "text", "text": {"body": "is anybody there?"}}
    value = {"metadata": {"phone_number_id": record.whatsapp.phone_number_id}, "messages": [message]}
    webhook = {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]}
    await intake_of(admin).take_meta("default", webhook)
    async with admin.client() as client:
        (letter, *_) = (await client.get("/dead-letters?reason=unrouted")).json()["deadLetters"]
        assert letter["wamid"] == wamid
        path = f"/dead-letters/{letter['id']}/replay"
        refused = await client.post(path)
        assert refused.status_code == 409 and "no tenant has phone number id" in refused.json()["error"]
        assert (await client.post("/dead-letters/replay", json={"ids": [letter["id"]]})).json()["replayed"] == 0
        await admin.tenants.create(record, BY)
        assert (await client.post(path)).json()["ids"] == [letter["id"]]
        trace = (await client.get(f"/messages/{wamid}/trace")).json()
    assert (trace["tenantId"], trace["state"]) == (record.tenant_id, "received")
    assert trace["conversationId"] and "replay" in trace["waitingFor"]


async def test_an_agents_message_that_belonged_to_nobody_is_verified_again(admin: AdminApp) -> None:
    record = tenant_record()
    body = orjson.dumps(
        {
            "id": "g1",
            "type": "Text",
            "text": "hi",
            "channel": {"id": record.genesys.integration_id, "to": {"id": WA_ID}},
        }
    )
    for secret in (WEBHOOK_SECRET, "the secret of somebody else"):
        await intake_of(admin).keep_unverified(sign_genesys(body, secret), body)
    async with admin.client() as client:
        rows = (await client.get("/dead-letters?reason=unrouted&direction=outbound")).json()["deadLetters"]
        forged, good = (row["id"] for row in rows[:2])
        await admin.tenants.create(record, BY)
        refused = await client.post(f"/dead-letters/{forged}/replay")
        assert refused.status_code == 409 and "signature" in refused.json()["error"]
        assert (await client.post("/dead-letters/replay", json={"ids": [forged, good]})).json()["ids"] == [good]
    (waiting,) = await SpoolStore(admin.pool).of_conversation(record.tenant_id, Direction.OUTBOUND, WA_ID)
    assert (waiting.tenant_id, waiting.external_id) == (record.tenant_id, "g1")


async def test_letters_of_a_deleted_tenant_are_refused(admin: AdminApp, tenant: TenantRecord) -> None:
    id, envelope = await give_up(admin, tenant, reason="tenant_deleted")
    await admin.tenants.delete(tenant.tenant_id, BY)
    async with admin.client() as client:
        answer = await client.post(f"/dead-letters/{id}/replay")
        assert (answer.status_code, "its tenant was deleted" in answer.json()["error"]) == (409, True)
        assert (await client.post("/dead-letters/replay", json={"ids": [id]})).json()["replayed"] == 0
    assert await spooled(admin, envelope) == []
