"""Rows of messages and what belongs to them, put straight into the tables."""

from __future__ import annotations

import uuid
from typing import Any

from tests.trunkline.admin_app import NOW, AdminApp
from trunkline.stores.database import connection
from trunkline.tenancy.record import TenantRecord

WA_ID = "919876543210"


async def insert(admin: AdminApp, table: str, **values: Any) -> Any:
    columns = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    async with connection(admin.pool) as taken:
        cursor = await taken.execute(f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING *", values)
        return await cursor.fetchone()


async def insert_conversation(admin: AdminApp, tenant: TenantRecord, **values: Any) -> str:
    conversation_id = str(uuid.uuid4())
    row = {"tenant_id": tenant.tenant_id, "wa_id": WA_ID, "conversation_id": conversation_id}
    times = {"created_at": NOW, "last_activity_at": NOW, "last_inbound_at": NOW}
    await insert(admin, "conversation_mappings", **{**row, **times, **values})
    return conversation_id


async def insert_message(admin: AdminApp, tenant: TenantRecord, **values: Any) -> str:
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
    made = {**row, **values}
    await insert(admin, "messages", **made)
    async with connection(admin.pool) as taken:
        await taken.execute(
            "INSERT INTO seen SELECT tenant_id, message_id, created_at FROM messages WHERE message_id = %s",
            (made["message_id"],),
        )
    return message_id


async def insert_dead_letter(admin: AdminApp, tenant_id: str | None, **values: Any) -> str:
    row = {
        "tenant_id": tenant_id,
        "message_id": str(uuid.uuid4()),
        "direction": "inbound",
        "reason": "rejected",
        "answer": "no such integration",
        "attempts": 2,
        "envelope": b"{}",
    }
    inserted = await insert(admin, "dead_letters", **{**row, **values})
    return str(inserted[0])


async def insert_spooled(admin: AdminApp, tenant_id: str, **values: Any) -> str:
    message_id = str(uuid.uuid4())
    row = {
        "tenant_id": tenant_id,
        "message_id": message_id,
        "direction": "inbound",
        "wa_id": WA_ID,
        "cause": "broker_away",
        "envelope": b"{}",
        "accepted_at": NOW,
    }
    await insert(admin, "intake_spool", **{**row, **values})
    return message_id
