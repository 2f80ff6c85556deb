"""How lanes stand: what waits in each, for how long, and who reads it, from all who know a part; and their purging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from trunkline.delivery import purging
from trunkline.delivery.purging import Purging
from trunkline.envelope import Direction
from trunkline.errors import Unavailable

# A tenant's status is wanted within a second; a thousand lanes take most of one on a busy machine.
ANSWER_WITHIN_S = 0.6
PAGE_WITHIN_S = 3.0
RECORDED_WITHIN_S = 0.25
LANES_AT_ONCE = 1000
PURGED_AT_ONCE = 4

Lane = tuple[str, Direction]
Found = TypeVar("Found")


class Queues(purging.Queues, Protocol):
    """The lanes' queues, and the names by which all of a direction are called."""

    @property
    def names(self) -> Mapping[Direction, str]: ...


class Readers(purging.Holds, Protocol):
    """Who reads the lanes; every call raises Unavailable."""

    async def lanes_in_use(self) -> list[str]:
        """The queues of lanes that are being read, or have something and no reader."""

    async def lanes(self, tenant_id: str | None = None) -> dict[str, dict[str, Any]]:
        """The lanes that are being read, the tenant's or all, by queue: `reader`, `unacked`, `held` and the like."""


class Lanes(Protocol):
    """What Postgres knows of lanes; every call raises StoreUnavailable."""

    async def page(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> list[Lane]:
        """Lanes that have carried something, in order of tenant and direction, behind the place `after`."""

    async def with_spooled(self) -> list[Lane]:
        """Lanes with something in the spool."""

    async def spooled(self, lanes: Sequence[Lane]) -> dict[Lane, tuple[int, float]]:
        """How many of each lane lie in the spool, and when the oldest was accepted."""

    async def oldest_recorded(self, tenants: Sequence[str], within_s: float) -> dict[Lane, float]:
        """When the oldest recorded message that waits was accepted, by lane."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane; None stands for what nobody could tell. Of `messages`, all that wait, those in its queue that a
    transformer has are `unacked`, and those in Postgres instead of the queue `spooled`.

    `oldest_at` is when the oldest was accepted, in Unix seconds; `held` says why its transformer lets it wait.
    """

    tenant_id: str
    direction: Direction
    queue: str
    name: str
    messages: int | None
    unacked: int | None
    spooled: int | None
    consumers: int | None
    oldest_at: float | None
    reader: str | None
    held: str | None


@dataclass(frozen=True, slots=True)
class LaneStates:
    """Lanes; `missing` says, by its name, why a part of the platform could not be asked."""

    lanes: list[LaneState]
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Purged:
    """How many messages were purged, and of which tenants a lane could not be had, with the reason."""

    count: int
    failed: dict[str, str] = field(default_factory=dict)


class LaneDesk:
    """Where lanes are looked at and emptied."""

    def __init__(self, queues: Queues, readers: Readers, lanes: Lanes, purges: Purging) -> None:
        self._queues = queues
        self._readers = readers
        self._lanes = lanes
        self._purging = purges

    @property
    def names(self) -> Mapping[Direction, str]:
        """What all lanes of a direction are called together."""
        return self._queues.names

    async def page(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> LaneStates:
        """Lanes that have carried something, in order of tenant and direction; raises StoreUnavailable."""
        return await self._look(await self._lanes.page(directions, limit, after), None)

    async def in_use(
        self, directions: Sequence[Direction], limit: int, after: tuple[str, str] | None = None
    ) -> LaneStates:
        """As `page`, only lanes that are being read or have something in the spool; raises Unavailable."""
        read = set(await self._readers.lanes_in_use())
        spooled = set(await self._lanes.with_spooled())
        used: list[Lane] = []
        place = after
        while len(used) < limit and (lanes := await self._lanes.page(directions, LANES_AT_ONCE, place)):
            used += [lane for lane in lanes if lane in spooled or self._queues.name(*lane) in read]
            place = (lanes[-1][0], lanes[-1][1].value)
        return await self._look(used[:limit], None)

    async def of_tenant(self, tenant_id: str, directions: Sequence[Direction] = tuple(Direction)) -> LaneStates:
        """The lanes of one tenant, whether or not they have carried anything."""
        return await self._look([(tenant_id, direction) for direction in directions], tenant_id)

    async def purge(self, tenant_id: str, direction: Direction, by: str) -> int:
        """Purge one lane: how many messages; raises Unavailable."""
        return await self._purging.lane(tenant_id, direction, by)

    async def purge_all(self, direction: Direction, by: str) -> Purged:
        """Purge every lane of a direction that has something; raises Unavailable when nobody knows which."""
        few = asyncio.Semaphore(PURGED_AT_ONCE)
        failed: dict[str, str] = {}

        async def purge(tenant_id: str) -> int:
            async with few:
                try:
                    return await self._purging.lane(tenant_id, direction, by)
                except Unavailable as error:
                    failed[tenant_id] = str(error)
                    return 0

        tenants = await self._with_something(direction)
        return Purged(sum(await asyncio.gather(*(purge(tenant_id) for tenant_id in tenants))), failed)

    async def _with_something(self, direction: Direction) -> list[str]:
        found: list[str] = []
        after: tuple[str, str] | None = None
        while page := await self._lanes.page([direction], LANES_AT_ONCE, after):
            after = (page[-1][0], page[-1][1].value)
            states = await self._queues.states(page)
            spooled = await self._lanes.spooled(page)
            read = await self._readers.lanes()
            for lane in page:
                ready, _ = states[lane] or (0, 0)
                if ready or lane in spooled or read.get(self._queues.name(*lane), {}).get("unacked"):
                    found.append(lane[0])
        return found

    async def _look(self, lanes: Sequence[Lane], tenant_id: str | None) -> LaneStates:
        missing: dict[str, str] = {}
        within_s = PAGE_WITHIN_S if tenant_id is None else ANSWER_WITHIN_S
        states, read, spooled = await asyncio.gather(
            _told(self._queues.states(lanes), "rabbitmq", missing, within_s),
            _told(self._readers.lanes(tenant_id), "supervisor", missing, within_s),
            _told(self._lanes.spooled(lanes), "postgres", missing, within_s),
        )
        found = [self._state(lane, states, read, spooled) for lane in lanes]
        ageless = sorted({each.tenant_id for each in found if each.messages != 0 and each.oldest_at is None})
        if ageless and "postgres" not in missing:
            # An age that takes too long to find is not known, which is told by itself.
            recorded = await _told(self._lanes.oldest_recorded(ageless, RECORDED_WITHIN_S), "postgres", {}, within_s)
            found = [_aged(each, recorded or {}) for each in found]
        return LaneStates(found, missing)

    def _state(
        self,
        lane: Lane,
        states: dict[Lane, tuple[int, int] | None] | None,
        read: dict[str, dict[str, Any]] | None,
        spooled: dict[Lane, tuple[int, float]] | None,
    ) -> LaneState:
        tenant_id, direction = lane
        name = self._queues.name(tenant_id, direction)
        ready, consumers = (None, None) if states is None else states[lane] or (0, 0)
        reader = (read or {}).get(name, {})
        unacked = None if read is None else int(reader.get("unacked", 0))
        in_spool, oldest_spooled = (spooled or {}).get(lane, (0, None))
        messages = None if ready is None else ready + (unacked or 0) + in_spool
        oldest = [at for at in (reader.get("oldestAcceptedAt"), oldest_spooled) if at is not None]
        return LaneState(
            tenant_id, direction, self._queues.names[direction], name, messages, unacked,
            None if spooled is None else in_spool, consumers, min(oldest) if messages != 0 and oldest else None,
            reader.get("reader"), reader.get("held"),
        )  # fmt: skip


def _aged(state: LaneState, recorded: dict[Lane, float]) -> LaneState:
    """The lane with the age that its recorded messages tell, if nothing better is known."""
    if state.messages == 0 or state.oldest_at is not None:
        return state
    return replace(state, oldest_at=recorded.get((state.tenant_id, state.direction)))


async def _told(asked: Awaitable[Found], name: str, missing: dict[str, str], within_s: float) -> Found | None:
    """The answer, or None and a word about it in `missing`."""
    try:
        return await asyncio.wait_for(asked, within_s)
    except TimeoutError:
        missing[name] = f"no answer within {within_s:g} s"
    except Unavailable as error:
        missing[name] = str(error)
    return None
