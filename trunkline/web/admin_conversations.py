"""Routes about conversations and their messages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, TypeAdapter

from trunkline.tenancy.history import Conversation, Message
from trunkline.tenancy.record import TenantRecord
from trunkline.web.addresses import number_of, user_id_of
from trunkline.web.admin_models import Answer, Cursor, Limit, Time, decode_cursor, page_of
from trunkline.web.admin_ports import AdminServices
from trunkline.web.auth import Acting, ScopedTenant, Services, keyed_router
from trunkline.web.errors import bad_request, not_found
from trunkline.web.reveals import note_reveal

router = keyed_router(tag="conversations", prefix="/state")

# WhatsApp lets a business write freely for so long after the customer's last message.
FREE_FORM_WINDOW = timedelta(hours=24)

_BEFORE = TypeAdapter(tuple[AwareDatetime, AwareDatetime, UUID])


class ConversationShown(Answer):
    """A conversation; `windowExpiresAt` is the end of WhatsApp's 24 hours, null if unknown."""

    tenant_id: str
    conversation_id: str
    wa_id: str
    whatsapp_number: str | None
    status: str
    created_at: Time
    last_activity_at: Time
    window_expires_at: Time | None
    genesys_conversation_id: str | None


class MessageShown(Answer):
    """A message of a conversation."""

    message_id: str
    conversation_id: str | None
    direction: str
    kind: str
    status: str
    receipt: str | None
    wamid: str | None
    genesys_id: str | None
    text: str | None
    attempts: int
    accepted_at: Time
    created_at: Time
    updated_at: Time


class MessagePage(Answer):
    """A page of messages, newest first."""

    messages: list[MessageShown]
    next_cursor: str | None


@router.get("/conversation")
async def find_conversation(
    tenant: ScopedTenant,
    services: Services,
    number: Annotated[
        str, Query(alias="whatsappNumber", description="with or without its plus; an unescaped plus will do")
    ],
) -> ConversationShown:
    """The open conversation with a person, else the latest one."""
    found = await services.history.conversation_with(tenant.tenant_id, _wa_id(number))
    if found is None:
        raise not_found("Conversation")
    return _shown(found, tenant, services.now())


@router.get("/conversation/{conversation_id}")
async def show_conversation(tenant: ScopedTenant, conversation_id: str, services: Services) -> ConversationShown:
    """One conversation, by Trunkline's own id."""
    return _shown(await _conversation(services, tenant, conversation_id), tenant, services.now())


@router.get("/conversation/{conversation_id}/messages")
async def list_messages(
    tenant: ScopedTenant,
    conversation_id: str,
    actor: Acting,
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MessagePage:
    """A conversation's messages, newest first."""
    found = await _conversation(services, tenant, conversation_id)
    before = decode_cursor(cursor, _BEFORE)
    rows = await services.history.messages(tenant.tenant_id, UUID(found.conversation_id), limit + 1, before)
    await note_reveal(services, actor, "messages.shown", tenant.tenant_id, found.conversation_id)
    page, next_cursor = page_of(rows, limit, lambda row: (row.created_at, row.accepted_at, row.message_id))
    return MessagePage(messages=[_shown_message(row) for row in page], next_cursor=next_cursor)


async def _conversation(services: AdminServices, tenant: TenantRecord, conversation_id: str) -> Conversation:
    try:
        found = await services.history.conversation(tenant.tenant_id, UUID(conversation_id))
    except ValueError:
        found = None
    if found is None:
        raise not_found("Conversation")
    return found


def _wa_id(number: str) -> str:
    found = number_of(number) or user_id_of(number)
    if found is None:
        raise bad_request({"whatsappNumber": "must be a number in international form, or a WhatsApp user id"})
    return found


def _shown(found: Conversation, tenant: TenantRecord, now: datetime) -> ConversationShown:
    last_inbound = found.last_inbound_at
    return ConversationShown(
        tenant_id=found.tenant_id,
        conversation_id=found.conversation_id,
        wa_id=found.wa_id,
        whatsapp_number=f"+{found.wa_id}" if number_of(found.wa_id) else None,
        status=_status(found, tenant, now),
        created_at=found.created_at,
        last_activity_at=found.last_activity_at,
        window_expires_at=last_inbound + FREE_FORM_WINDOW if last_inbound else None,
        genesys_conversation_id=found.genesys_conversation_id,
    )


def _status(found: Conversation, tenant: TenantRecord, now: datetime) -> str:
    # The row is closed when the next message comes; to whoever asks it has been closed since its window ended.
    idle_since = found.last_activity_at + timedelta(hours=tenant.settings.conversation_window_hours)
    return "closed" if found.status == "open" and idle_since < now else found.status


def _shown_message(row: Message) -> MessageShown:
    return MessageShown(
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        direction=row.direction,
        kind=row.kind,
        status=row.status,
        receipt=row.receipt,
        wamid=row.wamid,
        genesys_id=row.genesys_id,
        text=row.text,
        attempts=row.attempts,
        accepted_at=row.accepted_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
