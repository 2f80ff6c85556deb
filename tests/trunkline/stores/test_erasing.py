"""A person's content is removed from every table, nobody else's is touched, and nothing of it comes back."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
import uuid
from typing import Any

import pytest
from psycopg import sql

from tests.trunkline.records import BY
from tests.trunkline.stores.attempts import ask, claim, envelope, events, outcome, row, rows, settle
from trunkline.arrival import Arrival, Stray
from trunkline.attempt import DeadLetter, Erased, Granted, Settled
from trunkline.envelope import Direction, Envelope
from trunkline.people import Alias, Erasure, Move
from trunkline.protocol.media import CustomerFile
from trunkline.stores.aliases import AliasStore
from trunkline.stores.arrivals import ArrivalStore
from trunkline.stores.audit import AuditStore
from trunkline.stores.customer_files import CustomerFileStore
from trunkline.stores.database import Pool, connection
from trunkline.stores.erasing import ErasingStore
from trunkline.stores.erasures import ErasureStore
from trunkline.stores.messages import MessageStore
from trunkline.stores.sent_messages import SentMessageStore
from trunkline.stores.spool import SpoolStore

pytestmark = pytest.mark.services


class Person:
    """A customer of a tenant with a number, a user id, and everything that the tables can hold of somebody."""

    def __init__(self, pool: Pool, tenant_id: str) -> None:
        self.pool = pool
        self.tenant_id = tenant_id
        self.number = f"4477{secrets.randbelow(10**8):08d}"
        self.user_id = f"GB.{secrets.randbelow(10**20):020d}"
        self.words = f"words of {secrets.token_hex(8)}"
        self.files = [str(secrets.randbits(50)) for _ in range(2)]
        self.store = MessageStore(pool)

    def message(self, direction: Direction = Direction.INBOUND, **changes: Any) -> Envelope:
        """A message, its ids made of the number as WhatsApp's are."""
        external_id = f"wamid.{self.number}.{secrets.token_hex(6)}"
        payload = {
            "phoneNumberId": "2100",
            "message": {"text": {"body": self.words}},
            "contact": {"name": "Ines Calder"},
        }
        values = {"conversation": self.number, "external_id": external_id, "payload": payload, **changes}
        return envelope(self.tenant_id, direction, message_id=str(uuid.uuid4()), **values)

    async def arrive(self, message: Envelope, file: str | None = None) -> Envelope:
        aliases = (Alias(self.tenant_id, self.user_id, self.number),)
        kept = CustomerFile(file, "image", "image/jpeg", None) if file else None
        arrival = Arrival(message, self.words, 72, is_message=True, aliases=aliases, file=kept)
        await ArrivalStore(self.pool).record([arrival])
        return message

    async def deliver(self, message: Envelope, **more: Any) -> Envelope:
        attempt = claim(message)
        assert isinstance(await ask(self.store, attempt), Granted)
        await settle(self.store, outcome(attempt, "delivered", **more))
        return message

    async def leave_traces(self) -> None:
        """Everything at once: whatever is added to the tables belongs here."""
        for name in self.files:
            await self.deliver(await self.arrive(self.message(), name))
        sent = await self.arrive(self.message(Direction.OUTBOUND))
        await self.deliver(sent, wamid=f"wamid.{self.number}.part", parts_done=2, parts=2, detail={"error": self.words})
        waiting = await self.arrive(self.message())
        await SpoolStore(self.pool).park([waiting, self.message(), self.message(Direction.STATUS)], 60.0)
        dead = claim(await self.arrive(self.message()))
        await ask(self.store, dead)
        await settle(self.store, outcome(dead, "dead", dead_letter=DeadLetter("rejected", self.words)))
        gone = claim(self.message())
        await settle(
            self.store,
            outcome(gone, "dead", dead_letter=DeadLetter("tenant_deleted", self.words), detail={"error": self.words}),
        )
        for status in ("sending", "unknown"):
            left = claim(await self.arrive(self.message(Direction.OUTBOUND)))
            await ask(self.store, left)
            await settle(self.store, *([outcome(left, "unknown")] if status == "unknown" else []))
        nameless = self.message(Direction.STATUS, conversation=f"wamid.{self.number}.part")
        await self.deliver(dataclasses.replace(nameless, external_id=f"wamid.{self.number}.part"))
        await SentMessageStore(self.pool).park(self.message(Direction.STATUS))
        await AliasStore(self.pool).move(Move(self.tenant_id, self.number, f"99{self.number}", time.time()))
        stray = Stray(uuid.uuid4(), Direction.INBOUND, "invalid", self.words, self.words.encode(), self.tenant_id)
        await ArrivalStore(self.pool).bury([dataclasses.replace(stray, wa_id=self.number)])

    async def erase(self, address: str | None = None) -> tuple[Erasure, dict[str, int], list[str]]:
        """As it is asked for, and finished at once, since nobody else is there."""
        store = ErasingStore(self.pool, batch=2)
        erasure = await store.begin(self.tenant_id, address or self.number, BY)
        removed = await store.remove_messages(erasure)
        files = await store.forget_files(erasure)
        removed.update(await store.remove_conversations(erasure))
        await store.finished(erasure)
        return erasure, dict(removed), files


@pytest.fixture
def person(pool: Pool, tenant_id: str) -> Person:
    return Person(pool, tenant_id)


async def tables_with(pool: Pool, *words: str) -> dict[str, int]:
    """How many rows of each table hold one of the words, as text or as bytes."""
    looked_for = [*words, *(word.encode().hex() for word in words)]
    found: dict[str, int] = {}
    for (table,) in [
        tuple(each.values()) for each in await rows(pool, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]:
        query = sql.SQL("SELECT t::text AS row FROM {} t").format(sql.Identifier(table))
        async with connection(pool) as taken:
            held = await (await taken.execute(query)).fetchall()
        if count := sum(any(word in text for word in looked_for) for (text,) in held):
            found[table] = count
    return found


async def test_everything_that_the_tables_held_of_a_person_has_gone(pool: Pool, person: Person) -> None:
    await person.leave_traces()
    names = (person.number, person.user_id)
    before = await tables_with(pool, *names, *person.files, person.words)
    assert before.keys() >= {
        "aliases", "conversation_mappings", "customer_files", "dead_letters", "intake_spool", "media_fetches",
        "message_events", "message_parts", "messages", "parked_statuses",
    }  # fmt: skip
    _, removed, files = await person.erase()
    assert await tables_with(pool, *names, person.words, "Ines Calder") == {}
    assert sorted(files) == sorted(person.files)
    assert await tables_with(pool, *person.files) == {"customer_files": 2}  # for other nodes to remove
    assert removed == {
        "messages": 5, "purged": 3, "events": 4, "deadLetters": 3, "spooled": 3,
        "parkedStatuses": 1, "conversations": 1, "aliases": 2,
    }  # fmt: skip


async def test_nothing_of_anybody_else_is_touched(pool: Pool, person: Person, tenant_id: str) -> None:
    other = Person(pool, tenant_id)
    await person.leave_traces()
    await other.leave_traces()
    before = await tables_with(pool, other.number, other.user_id)
    await person.erase()
    assert await tables_with(pool, other.number, other.user_id) == before


async def test_the_same_person_at_another_tenant_stays(pool: Pool, person: Person) -> None:
    there = Person(pool, f"t-{secrets.token_hex(6)}")
    there.number, there.user_id = person.number, person.user_id
    await there.arrive(there.message())
    await person.leave_traces()
    await person.erase()
    left = await rows(pool, "SELECT DISTINCT tenant_id FROM messages WHERE wa_id = %s", person.number)
    assert left == [{"tenant_id": there.tenant_id}]


@pytest.mark.parametrize("named", ["number", "user_id"])
async def test_a_person_is_erased_under_every_address(pool: Pool, person: Person, named: str) -> None:
    await person.leave_traces()
    erasure, _, _ = await person.erase(getattr(person, named))
    assert set(erasure.addresses) == {person.number, person.user_id, f"99{person.number}"}
    assert await tables_with(pool, person.number, person.user_id) == {}


async def test_what_waited_is_purged_with_a_bare_row_that_says_so(pool: Pool, person: Person) -> None:
    waiting = await person.arrive(person.message())
    left = claim(await person.arrive(person.message(Direction.OUTBOUND)))
    await ask(person.store, left)
    await person.erase()
    for message, was in ((waiting, "received"), (left.envelope, "sending")):
        purged = await row(pool, message)
        assert (purged["status"], purged["wa_id"], purged["text"], purged["wamid"]) == ("purged", "", None, None)
        (event,) = await rows(
            pool, "SELECT event, detail FROM message_events WHERE message_id = %s", message.message_id
        )
        assert event == {"event": "erased", "detail": {"was": was}}


async def test_it_is_in_the_audit_log_without_the_address(pool: Pool, person: Person) -> None:
    await person.erase()
    (entry,) = await AuditStore(pool).entries(1, tenant_id=person.tenant_id, action="person.erased")
    assert entry.record.actor == BY
    assert entry.record.subject == f"****{person.number[-4:]}"


async def test_to_erase_once_more_removes_what_has_come_since(pool: Pool, person: Person) -> None:
    await person.leave_traces()
    await person.erase()
    assert {name: count for name, count in (await person.erase())[1].items() if count} == {}
    await person.deliver(await person.arrive(person.message()))
    assert (await person.erase())[1]["messages"] == 1
    assert await tables_with(pool, person.number) == {}


async def test_who_writes_during_it_keeps_what_was_written_since(pool: Pool, person: Person) -> None:
    await person.deliver(await person.arrive(person.message()))
    store = ErasingStore(pool)
    erasure = await store.begin(person.tenant_id, person.number, BY)
    since = await person.deliver(await person.arrive(person.message()))
    await store.remove_messages(erasure)
    await store.remove_conversations(erasure)
    assert (await row(pool, since))["status"] == "delivered"
    conversation = await rows(pool, "SELECT wa_id FROM conversation_mappings WHERE tenant_id = %s", person.tenant_id)
    assert conversation == [{"wa_id": person.number}]
    assert await AliasStore(pool).identity(person.tenant_id, person.user_id) == person.number


# --- what comes afterwards ---


async def test_an_envelope_accepted_before_is_refused_its_claim_and_accounted_for(pool: Pool, person: Person) -> None:
    waiting = person.message()  # in its queue, and recorded by nobody yet
    await person.erase()
    assert isinstance(await ask(person.store, claim(waiting, text=person.words)), Erased)
    assert await ErasureStore(pool).settle(waiting)
    assert (await row(pool, waiting))["status"] == "purged"
    assert await events(pool, waiting) == ["erased"]
    assert await ask(person.store, claim(waiting)) == Erased()
    assert await tables_with(pool, person.number, person.words) == {}


async def test_a_status_accepted_before_leaves_nothing(pool: Pool, person: Person) -> None:
    status = person.message(Direction.STATUS)
    await person.erase()
    assert await ErasureStore(pool).settle(status)
    assert isinstance(await ask(person.store, claim(status, text=None)), Erased)
    assert await rows(pool, "SELECT FROM messages WHERE tenant_id = %s", person.tenant_id) == []


async def test_a_message_accepted_afterwards_is_delivered(pool: Pool, person: Person) -> None:
    await person.erase()
    since = await person.arrive(person.message())
    assert not await ErasureStore(pool).settle(since)
    await person.deliver(since)
    assert (await row(pool, since))["status"] == "delivered"


@pytest.mark.parametrize("was", ["delivered", "received", "dead"])
async def test_a_webhook_repeated_afterwards_is_not_delivered_and_leaves_nothing(
    pool: Pool, person: Person, was: str
) -> None:
    message = await person.arrive(person.message(), "1203")
    if was == "delivered":
        await person.deliver(message)
    elif was == "dead":  # given up without a claim
        await settle(person.store, outcome(claim(message), "dead", dead_letter=DeadLetter("poison", person.words)))
    await person.erase()
    repeated = dataclasses.replace(message, accepted_at=time.time())
    await person.arrive(repeated, "1203")
    assert await ErasureStore(pool).settle(repeated)
    assert isinstance(await ask(person.store, claim(repeated)), Settled)
    assert await tables_with(pool, person.number, person.user_id, person.words) == {}
    assert await rows(pool, "SELECT FROM media_fetches WHERE tenant_id = %s", person.tenant_id) == []


@pytest.mark.parametrize(
    ("status", "more"),
    [
        pytest.param("delivered", {"wamid": "wamid.{}", "parts_done": 2, "parts": 2}, id="it arrived after all"),
        pytest.param("waiting", {"event": "retry", "detail": {"error": "{}"}}, id="it is to be tried again"),
        pytest.param("dead", {"dead_letter": DeadLetter("rejected", "no")}, id="it was given up"),
    ],
)
async def test_the_outcome_of_what_was_under_way_writes_nothing_down(
    pool: Pool, person: Person, status: str, more: dict[str, Any]
) -> None:
    left = claim(await person.arrive(person.message(Direction.OUTBOUND)))
    await ask(person.store, left)
    await person.erase()
    if "wamid" in more:
        more = {**more, "wamid": more["wamid"].format(person.number)}
    if "detail" in more:
        more = {**more, "detail": {"error": person.words}}
    await settle(person.store, outcome(left, status, **more))
    assert (await row(pool, left.envelope))["status"] == "purged"
    assert await events(pool, left.envelope) == ["erased"]
    assert await tables_with(pool, person.number, person.words) == {}


async def test_an_arrival_that_is_recorded_late_is_not_written_down(pool: Pool, person: Person) -> None:
    late = person.message()
    await person.erase()
    await person.arrive(late, "1203")
    assert await tables_with(pool, person.number, person.user_id, person.words) == {}


async def test_a_file_is_erased_for_every_node(pool: Pool, person: Person) -> None:
    await person.arrive(person.message(), "1203")
    files = CustomerFileStore(pool)
    assert not await files.is_erased(person.tenant_id, "1203")
    await person.erase()
    assert await files.is_erased(person.tenant_id, "1203")
    assert (person.tenant_id, "1203") in await files.erased(60.0)


async def test_rows_that_somebody_has_locked_are_removed_once_they_are_free(pool: Pool, person: Person) -> None:
    held = await person.deliver(await person.arrive(person.message()))
    async with connection(pool) as taken:
        await taken.execute("SELECT FROM messages WHERE message_id = %s::uuid FOR UPDATE", (held.message_id,))
        erasing = asyncio.create_task(person.erase())
        done, _ = await asyncio.wait([erasing], timeout=0.3)
        assert not done
    assert (await erasing)[1]["messages"] == 1


async def test_an_erasure_is_finished_once_all_know_and_nobody_else_began_before(pool: Pool, person: Person) -> None:
    store = ErasingStore(pool)

    async def open_for(known_s: float) -> list[int]:
        return [each.id for each in await store.unfinished(known_s) if each.tenant_id == person.tenant_id]

    async with connection(pool) as taken:
        await taken.execute("SELECT 1")
        erasure = await store.begin(person.tenant_id, person.number, BY)
        assert await open_for(0.0) == []
    assert await open_for(3600.0) == []
    (found,) = [each for each in await store.unfinished(0.0) if each.id == erasure.id]
    assert found == erasure
    await store.finished(erasure)
    assert await open_for(0.0) == []
    assert await tables_with(pool, person.number) == {}


async def test_erased_people_are_known_to_whoever_looks(pool: Pool, person: Person) -> None:
    store = ErasureStore(pool)
    erasure, _, _ = await person.erase()
    found = dict(await store.recent(0.0))
    assert len(set(found)) >= len(erasure.addresses)
    assert erasure.erased_at in found.values()
    assert erasure.erased_at in dict(await store.recent(erasure.erased_at)).values()  # commits may overtake each other
    assert erasure.erased_at not in dict(await store.recent(erasure.erased_at + 3600)).values()


async def test_somebody_whose_address_no_column_can_hold_is_not_taken_for_an_erased_person(
    pool: Pool, person: Person
) -> None:
    odd = claim(await person.arrive(person.message(Direction.OUTBOUND, conversation="\0")))
    assert isinstance(await ask(person.store, odd), Granted)
    await settle(person.store, outcome(odd, "delivered"))
    assert (await row(pool, odd.envelope))["status"] == "delivered"
