"""Claims and outcomes on a real Postgres, in few words."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from trunkline.arrival import Arrival
from trunkline.attempt import Claim, ClaimAnswer, Outcome, new_attempt_id
from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.messages import MessageStore

CLAIM_S = 15.0
OWNER = "here/1/1"


def envelope(tenant_id: str, direction: Direction = Direction.INBOUND, **changes: Any) -> Envelope:
    external_id = f"wamid.{secrets.token_hex(8)}"
    made = Envelope(
        message_id=message_id_for(tenant_id, direction, external_id),
        tenant_id=tenant_id,
        direction=direction,
        conversation="447700900123",
        external_id=external_id,
        kind="text",
        accepted_at=time.time(),
        payload={},
    )
    return dataclasses.replace(made, **changes)


def claim(envelope: Envelope, *, epoch: int = 1, claim_s: float = CLAIM_S, text: str | None = "hello") -> Claim:
    return Claim(envelope, None, text, epoch, new_attempt_id(), OWNER, claim_s)


def outcome(claimed: Claim, status: Any, **more: Any) -> Outcome:
    return Outcome(claimed.envelope, claimed.attempt_id, status, more.pop("event", status), **more)


async def ask(store: MessageStore, wish: Claim, outcomes: Sequence[Outcome] = ()) -> ClaimAnswer:
    (answer,) = await store.exchange(outcomes, [wish])
    assert not isinstance(answer, Exception)
    return answer


async def settle(store: MessageStore, *outcomes: Outcome) -> None:
    await store.exchange(outcomes, [])


async def rows(pool: Pool, query: str, *parameters: Any) -> list[dict[str, Any]]:
    async with connection(pool) as taken:
        cursor = taken.cursor(row_factory=dict_row)
        return await (await cursor.execute(query, parameters)).fetchall()


async def row(pool: Pool, envelope: Envelope) -> dict[str, Any]:
    (found,) = await rows(pool, "SELECT * FROM messages WHERE message_id = %s::uuid", envelope.message_id)
    return found


async def recorded(pool: Pool, tenant_id: str) -> Envelope:
    """A message that intake has recorded."""
    arrived = envelope(tenant_id)
    await ArrivalStore(pool).record([Arrival(arrived, "hello", 72, is_message=True)])
    return arrived


async def events(pool: Pool, envelope: Envelope) -> list[str]:
    query = "SELECT event FROM message_events WHERE message_id = %s::uuid ORDER BY at"
    return [found["event"] for found in await rows(pool, query, envelope.message_id)]


async def age(pool: Pool, envelope: Envelope, seconds: float) -> None:
    """As if the message had last been touched, and its claim made, so many seconds earlier."""
    async with connection(pool) as taken:
        await taken.execute(
            "UPDATE messages SET updated_at = updated_at - make_interval(secs => %s), "
            "claim_until = claim_until - make_interval(secs => %s) WHERE message_id = %s::uuid",
            (seconds, seconds, envelope.message_id),
        )


async def send_in_parts(store: MessageStore, message: Envelope, parts: int) -> None:
    """Send a message that became several, as `wamid.1`, `wamid.2`, …"""
    for part in range(1, parts + 1):
        attempt = claim(message)
        await ask(store, attempt)
        status = "delivered" if part == parts else "waiting"
        await settle(store, outcome(attempt, status, parts_done=part, parts=parts, wamid=f"wamid.{part}"))


async def written_in(pool: Pool, month: str, *messages: Envelope) -> None:
    """As if these had been written down on the 15th of that month."""
    ids = [message.message_id for message in messages]
    async with connection(pool) as taken:
        await taken.execute("SELECT make_messages_partition(%s::date)", (f"{month}-01",))
        await move_rows(taken, f"{month}-15 12:00+00", ids)


async def move_rows(taken: Connection, at: str, ids: Sequence[str]) -> None:
    """As if the messages of these ids had been written down then."""
    for statement in (
        "UPDATE messages SET created_at = %s::timestamptz WHERE message_id = ANY(%s::uuid[])",
        "UPDATE seen SET seen_at = %s::timestamptz WHERE key_hash = ANY(%s::uuid[])",
    ):
        await taken.execute(statement, (at, list(ids)))


async def partitions_of(pool: Pool, message: Envelope) -> list[str]:
    """The partitions in which the message has a row."""
    query = "SELECT tableoid::regclass::text AS name FROM messages WHERE message_id = %s::uuid"
    return [found["name"] for found in await rows(pool, query, message.message_id)]
