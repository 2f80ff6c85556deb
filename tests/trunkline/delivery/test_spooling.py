"""The feed of the spool: what is due is offered to whoever reads its lane here, and to nobody else."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.delivery.spooling import SpoolFeed
from trunkline.envelope import Direction, Envelope

INBOUND = ("t-1", Direction.INBOUND)
OUTBOUND = ("t-1", Direction.OUTBOUND)
ELSEWHERE = ("t-2", Direction.INBOUND)


class Runner:
    def __init__(self) -> None:
        self.offered: list[str] = []

    def offer(self, conversation: str) -> None:
        self.offered.append(conversation)


class Spool:
    """Conversations that are due, by lane."""

    def __init__(self, due: dict[tuple[str, Direction], list[str]]) -> None:
        self._due = due
        self.asked: list[Sequence[tuple[str, Direction]]] = []

    async def lanes(self) -> list[tuple[str, Direction]]:
        return list(self._due)

    async def due(self, lanes: Sequence[tuple[str, Direction]], limit: int) -> list[tuple[str, Direction, str]]:
        self.asked.append(lanes)
        return [(*lane, conversation) for lane in lanes for conversation in self._due[lane]][:limit]

    async def park(self, envelopes: Sequence[Envelope], wait_s: float) -> None:
        raise NotImplementedError

    async def of_conversation(self, tenant_id: str, direction: Direction, wa_id: str) -> list[Envelope]:
        raise NotImplementedError

    async def remove(self, envelopes: Sequence[Envelope]) -> None:
        raise NotImplementedError


async def test_each_reader_is_offered_the_conversations_of_its_lane() -> None:
    runners = {INBOUND: Runner(), OUTBOUND: Runner()}
    spool = Spool({INBOUND: ["a", "b"], OUTBOUND: ["a"], ELSEWHERE: ["c"]})
    await SpoolFeed(spool, lambda: runners).run_once()
    assert [runner.offered for runner in runners.values()] == [["a", "b"], ["a"]]
    assert spool.asked == [[INBOUND, OUTBOUND]]


async def test_nothing_is_asked_for_lanes_that_are_read_elsewhere() -> None:
    spool = Spool({ELSEWHERE: ["c"]})
    await SpoolFeed(spool, lambda: {INBOUND: Runner()}).run_once()
    await SpoolFeed(spool, dict).run_once()
    assert spool.asked == []
