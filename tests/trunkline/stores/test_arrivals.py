"""What intake writes to a real Postgres: arrivals that never overwrite a claim, and strays that are kept once."""

from __future__ import annotations

import dataclasses
import secrets
import time
import uuid
from typing import Any

import pytest
from psycopg.rows import dict_row

from trunkline.arrival import Arrival, Stray
from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.database import Pool, connection

pytestmark = pytest.mark.services

CUSTOMER = "447700900123"
HOUR_S = 3600.0


@pytest.fixture
def store(pool: Pool) -> ArrivalStore:
    return ArrivalStore(pool)


@pytest.fixture
def tenant_id() -> str:
    return f"t-{secrets.token_hex(6)}"


def arrival(
    tenant_id: str, direction: Direction = Direction.INBOUND, *, is_message: bool = True, **changes: Any
) -> Arrival:
    external_id = f"id.{secrets.token_hex(8)}"
    envelope = Envelope(
        message_id=message_id_for(tenant_id, direction, external_id),
        tenant_id=tenant_id,
        direction=direction,
        conversation=CUSTOMER,
        external_id=external_id,
        kind="text",
        accepted_at=time.time(),
        payload={"status": {}} if direction is Direction.STATUS else {},
    )
    return Arrival(dataclasses.replace(envelope, **changes), "hello", 72, is_message)


async def rows(pool: Pool, query: str, *parameters: Any) -> list[dict[str, Any]]:
    async with connection(pool) as taken:
        return await (await taken.cursor(row_factory=dict_row).execute(query, parameters)).fetchall()


async def messages(pool: Pool, tenant_id: str) -> list[dict[str, Any]]:
    return await rows(pool, "SELECT * FROM messages WHERE tenant_id = %s ORDER BY accepted_at", tenant_id)


async def conversations(pool: Pool, tenant_id: str) -> list[dict[str, Any]]:
    return await rows(pool, "SELECT * FROM conversation_mappings WHERE tenant_id = %s", tenant_id)


async def test_an_arrival_is_a_received_message_in_a_conversation(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    came = arrival(tenant_id)
    await store.record([came])
    (message,) = await messages(pool, tenant_id)
    (conversation,) = await conversations(pool, tenant_id)
    assert (message["status"], message["text"], message["attempts"]) == ("received", "hello", 0)
    assert (message["wamid"], message["genesys_id"]) == (came.envelope.external_id, None)
    assert message["conversation_id"] == conversation["conversation_id"]
    assert (conversation["wa_id"], conversation["status"]) == (CUSTOMER, "open")
    assert message["accepted_at"].timestamp() == pytest.approx(came.envelope.accepted_at, abs=1e-5)
    assert conversation["last_inbound_at"] == message["accepted_at"]


async def test_an_agents_message_has_genesys_id_and_opens_no_window(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    came = arrival(tenant_id, Direction.OUTBOUND)
    await store.record([came])
    (message,) = await messages(pool, tenant_id)
    (conversation,) = await conversations(pool, tenant_id)
    assert (message["wamid"], message["genesys_id"]) == (None, came.envelope.external_id)
    assert conversation["last_inbound_at"] is None


@pytest.mark.parametrize(
    ("message", "ago_s"),
    [
        pytest.param({"type": "text", "timestamp": "{ago}"}, 7200, id="as the customer's phone says"),
        pytest.param({"type": "text", "timestamp": "9999999999"}, 0, id="not after it was accepted"),
        pytest.param({"type": "text", "timestamp": "garbage"}, 0, id="nonsense"),
        pytest.param({"type": "text"}, 0, id="unsaid"),
    ],
)
async def test_the_window_counts_from_when_the_customer_wrote(
    store: ArrivalStore, pool: Pool, tenant_id: str, message: dict[str, str], ago_s: float
) -> None:
    now = time.time()
    said = {key: value.format(ago=int(now) - 7200) for key, value in message.items()}
    await store.record([arrival(tenant_id, accepted_at=now, payload={"message": said})])
    (conversation,) = await conversations(pool, tenant_id)
    assert conversation["last_inbound_at"].timestamp() == pytest.approx(now - ago_s, abs=1)
    assert conversation["last_activity_at"].timestamp() == pytest.approx(now, abs=1e-3)


async def test_what_is_no_message_of_the_customer_opens_no_window(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    await store.record([arrival(tenant_id, payload={"message": {"type": "system"}})])
    (conversation,) = await conversations(pool, tenant_id)
    assert conversation["last_inbound_at"] is None


async def test_a_repeated_arrival_changes_nothing(store: ArrivalStore, pool: Pool, tenant_id: str) -> None:
    came = arrival(tenant_id)
    await store.record([came, came])
    await store.record([dataclasses.replace(came, text="something else")])
    (message,) = await messages(pool, tenant_id)
    assert message["text"] == "hello"


@pytest.mark.parametrize("status", ["sending", "unknown", "delivered", "dead"])
async def test_an_arrival_never_overwrites_what_is_further_on(
    store: ArrivalStore, pool: Pool, tenant_id: str, status: str
) -> None:
    came = arrival(tenant_id)
    await store.record([came])
    async with connection(pool) as taken:
        await taken.execute("UPDATE messages SET status = %s WHERE tenant_id = %s", (status, tenant_id))
    await store.record([came])
    (message,) = await messages(pool, tenant_id)
    assert message["status"] == status


async def test_an_arrival_does_not_come_back_once_its_row_was_erased(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    came = arrival(tenant_id)
    async with connection(pool) as taken:
        await taken.execute(
            "INSERT INTO seen (tenant_id, key_hash) VALUES (%s, %s::uuid)", (tenant_id, came.envelope.message_id)
        )
    await store.record([came])
    assert await messages(pool, tenant_id) == []


async def test_what_only_reports_has_no_row_but_its_lane_is_known(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    await store.record([arrival(tenant_id, Direction.STATUS, is_message=False)])
    assert await messages(pool, tenant_id) == await conversations(pool, tenant_id) == []
    lanes = await rows(pool, "SELECT direction FROM lanes WHERE tenant_id = %s", tenant_id)
    assert lanes == [{"direction": "status"}]


async def test_one_group_holds_many_tenants_and_customers(store: ArrivalStore, pool: Pool) -> None:
    tenants = [f"t-{secrets.token_hex(6)}" for _ in range(3)]
    await store.record(
        [arrival(tenant, conversation=f"44770090{number:04d}") for number in range(5) for tenant in tenants * 2]
    )
    for tenant in tenants:
        assert len(await messages(pool, tenant)) == 10
        assert len(await conversations(pool, tenant)) == 5


async def test_messages_of_one_customer_far_apart_are_in_two_conversations(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    now = time.time()
    await store.record([arrival(tenant_id, accepted_at=now - 100 * HOUR_S)])
    await store.record([arrival(tenant_id, accepted_at=now)])
    first, second = await messages(pool, tenant_id)
    assert first["conversation_id"] != second["conversation_id"]
    statuses = {each["conversation_id"]: each["status"] for each in await conversations(pool, tenant_id)}
    assert statuses == {first["conversation_id"]: "closed", second["conversation_id"]: "open"}


async def test_characters_that_postgres_cannot_hold_stop_nothing(
    store: ArrivalStore, pool: Pool, tenant_id: str
) -> None:
    came = arrival(tenant_id, conversation="4477\0\ud800", external_id="id.\0\udfff", kind="te\0xt")
    odd = dataclasses.replace(came, text="a\0b\ud800c")
    plain = arrival(tenant_id)
    await store.record([odd, plain])
    assert len(await messages(pool, tenant_id)) == 2
    await store.bury([_stray(tenant_id, wamid="w\0\ud800", answer="no \0 \ud800")])


# --- strays ---


def _stray(tenant_id: str | None = None, **changes: Any) -> Stray:
    made = Stray(uuid.uuid4(), Direction.INBOUND, "unrouted", "no tenant has it", b"{}", tenant_id, wamid="wamid.x")
    return dataclasses.replace(made, **changes)


async def test_a_stray_is_kept_once_with_its_reason(store: ArrivalStore, pool: Pool) -> None:
    stray = _stray()
    await store.bury([stray])
    await store.bury([stray])
    (letter,) = await rows(pool, "SELECT * FROM dead_letters WHERE message_id = %s", stray.message_id)
    assert (letter["tenant_id"], letter["reason"], letter["answer"]) == (None, "unrouted", "no tenant has it")
    assert (letter["wamid"], bytes(letter["envelope"])) == ("wamid.x", b"{}")


async def test_only_what_belongs_to_nobody_counts_as_unrouted(store: ArrivalStore, tenant_id: str) -> None:
    count, size = await store.count_unrouted()
    await store.bury([_stray(body=b"12345"), _stray(tenant_id, reason="invalid", body=b"123")])
    assert await store.count_unrouted() == (count + 1, size + 5)
