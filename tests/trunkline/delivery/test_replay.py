"""Which dead letters are replayed, in which order, and what is said of the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tests.fakes import Clock, MemoryAliases, MemoryArrivals, MemoryTenants, envelope
from tests.trunkline.records import BY, tenant_record
from trunkline.delivery import replay as replay_module
from trunkline.delivery.people import People
from trunkline.delivery.replay import Refused, Replay
from trunkline.delivery.rerouting import Rerouting
from trunkline.envelope import Direction, Envelope
from trunkline.errors import NotFound
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.history import LetterFilter, Revival, StoredLetter
from trunkline.tenancy.record import MetaApp

ACME, OTHER = tenant_record("acme"), tenant_record("other")


def letter(id: int = 1, message: Envelope | None = None, **changes: Any) -> StoredLetter:
    message = message or envelope(id)
    at = datetime.fromtimestamp(message.accepted_at, UTC)
    made = StoredLetter(id, message.message_id, "acme", "rejected", message.to_bytes(), at, "dead", True)
    return dataclasses.replace(made, **changes)


def stray(id: int, number: str, tenant_id: str | None = None, wamid: str | None = None) -> StoredLetter:
    raw = {"id": wamid or f"wamid.stray.{id}", "from": "447700900111", "type": "text", "text": {"body": "hello"}}
    body = {"v": 1, "source": "meta", "app": "default", "kind": "message", "phoneNumberId": number, "raw": raw}
    reason = "invalid" if tenant_id else "unrouted"
    return letter(id, body=orjson.dumps(body), reason=reason, tenant_id=tenant_id, state=None)


class MemoryLetters:
    """Dead letters in the order in which a store finds them; `taken` are replayed by somebody else meanwhile."""

    def __init__(self, *letters: StoredLetter) -> None:
        self.letters = {each.id: each for each in letters}
        self.taken: set[int] = set()
        self.revived: list[list[Revival]] = []
        self.pages = 0

    async def load(self, tenant_id: str | None, ids: Sequence[int]) -> list[StoredLetter]:
        return [each for each in self._ordered() if each.id in ids and tenant_id in (None, each.tenant_id)]

    async def oldest(
        self, wanted: LetterFilter, limit: int, after: tuple[datetime, int] | None = None
    ) -> list[tuple[datetime, int]]:
        self.pages += 1
        places = [(each.ordered_at, each.id) for each in self._ordered()]
        return [place for place in places if after is None or place > after][:limit]

    async def revive(self, revivals: Sequence[Revival], by: Actor) -> list[Revival]:
        revived = [each for each in revivals if each.letter_id not in self.taken]
        self.revived.append(revived)
        for each in revived:
            del self.letters[each.letter_id]
        return revived

    def _ordered(self) -> list[StoredLetter]:
        return sorted(self.letters.values(), key=lambda each: (each.ordered_at, each.id))


class World:
    """A replay over letters and tenants in memory."""

    def __init__(self, *letters: StoredLetter) -> None:
        clock = Clock()
        self.letters = MemoryLetters(*letters)
        self.arrivals = MemoryArrivals()
        self.source = MemoryTenants(ACME, OTHER)
        people = People(MemoryAliases(), clock)
        default = MetaApp("default", (), ())
        self.replay = Replay(
            self.letters, self.arrivals, lambda: Rerouting(TenantDirectory(self.source, default), people, clock)
        )

    async def many(self, limit: int = 100, **more: Any) -> list[int]:
        return await self.replay.many(LetterFilter(), limit, BY, **more)


async def test_a_dead_letter_is_put_on_its_way_with_the_envelope_it_keeps() -> None:
    world = World(letter(1), letter(2))
    assert await world.replay.one("acme", 1, BY) is None
    assert world.letters.revived == [[Revival(1, "rejected", [envelope(1)])]]


async def test_a_dry_run_changes_nothing() -> None:
    world = World(letter(1), letter(2), stray(3, ACME.whatsapp.phone_number_id))
    assert await world.replay.one(None, 1, BY, dry_run=True) is None
    assert await world.many(dry_run=True) == [1, 2, 3]
    assert (len(world.letters.letters), world.letters.revived, world.arrivals.recorded) == (3, [], [])


async def test_a_letter_that_is_not_there_or_of_another_is_not_found() -> None:
    world = World(letter(1))
    for tenant_id, letter_id in ((None, 2), ("other", 1)):
        with pytest.raises(NotFound):
            await world.replay.one(tenant_id, letter_id, BY)


TYPING = dataclasses.replace(envelope(1, Direction.OUTBOUND), kind="event")
REPORT = dataclasses.replace(envelope(1, Direction.OUTBOUND), kind="receipt")
REFUSALS = [
    pytest.param(letter(state="delivered", reason="media_unavailable"), "delivered without its file", id="delivered"),
    pytest.param(letter(state="failed"), "had accepted its message", id="accepted by the cloud"),
    pytest.param(letter(state="sending"), "on its way", id="on its way"),
    pytest.param(letter(state="purged"), "purged", id="purged"),
    pytest.param(letter(tenant_exists=False, reason="tenant_deleted"), "its tenant was deleted", id="no tenant"),
    pytest.param(letter(body=b"\xff", reason="poison", state=None), "cannot be read", id="unreadable"),
    pytest.param(letter(body=b"", reason="exhausted"), "retentionDays.content", id="its content was let go"),
    pytest.param(letter(message=envelope(tenant_id="other")), "cannot be read", id="an envelope of another tenant"),
    pytest.param(letter(message=TYPING), "nothing to deliver later", id="typing"),
    pytest.param(letter(message=REPORT), "nothing to deliver later", id="a report"),
    pytest.param(stray(1, "999"), "no tenant has phone number id 999", id="nobody's"),
    pytest.param(stray(1, OTHER.whatsapp.phone_number_id, "acme"), "belongs to another tenant", id="of another now"),
    pytest.param(dataclasses.replace(stray(1, ACME.whatsapp.phone_number_id), reason="poison"), "cannot be read",
                 id="a webhook in a lane"),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "words"), REFUSALS)
async def test_what_cannot_be_replayed_says_why_and_is_no_hindrance_to_others(
    refused: StoredLetter, words: str
) -> None:
    world = World(refused, letter(7))
    answer = await world.replay.one(None, refused.id, BY)
    assert isinstance(answer, Refused) and words in answer.words
    assert await world.many() == [7]
    assert list(world.letters.letters) == [refused.id]


async def test_one_that_somebody_else_replays_at_this_moment_is_refused() -> None:
    world = World(letter(1), letter(2))
    world.letters.taken = {1}
    assert isinstance(await world.replay.one(None, 1, BY), Refused)
    assert await world.many() == [2]


async def test_many_are_replayed_oldest_first_in_groups_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "GROUP_LIMIT", 3)
    monkeypatch.setattr(replay_module, "PLACES_AT_ONCE", 5)
    letters = [letter(id, envelope(id, accepted_at=1000.0 - id)) for id in range(1, 10)]
    world = World(*letters)
    assert await world.many(limit=7) == [9, 8, 7, 6, 5, 4, 3]
    assert [[each.letter_id for each in group] for group in world.letters.revived] == [[9, 8, 7], [6, 5], [4, 3]]
    assert await world.many() == [2, 1]


async def test_within_a_group_the_envelopes_tell_the_order() -> None:
    # Without a row of its message, a letter is found by the time when that was given up.
    late = datetime.fromtimestamp(2000, UTC)
    orphan = letter(1, envelope(1, accepted_at=10.0), state=None, ordered_at=late)
    world = World(letter(2, envelope(2, accepted_at=20.0)), orphan)
    assert await world.many() == [1, 2]


async def test_a_call_looks_at_so_many_letters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "LOOKED_AT_LIMIT", 100)
    monkeypatch.setattr(replay_module, "PLACES_AT_ONCE", 50)
    world = World(*(letter(id, state="delivered") for id in range(500)))
    assert await world.many() == []
    assert world.letters.pages == 2


async def test_what_found_its_tenant_is_recorded_as_accepted_by_the_replay() -> None:
    world = World(stray(1, ACME.whatsapp.phone_number_id), stray(2, "999"))
    assert await world.many() == [1]
    ((revived,),) = world.letters.revived
    assert revived.rerouted
    assert [arrival.envelope for arrival in world.arrivals.recorded] == list(revived.envelopes)
    assert world.arrivals.strays == []


async def test_a_record_that_fails_costs_no_message() -> None:
    world = World(stray(1, ACME.whatsapp.phone_number_id))
    world.arrivals.away = True
    assert await world.many() == [1]
