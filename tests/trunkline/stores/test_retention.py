"""What has been kept for long enough goes, class by class; what is not settled, or still needed, stays."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.trunkline.records import BY, tenant_record
from tests.trunkline.stores.attempts import ask, claim, envelope, outcome, rows, settle, written_in
from tests.trunkline.stores.conftest import KEY
from trunkline.arrival import Arrival
from trunkline.attempt import DeadLetter, Settled
from trunkline.envelope import Envelope
from trunkline.people import Alias
from trunkline.protocol.media import CustomerFile
from trunkline.stores.activations import ActivationStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.audit import AuditStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.media_accounts import MediaAccounts
from trunkline.stores.messages import MessageStore
from trunkline.stores.retention import RetentionStore
from trunkline.stores.retention_job import RetentionJob
from trunkline.stores.retention_runs import RetentionRuns, only_run
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.record import RetentionDays, TenantSettings

pytestmark = pytest.mark.services

TIMES = {
    "messages": ("created_at", "accepted_at", "updated_at"),
    "seen": ("seen_at",),
    "message_events": ("at",),
    "dead_letters": ("created_at",),
    "conversation_mappings": ("created_at", "last_activity_at"),
    "customer_files": ("created_at",),
}


class World:
    """A tenant of its own, its data made older at will, and the job."""

    def __init__(self, pool: Pool, database_url: str, batch: int = 2) -> None:
        self.pool = pool
        self.tenants = TenantStore(pool, Sealer([KEY]))
        self.messages = MessageStore(pool)
        self.rests: list[float] = []
        self.runs = RetentionRuns(pool)
        self.job = RetentionJob(database_url, pool, 72, RetentionStore(pool, batch), self._rest)
        self.tenant_id = ""

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)

    async def make(self, hours: int | None = None, **days: int) -> World:
        window = {} if hours is None else {"conversation_window_hours": hours}
        record = tenant_record(settings=TenantSettings(retention_days=RetentionDays(**days), **window))
        await self.tenants.create(record, BY)
        await ActivationStore(self.pool).activate(record.tenant_id, "cell:0")
        self.tenant_id = record.tenant_id
        return self

    async def arrive(self, file: str | None = None, **changes: Any) -> Envelope:
        message = envelope(self.tenant_id, **{"payload": {"phoneNumberId": "2100"}, **changes})
        kept = CustomerFile(file, "image", "image/jpeg", None) if file else None
        aliases = (Alias(self.tenant_id, f"GB.{message.conversation}", message.conversation),)
        await ArrivalStore(self.pool).record(
            [Arrival(message, "hello", 72, is_message=True, aliases=aliases, file=kept)]
        )
        return message

    async def deliver(self, **changes: Any) -> Envelope:
        attempt = claim(await self.arrive(**changes))
        await ask(self.messages, attempt)
        await settle(self.messages, outcome(attempt, "delivered", detail={"note": "told"}))
        return attempt.envelope

    async def give_up(self, *, claimed: bool = True) -> Envelope:
        attempt = claim(await self.arrive())
        if claimed:
            await ask(self.messages, attempt)
        await settle(self.messages, outcome(attempt, "dead", dead_letter=DeadLetter("rejected", "no")))
        return attempt.envelope

    async def age(self, days: float) -> None:
        """As if all that there is were so much older."""
        async with connection(self.pool) as taken:
            for table, columns in TIMES.items():
                changes = ", ".join(f"{column} = {column} - %(age)s" for column in columns)
                query = f"UPDATE {table} SET {changes} WHERE tenant_id = %(tenant)s"
                await taken.execute(query.encode(), {"age": timedelta(days=days), "tenant": self.tenant_id})

    async def of(self, table: str, columns: str = "*") -> list[dict[str, Any]]:
        return await rows(self.pool, f"SELECT {columns} FROM {table} WHERE tenant_id = %s", self.tenant_id)

    async def told(self) -> list[dict[str, Any]]:
        """What the audit log says that was removed, oldest first."""
        entries = await AuditStore(self.pool).entries(100, tenant_id=self.tenant_id, action="retention.applied")
        return [entry.record.after or {} for entry in reversed(entries)]


Made = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    return await World(pool, database_url).make(content=10, metadata=20, media=5, audit=40)


async def test_texts_go_before_their_messages_do(world: World) -> None:
    await world.deliver()
    await world.age(9)
    young = await world.deliver()
    await world.age(2)
    assert await world.job.run()
    texts = {str(each["message_id"]): each["text"] for each in await world.of("messages")}
    assert len(texts) == 2
    assert texts.pop(young.message_id) == "hello"
    assert list(texts.values()) == [None]
    assert await world.told() == [{"texts": 1}]


async def test_a_month_that_nobody_keeps_goes_at_once_and_is_told_of(world: World) -> None:
    message = await world.deliver()
    await written_in(world.pool, "2010-03", message)
    assert await world.job.run()
    assert await world.of("messages") == await world.of("message_events") == []
    assert await rows(world.pool, "SELECT to_regclass('messages_2010_03') AS left") == [{"left": None}]
    assert await world.told() == [{"messages": 1}]


async def test_messages_go_with_all_that_belongs_to_them(world: World) -> None:
    for number in range(5):
        await world.deliver(conversation=f"4477009000{number}")
    await world.age(21)
    young = await world.deliver(conversation="447700900199")
    assert await world.job.run()
    assert [str(each["message_id"]) for each in await world.of("messages")] == [young.message_id]
    assert [str(each["message_id"]) for each in await world.of("message_events")] == [young.message_id]
    assert [each["wa_id"] for each in await world.of("conversation_mappings")] == ["447700900199"]
    assert [each["identity"] for each in await world.of("aliases")] == ["447700900199"]
    (removed,) = await world.told()
    assert removed == {"aliases": 5, "conversations": 5, "messages": 5, "texts": 5}


@pytest.mark.parametrize("status", ["received", "waiting", "sending", "unknown"])
async def test_what_is_not_settled_stays_whatever_its_age(world: World, status: str) -> None:
    message = await world.arrive()
    async with connection(world.pool) as taken:
        await taken.execute("UPDATE messages SET status = %s WHERE tenant_id = %s", (status, world.tenant_id))
    await world.age(500)
    assert await world.job.run()
    (kept,) = await world.of("messages")
    assert (str(kept["message_id"]), kept["text"], kept["status"]) == (message.message_id, "hello", status)
    assert len(await world.of("conversation_mappings")) == len(await world.of("aliases")) == 1


async def test_what_stays_is_in_the_way_of_nothing_behind_it(world: World) -> None:
    for _ in range(5):
        await world.arrive()
    await world.age(1)
    for _ in range(5):
        await world.deliver()
    await world.age(30)
    await world.job.run()
    assert {each["status"] for each in await world.of("messages")} == {"received"}
    assert len(await world.of("messages")) == 5


async def test_a_dead_letter_loses_its_content_and_later_goes(world: World) -> None:
    await world.give_up()
    await world.age(11)
    await world.job.run()
    (letter,) = await world.of("dead_letters")
    assert (bytes(letter["envelope"]), letter["answer"]) == (b"", "no")
    await world.age(10)
    await world.job.run()
    assert await world.of("dead_letters") == []
    assert [set(each) for each in await world.told()] == [
        {"deadLetterContents", "texts"}, {"deadLetters", "messages", "conversations", "aliases"},
    ]  # fmt: skip


async def test_a_conversation_stays_for_as_long_as_its_window(pool: Pool, database_url: str) -> None:
    world = await World(pool, database_url).make(hours=240, content=1, metadata=1)
    await world.deliver()
    await world.age(9)
    await world.job.run()
    assert (await world.of("messages"), len(await world.of("conversation_mappings"))) == ([], 1)
    await world.age(2)
    await world.job.run()
    assert await world.of("conversation_mappings") == []


async def test_whose_a_file_is_stays_known_while_it_may_be_on_a_disk(world: World) -> None:
    await world.deliver(file="1203")
    await world.age(26)  # it may have been fetched a week after its message
    await world.job.run()
    assert len(await world.of("customer_files")) == 1
    await world.age(2)
    await world.job.run()
    assert await world.of("customer_files") == []


async def test_events_of_messages_without_a_row_go_by_their_own_age(world: World) -> None:
    attempt = claim(envelope(world.tenant_id))
    await settle(world.messages, outcome(attempt, "dead", dead_letter=DeadLetter("tenant_deleted", "gone")))
    await world.age(19)
    await world.job.run()
    assert len(await world.of("message_events")) == 1
    await world.age(2)
    await world.job.run()
    assert await world.of("message_events") == []


async def test_entries_of_the_audit_log_go_by_their_own_age_and_its_chain_holds(world: World) -> None:
    async with connection(world.pool) as taken:
        await taken.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await taken.execute(
            "UPDATE audit_log SET at = at - interval '41 days' WHERE tenant_id = %s", (world.tenant_id,)
        )
        await taken.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
    await world.job.run()
    entries = await AuditStore(world.pool).entries(100, tenant_id=world.tenant_id)
    assert [entry.record.action for entry in entries] == ["retention.applied"]
    assert entries[0].record.after == {"auditEntries": 1}
    assert (await AuditStore(world.pool).verify(10_000)).breach is None


async def test_files_that_a_node_has_removed_are_told_of_with_the_next_run(world: World) -> None:
    accounts = MediaAccounts(world.tenants, world.pool)
    await accounts.note_removed({world.tenant_id: 2})
    await accounts.note_removed({world.tenant_id: 1})
    await world.job.run()
    assert await world.told() == [{"files": 3}]


# --- webhooks that are repeated ---


@pytest.mark.parametrize("was", ["delivered", "given up", "given up without a claim"])
async def test_a_webhook_repeated_after_its_message_went_is_not_delivered_again(
    pool: Pool, database_url: str, was: str
) -> None:
    world = await World(pool, database_url).make(content=1, metadata=1)
    if was == "delivered":
        message = await world.deliver()
    else:
        message = await world.give_up(claimed=was == "given up")
    await world.age(4)  # beyond its conversation's window, too
    await world.job.run()
    assert await world.of("messages") == []
    repeated = dataclasses.replace(message, accepted_at=time.time())
    await ArrivalStore(pool).record([Arrival(repeated, "hello", 72, is_message=True)])
    assert isinstance(await ask(world.messages, claim(repeated)), Settled)
    assert await world.of("messages") == await world.of("conversation_mappings") == []


# --- tenants that were deleted ---


async def delete(world: World, days_ago: float) -> None:
    await world.tenants.delete(world.tenant_id, BY)
    async with connection(world.pool) as taken:
        query = "UPDATE tenants SET updated_at = updated_at - %s WHERE tenant_id = %s"
        await taken.execute(query, (timedelta(days=days_ago), world.tenant_id))
    await world.age(days_ago)


async def test_a_deleted_tenants_data_is_kept_for_its_retention_then_goes_with_its_credentials(world: World) -> None:
    await world.deliver()
    await world.arrive()  # nobody will ever deliver it
    await delete(world, days_ago=19)
    await world.job.run()
    assert len(await world.of("messages")) == 2
    assert len(await world.of("tenant_credentials")) == 1
    async with connection(world.pool) as taken:
        query = "UPDATE tenants SET updated_at = updated_at - interval '2 days' WHERE tenant_id = %s"
        await taken.execute(query, (world.tenant_id,))
    await world.job.run()
    for table in (
        "messages",
        "tenant_credentials",
        "tenant_api_keys",
        "tenant_activations",
        "conversation_mappings",
        "aliases",
        "lanes",
    ):
        assert await world.of(table) == [], table
    assert await world.of("tenants", "status, name") == [{"status": "deleted", "name": ""}]
    told = await world.told()
    assert told[-1]["credentials"] == 1
    await world.job.run()
    assert await world.told() == told


# --- the job ---


async def test_what_belongs_to_no_tenant_goes_after_the_default_times(world: World) -> None:
    async with connection(world.pool) as taken:
        await taken.execute("DELETE FROM dead_letters WHERE tenant_id IS NULL")
        for days in (1, 31, 91):
            await taken.execute(
                "INSERT INTO dead_letters (message_id, direction, reason, envelope, created_at) "
                "VALUES (gen_random_uuid(), 'inbound', 'unrouted', 'x', now() - make_interval(days => %s))",
                (days,),
            )
    await world.job.run()
    left = await rows(world.pool, "SELECT envelope FROM dead_letters WHERE tenant_id IS NULL ORDER BY created_at")
    assert [bytes(each["envelope"]) for each in left] == [b"", b"x"]


async def test_it_rests_between_batches(world: World) -> None:
    for _ in range(7):
        await world.deliver()
    await world.age(11)
    await world.job.run()
    assert len(world.rests) >= 3
    assert all(0 < rest <= 1 for rest in world.rests)


async def test_one_runs_at_a_time_in_the_cluster(world: World, database_url: str) -> None:
    async with only_run(database_url) as is_ours:
        assert is_ours
        assert not await world.job.run()
        assert (await world.runs.state()).running is None  # a turn is not a run yet
    assert await world.job.run()


async def test_a_run_that_is_broken_off_is_gone_on_with_and_told_of_as_one(world: World) -> None:
    for _ in range(6):
        await world.deliver()
    await world.age(11)
    before = await world.runs.state()
    resting = asyncio.Event()

    async def rest_for_ever(seconds: float) -> None:
        resting.set()
        await asyncio.sleep(3600)

    world.job._sleep = rest_for_ever
    running = asyncio.create_task(world.job.run())
    await resting.wait()
    state = await world.runs.state()
    assert (state.last, state.running is not None) == (before.last, True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await world.runs.state()).running is None
    assert len([each for each in await world.of("messages") if each["text"]]) == 4
    world.job._sleep = world._rest
    await world.job.run()
    assert await world.told() == [{"texts": 2}, {"texts": 4}]


async def test_the_state_tells_of_the_last_run_and_how_far_behind_it_is(world: World) -> None:
    await world.deliver()
    await world.age(11)
    await world.job.run()
    state = await world.runs.state()
    assert state.last is not None and state.last.ended_at is not None
    assert state.last.removed["texts"] >= 1
    assert state.running is None
    assert state.behind_s is not None and 0 <= state.behind_s < 60


async def test_whoever_has_locked_a_row_is_not_waited_for(world: World) -> None:
    held, other = await world.deliver(), await world.deliver()
    await world.age(11)
    async with connection(world.pool) as taken:
        await taken.execute("SELECT FROM messages WHERE message_id = %s::uuid FOR UPDATE", (held.message_id,))
        await asyncio.wait_for(world.job.run(), 10)
    texts = {str(each["message_id"]): each["text"] for each in await world.of("messages")}
    assert texts == {held.message_id: "hello", other.message_id: None}
