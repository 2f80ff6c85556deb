"""Replay: dead letters on their way again, behind what was sent meanwhile, each conversation in its own order."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from trunkline.arrival import Arrival
from trunkline.delivery.outbound_route import is_claimed
from trunkline.delivery.rerouting import UNREADABLE, Rerouting, Unroutable
from trunkline.envelope import Envelope
from trunkline.errors import NotFound, StoreUnavailable
from trunkline.tenancy.audit import Actor
from trunkline.tenancy.history import LetterFilter, Revival, StoredLetter

log = logging.getLogger(__name__)

# One transaction for so many, since an envelope may be large.
GROUP_LIMIT = 50
# What cannot be replayed is looked at each time: after so many letters a call ends, whatever it has found.
LOOKED_AT_LIMIT = 10_000
PLACES_AT_ONCE = 1000
# Reasons of letters whose body may be a part of a webhook that became no envelope.
STRAYS = frozenset({"unrouted", "invalid"})

_UNDER_WAY = "its message is on its way: see its trace"
_LET_GO = "its content is kept no longer: its tenant's retentionDays.content have passed"
_STANDING = {
    "delivered": "its message was delivered without its file: a replay would deliver the rest a second time",
    "failed": "the cloud had accepted its message: a replay would send it a second time",
    "purged": "its message was purged",
}


class Letters(Protocol):
    """Where dead letters are kept; every call raises StoreUnavailable."""

    async def load(self, tenant_id: str | None, ids: Sequence[int]) -> list[StoredLetter]:
        """The dead letters of these ids, oldest first."""

    async def oldest(
        self, wanted: LetterFilter, limit: int, after: tuple[datetime, int] | None = None
    ) -> list[tuple[datetime, int]]:
        """Places (`ordered_at` and id) of dead letters that may be replayed, oldest first, behind a place."""

    async def revive(self, revivals: Sequence[Revival], by: Actor) -> list[Revival]:
        """Put the envelopes of dead letters into the spool, as if accepted now; those that were."""


class Records(Protocol):
    """The record of what came in."""

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        """Record accepted envelopes; raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a dead letter cannot be replayed, in words."""

    words: str


class Replay:
    """Replays dead letters; every method raises StoreUnavailable. `by` is the id of the key that asks."""

    def __init__(self, letters: Letters, records: Records, rerouting: Callable[[], Rerouting]) -> None:
        self._letters = letters
        self._records = records
        self._rerouting = rerouting

    async def one(self, tenant_id: str | None, letter_id: int, by: Actor, *, dry_run: bool = False) -> Refused | None:
        """Replay one dead letter: None once it is on its way. Raises NotFound for none of the tenant."""
        letters = await self._letters.load(tenant_id, [letter_id])
        if not letters:
            raise NotFound("Dead letter")
        rerouting = self._rerouting()
        revival = await _decide(letters[0], rerouting)
        if isinstance(revival, Refused) or dry_run:
            return revival if isinstance(revival, Refused) else None
        return None if await self._revive([revival], by, rerouting) else Refused(_UNDER_WAY)

    async def many(self, wanted: LetterFilter, limit: int, by: Actor, *, dry_run: bool = False) -> list[int]:
        """Replay the oldest dead letters that can be, at most `limit`: their ids, in the order of the replay."""
        rerouting = self._rerouting()
        replayed: list[int] = []
        async for ids in self._groups(wanted):
            letters = await self._letters.load(wanted.tenant_id, ids)
            decided = [await _decide(letter, rerouting) for letter in _in_order(letters)]
            group = [each for each in decided if isinstance(each, Revival)][: limit - len(replayed)]
            replayed += [each.letter_id for each in (group if dry_run else await self._revive(group, by, rerouting))]
            if len(replayed) >= limit:
                break
        return replayed

    async def _groups(self, wanted: LetterFilter) -> AsyncIterator[list[int]]:
        """Ids of letters that may be replayed, oldest first."""
        after: tuple[datetime, int] | None = None
        for _ in range(LOOKED_AT_LIMIT // PLACES_AT_ONCE):
            places = await self._letters.oldest(wanted, PLACES_AT_ONCE, after)
            for start in range(0, len(places), GROUP_LIMIT):
                yield [letter_id for _, letter_id in places[start : start + GROUP_LIMIT]]
            if len(places) < PLACES_AT_ONCE:
                return
            after = places[-1]

    async def _revive(self, group: Sequence[Revival], by: Actor, rerouting: Rerouting) -> list[Revival]:
        revived = await self._letters.revive(group, by) if group else []
        envelopes = [envelope for each in revived if each.rerouted for envelope in each.envelopes]
        if envelopes:
            await self._record(envelopes, await rerouting.arrivals_of(envelopes))
        return revived

    async def _record(self, envelopes: Sequence[Envelope], arrivals: Sequence[Arrival]) -> None:
        """Best effort: the claim writes the same rows, so a failure costs only visibility until then."""
        accepted = {envelope.message_id: envelope for envelope in envelopes}
        try:
            await self._records.record(
                [dataclasses.replace(each, envelope=accepted[each.envelope.message_id]) for each in arrivals]
            )
        except StoreUnavailable as error:
            log.warning("arrivals.unrecorded", extra={"count": len(arrivals), "error": str(error)})


async def _decide(letter: StoredLetter, rerouting: Rerouting) -> Revival | Refused:
    """What to deliver when `letter` is replayed, or why it cannot be."""
    if not letter.tenant_exists:
        return Refused("its tenant was deleted")
    if letter.state not in (None, "dead"):
        return Refused(_STANDING.get(letter.state, _UNDER_WAY))
    if not letter.body:
        return Refused(_LET_GO)
    envelope = _envelope_of(letter)
    if envelope is not None:
        if not is_claimed(envelope):
            return Refused("it only shows or reports something at its time: there is nothing to deliver later")
        return Revival(letter.id, letter.reason, [envelope])
    if letter.reason not in STRAYS:
        return Refused(UNREADABLE)
    try:
        envelopes = await rerouting.envelopes_of(letter.body)
    except Unroutable as error:
        return Refused(error.words)
    if any(letter.tenant_id not in (None, envelope.tenant_id) for envelope in envelopes):
        return Refused("its number or integration belongs to another tenant by now")
    return Revival(letter.id, letter.reason, envelopes, rerouted=True)


def _envelope_of(letter: StoredLetter) -> Envelope | None:
    try:
        envelope = Envelope.from_bytes(letter.body)
    except ValueError:
        return None
    return envelope if envelope.tenant_id == letter.tenant_id else None


def _in_order(letters: Sequence[StoredLetter]) -> list[StoredLetter]:
    """By acceptance: without its message's row, a letter is ordered by the time when that was given up."""

    def place(letter: StoredLetter) -> tuple[float, int]:
        envelope = _envelope_of(letter)
        return (envelope.accepted_at if envelope else letter.ordered_at.timestamp(), letter.id)

    return sorted(letters, key=place)
