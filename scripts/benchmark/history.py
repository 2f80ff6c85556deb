"""A past for a database: tenants, conversations, messages and what became of them, as if years of use lay behind it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from trunkline.envelope import Direction, Envelope
from trunkline.stores.audit import append
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.tenancy.record import (
    GenesysAccount,
    Secret,
    TenantId,
    TenantRecord,
    TenantStatus,
    WhatsAppAccount,
)

MESSAGES_PER_PERSON = 10
DAYS = 20
ENTRIES_PER_TENANT = 5
BY = Actor("bench", "admin")
REASONS = ("rejected", "exhausted", "unknown_outcome", "invalid", "window_closed")
# One of so many is a dead letter, has an attempt to tell, or waits in the spool.
DEAD, TOLD, SPOOLED = 20, 2, 100
_DELIVERED, _WAITING, _DEAD = "delivered", "waiting", "dead"


@dataclass(frozen=True, slots=True)
class Past:
    """What there is to ask for: ids of each kind, the tenant beside each."""

    tenants: Sequence[str]
    conversations: Sequence[tuple[str, str, str]]
    messages: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class _Message:
    tenant_id: str
    conversation_id: str
    wa_id: str
    message_id: str
    direction: Direction
    external_id: str
    status: str
    at: datetime


async def make_past(pool: Pool, sealer: Sealer, *, tenants: int, messages: int) -> Past:
    """Fill the database; the busiest tenth of the tenants has half of the messages. The same numbers each time."""
    draw = random.Random(7)
    now = datetime.now(UTC)
    names = [f"past-{number:05}" for number in range(tenants)]
    await _make_tenants(pool, sealer, names, now)
    people = [_person(draw, names) for _ in range(max(1, messages // MESSAGES_PER_PERSON))]
    made = [_message(draw, people[number % len(people)], number, now) for number in range(messages)]
    async with connection(pool) as taken:
        await _copy_all(taken, people, made, now)
    async with pool.connection() as taken:
        await taken.set_autocommit(True)
        await taken.execute("ANALYZE")
        await taken.set_autocommit(False)
    return Past(names, people, [(each.tenant_id, each.message_id, each.external_id) for each in made])


async def _make_tenants(pool: Pool, sealer: Sealer, names: Sequence[str], now: datetime) -> None:
    store = TenantStore(pool, sealer)
    for number, name in enumerate(names):
        await store.create(_tenant(name, number, now), BY)
    async with connection(pool) as taken:
        for name in [*names] * (ENTRIES_PER_TENANT - 1):
            change = AuditRecord(BY, "tenant.updated", name, name, {"rateLimit": 100}, {"rateLimit": 200})
            await append(taken, change)


def _tenant(name: str, number: int, now: datetime) -> TenantRecord:
    secret = Secret(f"secret-of-{name}")
    return TenantRecord(
        tenant_id=TenantId(name),
        name=f"Tenant {number}",
        status=TenantStatus.ACTIVE,
        rate_limit=1_000_000,
        dedicated=False,
        whatsapp=WhatsAppAccount(str(7 * 10**14 + number), "104488220011733", secret),
        genesys=GenesysAccount("mypurecloud.ie", f"client-{number}", secret, f"integration-{number:05}", secret),
        created_at=now,
        updated_at=now,
    )


def _person(draw: random.Random, names: Sequence[str]) -> tuple[str, str, str]:
    """Tenant, conversation and number."""
    busy = max(1, len(names) // 10)
    tenant_id = names[draw.randrange(busy)] if draw.random() < 0.5 else draw.choice(names)
    return tenant_id, str(uuid.UUID(int=draw.getrandbits(128))), str(447_000_000_000 + draw.randrange(10**9))


def _message(draw: random.Random, person: tuple[str, str, str], number: int, now: datetime) -> _Message:
    tenant_id, conversation_id, wa_id = person
    status = _DEAD if number % DEAD == 0 else _WAITING if number % SPOOLED == 1 else _DELIVERED
    direction = Direction.OUTBOUND if number % 3 == 2 else Direction.INBOUND
    external_id = f"wamid.{draw.getrandbits(160):040x}"
    message_id = str(uuid.UUID(int=draw.getrandbits(128)))
    at = now - timedelta(seconds=draw.randrange(DAYS * 86400))
    return _Message(tenant_id, conversation_id, wa_id, message_id, direction, external_id, status, at)


async def _copy_all(
    taken: Connection, people: Sequence[tuple[str, str, str]], made: Sequence[_Message], now: datetime
) -> None:
    await _copy(
        taken,
        "conversation_mappings (tenant_id, conversation_id, wa_id, status, created_at, last_activity_at)",
        ((tenant_id, id, wa_id, "closed", now, now) for tenant_id, id, wa_id in people),
    )
    await _copy(taken, "seen (tenant_id, key_hash, seen_at)", ((m.tenant_id, m.message_id, m.at) for m in made))
    await _copy(
        taken,
        "messages (tenant_id, message_id, wa_id, conversation_id, direction, kind, status, wamid, genesys_id, text, "
        "accepted_at, created_at, updated_at)",
        (_message_row(message) for message in made),
    )
    await _copy(
        taken,
        "message_events (tenant_id, message_id, at, event, attempt_id, detail)",
        (
            (m.tenant_id, m.message_id, m.at, "retry", m.message_id, '{"answer": "503 service unavailable"}')
            for m in made[::TOLD]
        ),
    )
    await _copy(
        taken,
        "dead_letters (tenant_id, message_id, direction, reason, answer, attempts, wamid, genesys_id, envelope, "
        "created_at, last_attempt_at)",
        _letters(made),
    )
    await _copy(
        taken,
        "intake_spool (tenant_id, direction, wa_id, message_id, cause, envelope, accepted_at, due_at)",
        (
            (m.tenant_id, m.direction.value, m.wa_id, m.message_id, "parked", _envelope(m), m.at, now)
            for m in made
            if m.status == _WAITING
        ),
    )


def _message_row(message: _Message) -> tuple[Any, ...]:
    wamid, genesys_id = _external(message)
    return (
        *(message.tenant_id, message.message_id, message.wa_id, message.conversation_id, message.direction.value),
        *("text", message.status, wamid, genesys_id, "Where is my parcel?", message.at, message.at, message.at),
    )


def _letters(made: Sequence[_Message]) -> Iterator[tuple[Any, ...]]:
    for number, message in enumerate(each for each in made if each.status == _DEAD):
        yield (
            *(message.tenant_id, message.message_id, message.direction.value, REASONS[number % len(REASONS)]),
            *("400 bad.request", 1, *_external(message), _envelope(message), message.at, message.at),
        )


def _external(message: _Message) -> tuple[str | None, str | None]:
    """The message's wamid and Genesys id."""
    outbound = message.direction is Direction.OUTBOUND
    return (None, message.external_id) if outbound else (message.external_id, None)


def _envelope(message: _Message) -> bytes:
    return Envelope(
        message_id=message.message_id,
        tenant_id=message.tenant_id,
        direction=message.direction,
        conversation=message.wa_id,
        external_id=message.external_id,
        kind="text",
        accepted_at=message.at.timestamp(),
        payload={},
    ).to_bytes()


async def _copy(taken: Connection, into: str, rows: Iterable[Sequence[Any]]) -> None:
    async with taken.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN".encode()) as copy:
        for row in rows:
            await copy.write_row(row)
