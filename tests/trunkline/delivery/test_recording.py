"""The record of arrivals: in groups, best effort at first, complete before anything is spooled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.fakes import envelope, until
from trunkline.arrival import Arrival
from trunkline.delivery import recording as recording_module
from trunkline.delivery.recording import Recording
from trunkline.errors import StoreUnavailable


class Log:
    """Where arrivals are recorded; it may be away, or refuse one."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.away = self.hangs = False
        self.refused = ""

    @property
    def recorded(self) -> list[str]:
        return [name for group in self.groups for name in group]

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise StoreUnavailable("Postgres cannot be reached")
        names = [each.envelope.external_id for each in arrivals]
        if self.refused in names:
            raise ValueError(self.refused)
        self.groups.append(names)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def recording(log: Log, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setattr(recording_module, "RECORD_AFTER_S", 0.001)
    monkeypatch.setattr(recording_module, "RECORD_AGAIN_S", 0.001)
    return Recording(log)


def arrival(number: int) -> Arrival:
    return Arrival(envelope(number), "hello", 72, is_message=True)


async def test_arrivals_are_recorded_in_groups_after_the_answer(log: Log, recording: Recording) -> None:
    for number in range(3):
        recording.submit(arrival(number), queued=True)
    assert log.groups == []
    await recording.idle()
    assert log.groups == [["wamid.0", "wamid.1", "wamid.2"]]


async def test_what_cannot_be_recorded_is_recorded_once_it_can(log: Log, recording: Recording) -> None:
    log.away = True
    recording.submit(arrival(1), queued=True)
    await recording.idle()
    log.away = False
    await until(lambda: log.recorded == ["wamid.1"], "the record")


async def test_one_has_caught_up_once_all_that_is_queued_is_recorded(log: Log, recording: Recording) -> None:
    recording.submit(arrival(1), queued=True)
    await recording.caught_up()
    assert log.recorded == ["wamid.1"]


async def test_without_postgres_one_cannot_catch_up_and_forgets_nothing(
    log: Log, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "RECORD_AGAIN_S", 3600)
    log.away = True
    for number in range(2):
        recording.submit(arrival(number), queued=True)
    with pytest.raises(StoreUnavailable):
        await recording.caught_up()
    log.away = False
    await recording.caught_up()
    assert log.recorded == ["wamid.0", "wamid.1"]


async def test_whoever_gives_up_waiting_leaves_nothing_unrecorded(
    log: Log, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "RECORD_AGAIN_S", 3600)
    log.away = True
    recording.submit(arrival(1), queued=True)
    await recording.idle()
    log.away, log.hangs = False, True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await recording.caught_up()
    log.hangs = False
    await recording.caught_up()
    assert log.recorded == ["wamid.1"]


async def test_what_is_spooled_itself_is_not_waited_for(log: Log, recording: Recording) -> None:
    recording.submit(arrival(1), queued=False)
    await recording.caught_up()
    assert log.recorded == []
    await recording.idle()
    assert log.recorded == ["wamid.1"]


async def test_what_postgres_refuses_is_in_nobodys_way(log: Log, recording: Recording) -> None:
    log.refused = "wamid.1"
    recording.submit(arrival(1), queued=True)
    await recording.caught_up()
    recording.submit(arrival(2), queued=True)
    await recording.caught_up()
    assert log.recorded == ["wamid.2"]
