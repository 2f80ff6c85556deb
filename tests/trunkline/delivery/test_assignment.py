"""Every lane with something in it has one reader, and keeps it."""

from __future__ import annotations

import pytest

from trunkline.delivery.assignment import LOST_AFTER_S, QUIET_S, Assign, Assignments, LetGo

NOW = 1000.0
LANE, OTHER = "inbound-whatsapp-messages.acme", "inbound-whatsapp-messages.beta"


@pytest.fixture
def assignments() -> Assignments:
    """Two readers for inbound, one for outbound, all present."""
    made = Assignments()
    for member, pool in (("in:0", "inbound"), ("in:1", "inbound"), ("out:0", "outbound")):
        made.add_member(member, pool, NOW)
        made.reported(member, f"life of {member}", {}, NOW)
    return made


def test_a_woken_lane_gets_a_reader_of_its_pool(assignments: Assignments) -> None:
    assignments.wake("outbound-genesys-messages.acme", "outbound")
    assert assignments.decide(NOW) == [Assign("outbound-genesys-messages.acme", "out:0")]


def test_lanes_go_to_who_has_fewest(assignments: Assignments) -> None:
    for number in range(6):
        assignments.wake(f"{LANE}{number}", "inbound")
    members = [assign.member for assign in assignments.decide(NOW)]
    assert sorted(members) == ["in:0"] * 3 + ["in:1"] * 3
    assert assignments.counts() == {"inbound": 6, "outbound": 0}


def test_a_lane_is_given_once_and_stays_where_it_is(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    assert assignments.decide(NOW) == []
    assignments.reported(given.member, f"life of {given.member}", {LANE: 0.0}, NOW + 1)
    assignments.wake(LANE, "inbound")
    assignments.reported(given.member, f"life of {given.member}", {LANE: 0.0}, NOW + 2)
    assert assignments.decide(NOW + 2) == []
    assert assignments.reader_of(LANE) == given.member


def test_a_lane_is_let_go_after_a_minute_of_quiet_only(assignments: Assignments) -> None:
    assert assignments.reported("in:0", "life", {LANE: QUIET_S, OTHER: QUIET_S + 0.1}, NOW) == [LetGo(OTHER, "in:0")]
    assignments.let_go(OTHER, "in:0")
    assert assignments.reader_of(OTHER) is None
    assert assignments.reader_of(LANE) == "in:0"
    assert assignments.decide(NOW) == []


def test_a_lane_that_was_not_empty_when_let_go_gets_a_reader_again(assignments: Assignments) -> None:
    assignments.reported("in:0", "life", {LANE: QUIET_S + 1}, NOW)
    assignments.let_go(LANE, "in:0")
    assignments.wake(LANE, "inbound")
    assert [assign.lane for assign in assignments.decide(NOW)] == [LANE]


def test_what_a_restarted_reader_reads_no_more_is_given_again(assignments: Assignments) -> None:
    assignments.reported("in:0", "life of in:0", {LANE: 0.0, OTHER: 0.0}, NOW)
    assignments.reported("in:0", "its second life", {}, NOW + 1)
    assert {assign.lane for assign in assignments.decide(NOW + 1)} == {LANE, OTHER}


def test_a_lane_whose_assignment_never_arrived_is_given_again(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    assignments.reported(given.member, f"life of {given.member}", {}, NOW + 1)
    assert [assign.lane for assign in assignments.decide(NOW + 1)] == [LANE]


def test_a_failed_assignment_is_made_again(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    assignments.failed(LANE, given.member)
    assert assignments.reader_of(LANE) is None
    assert [assign.lane for assign in assignments.decide(NOW)] == [LANE]


def test_the_lanes_of_a_lost_reader_are_given_to_the_others_of_its_pool(assignments: Assignments) -> None:
    assignments.reported("in:0", "life of in:0", {LANE: 0.0, OTHER: 0.0}, NOW)
    later = NOW + LOST_AFTER_S + 0.1
    assignments.reported("in:1", "life of in:1", {}, later)
    assert set(assignments.decide(later)) == {Assign(LANE, "in:1"), Assign(OTHER, "in:1")}


def test_a_reader_that_was_silent_for_a_moment_keeps_its_lanes(assignments: Assignments) -> None:
    assignments.reported("in:0", "life of in:0", {LANE: 0.0}, NOW)
    assignments.reported("in:1", "life of in:1", {}, NOW + LOST_AFTER_S)
    assert assignments.decide(NOW + LOST_AFTER_S) == []


def test_lanes_wait_while_nobody_of_their_pool_is_present(assignments: Assignments) -> None:
    later = NOW + LOST_AFTER_S + 0.1
    assignments.wake(LANE, "inbound")
    assert assignments.decide(later) == []
    assignments.reported("in:0", "a new life", {}, later)
    assert assignments.decide(later) == [Assign(LANE, "in:0")]


def test_a_reader_that_was_never_heard_of_gets_no_lane() -> None:
    assignments = Assignments()
    assignments.add_member("in:0", "inbound", NOW)
    assignments.wake(LANE, "inbound")
    assert assignments.decide(NOW) == []


def test_a_new_supervisor_learns_from_reports_who_reads_what() -> None:
    assignments = Assignments()
    for member in ("in:0", "in:1"):
        assignments.add_member(member, "inbound", NOW)
    assignments.wake(LANE, "inbound")
    assignments.reported("in:0", "life of in:0", {}, NOW)
    assignments.reported("in:1", "life of in:1", {LANE: 3.0}, NOW)
    assert assignments.decide(NOW) == []
    assert assignments.reader_of(LANE) == "in:1"


def test_being_added_again_forgets_nothing(assignments: Assignments) -> None:
    assignments.reported("in:0", "life of in:0", {LANE: 0.0}, NOW)
    assignments.add_member("in:0", "inbound", NOW + 1)
    assert assignments.reader_of(LANE) == "in:0"
