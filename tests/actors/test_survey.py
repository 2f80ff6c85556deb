"""What the supervisor measures of transformers, lanes and actors."""

from __future__ import annotations

from typing import Any

import pytest

from actors.survey import Survey
from tests.fakes import Clock, Measured
from trunkline import metrics
from trunkline.measuring import Recorder

NOW = 1_795_435_200.0
ACME, BOLT = "inbound-whatsapp-messages.acme", "inbound-whatsapp-messages.bolt"
AGENTS = "outbound-genesys-messages.acme"


class Members:
    """The supervisor's members, as a test sets them."""

    def __init__(self) -> None:
        self.read: dict[str, dict[str, Any]] = {}
        self.used: list[str] = []
        self.twice: list[str] = []

    def put(self, queue: str, reader: str = "transformer:inbound:0", **more: Any) -> None:
        lane = {
            "reader": reader,
            "unfinished": 2,
            "unacked": 3,
            "held": None,
            "probing": False,
            "oldestAcceptedAt": None,
        }
        self.read[queue] = {**lane, **more}

    def status(self, pool: str) -> dict[str, int]:
        return {"size": 2, "running": 1, "missing": 1, "min": 1, "max": 4}

    def lanes(self) -> dict[str, dict[str, Any]]:
        return self.read

    def lanes_in_use(self) -> list[str]:
        return [*self.read, *self.used]

    def read_twice(self) -> list[str]:
        return self.twice


class Watch:
    """Who answered, and as which process."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.silent: set[str] = set()

    def answered_within(self, name: str, seconds: float) -> bool:
        return name not in self.silent

    def owner_of(self, name: str) -> str | None:
        return self.owners.get(name)


class Stage:
    """A survey over them."""

    def __init__(self) -> None:
        self.members, self.watch, self.recorder = Members(), Watch(), Recorder()
        self.actors = ["cell:0"]
        self.measured = Measured(self.recorder)
        members: Any = self.members
        watch: Any = self.watch
        self.survey = Survey(members, watch, lambda: self.actors, Clock(NOW))

    def look(self, spooled: dict[tuple[str, str], float] | None = None, recorded: Any = None) -> Measured:
        self.survey.look(self.recorder, ["inbound"], spooled or {}, recorded or {})
        return self.measured


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_pools_are_shown_as_they_are(stage: Stage) -> None:
    measured = stage.look()
    counted = {count: measured(metrics.POOLS, "inbound", count) for count in ("size", "running", "missing", "max")}
    assert counted == {"size": 2, "running": 1, "missing": 1, "max": 4}


def test_lanes_are_counted_by_what_becomes_of_them(stage: Stage) -> None:
    stage.members.put(ACME)
    stage.members.put(BOLT, held="circuit open")
    stage.members.used = [AGENTS]
    measured = stage.look()
    states = {state: measured(metrics.LANES, "inbound", state) for state in ("read", "held", "unread", "read_twice")}
    assert states == {"read": 1, "held": 1, "unread": 0, "read_twice": 0}
    assert measured(metrics.LANES, "outbound", "unread") == 1
    assert measured(metrics.UNACKED, "inbound") == 6
    assert measured(metrics.UNFINISHED, "inbound") == 4
    stage.members.twice = [ACME]
    assert stage.look()(metrics.LANES, "inbound", "read_twice") == 1


def test_ages_are_of_the_oldest_and_tell_what_is_held(stage: Stage) -> None:
    stage.members.put(ACME, oldestAcceptedAt=NOW - 5)
    stage.members.put(BOLT, held="suspended", oldestAcceptedAt=NOW - 500)
    measured = stage.look(spooled={("acme", "inbound"): NOW - 9, ("acme", "outbound"): NOW - 2})
    assert measured(metrics.OLDEST, "inbound", "no") == 9
    assert measured(metrics.OLDEST, "inbound", "yes") == 500
    assert measured(metrics.OLDEST, "outbound", "no") == 2
    assert measured(metrics.OLDEST, "status", "no") == 0
    assert measured(metrics.TENANT_OLDEST, "acme", "inbound") == 9
    assert measured(metrics.TENANT_OLDEST, "bolt", "inbound") == 500


def test_a_lane_that_is_read_for_a_probe_is_held_all_the_same(stage: Stage) -> None:
    stage.members.put(BOLT, probing=True, oldestAcceptedAt=NOW - 500)
    measured = stage.look()
    assert (measured(metrics.OLDEST, "inbound", "no"), measured(metrics.OLDEST, "inbound", "yes")) == (0, 500)
    assert (measured(metrics.LANES, "inbound", "read"), measured(metrics.LANES, "inbound", "held")) == (0, 1)


def test_what_is_recorded_counts_only_where_the_reader_does_not_know(stage: Stage) -> None:
    stage.members.put(ACME, oldestAcceptedAt=NOW - 1)
    stage.members.put(BOLT, held="suspended")
    stage.members.used = [AGENTS]
    assert stage.survey.tenants_of_unknown_age() == ["acme", "bolt"]
    recorded = {("acme", "inbound"): NOW - 99, ("acme", "outbound"): NOW - 70, ("bolt", "inbound"): NOW - 80}
    measured = stage.look(recorded=recorded)
    assert measured(metrics.OLDEST, "inbound", "no") == 1
    assert measured(metrics.OLDEST, "outbound", "no") == 70
    assert measured(metrics.OLDEST, "inbound", "yes") == 80


def test_moves_of_lanes_are_counted(stage: Stage) -> None:
    stage.members.put(ACME)
    stage.look()
    stage.members.put(ACME, reader="transformer:inbound:1")
    stage.members.put(AGENTS, reader="transformer:outbound:0")
    stage.look()
    del stage.members.read[ACME]
    measured = stage.look()
    changes = {change: measured(metrics.LANE_MOVES, "inbound", change) for change in ("taken", "moved", "let_go")}
    assert changes == {"taken": 1, "moved": 1, "let_go": 1}
    assert measured(metrics.LANE_MOVES, "outbound", "taken") == 1


def test_an_actor_that_is_another_process_than_before_was_restarted(stage: Stage) -> None:
    stage.watch.owners["cell:0"] = "host/1/1"
    assert stage.look()(metrics.ACTOR_RESTARTS, "cell") is None
    stage.watch.silent, stage.watch.owners = {"cell:0"}, {}
    assert stage.look()(metrics.ACTOR_UP, "cell:0", "cell") == 0
    stage.watch.silent, stage.watch.owners = set(), {"cell:0": "host/2/2"}
    measured = stage.look()
    assert (measured(metrics.ACTOR_UP, "cell:0", "cell"), measured(metrics.ACTOR_RESTARTS, "cell")) == (1, 1)
    stage.look()
    assert measured(metrics.ACTOR_RESTARTS, "cell") == 1
