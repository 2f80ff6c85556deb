"""Every lane with something in it has one reader, and keeps it; all lanes of a tenant have the same one."""

from __future__ import annotations

import pytest

from trunkline.delivery.assignment import LOST_AFTER_S, QUIET_S, Assign, Assignments, GiveUp, LetGo

NOW = 1000.0
LANE, OTHER = "inbound-whatsapp-messages.acme", "inbound-whatsapp-messages.beta"
STATUSES = "whatsapp-status-updates.acme"


def tenant_of(lane: str) -> str:
    return lane.partition(".")[2]


def report(
    assignments: Assignments, member: str, lanes: dict[str, float], now: float = NOW, life: str | None = None
) -> list[LetGo]:
    """The member answers at once that it reads these lanes, each quiet for so long."""
    return assignments.reported(member, life or f"life of {member}", lanes, asked_at=now, now=now)


def lanes_of(tenants: int) -> list[str]:
    return [f"inbound-whatsapp-messages.t{number}" for number in range(tenants)]


@pytest.fixture
def assignments() -> Assignments:
    """Two readers for inbound, one for outbound, all present."""
    made = Assignments(tenant_of)
    for member, pool in (("in:0", "inbound"), ("in:1", "inbound"), ("out:0", "outbound")):
        made.add_member(member, pool, NOW)
        report(made, member, {})
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
    report(assignments, given.member, {LANE: 0.0}, NOW + 1)
    assignments.wake(LANE, "inbound")
    report(assignments, given.member, {LANE: 0.0}, NOW + 2)
    assert assignments.decide(NOW + 2) == []
    assert assignments.reader_of(LANE) == given.member


def test_a_lane_is_let_go_after_a_minute_of_quiet_only(assignments: Assignments) -> None:
    assert report(assignments, "in:0", {LANE: QUIET_S, OTHER: QUIET_S + 0.1}, life="life") == [LetGo(OTHER, "in:0")]
    assignments.let_go(OTHER, "in:0")
    assert assignments.reader_of(OTHER) is None
    assert assignments.reader_of(LANE) == "in:0"
    assert assignments.decide(NOW) == []


def test_a_lane_that_was_not_empty_when_let_go_gets_a_reader_again(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: QUIET_S + 1}, life="life")
    assignments.let_go(LANE, "in:0")
    assignments.wake(LANE, "inbound")
    assert [assign.lane for assign in assignments.decide(NOW)] == [LANE]


def test_what_a_restarted_reader_reads_no_more_is_given_again(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0, OTHER: 0.0})
    report(assignments, "in:0", {}, NOW + 1, life="its second life")
    assert {assign.lane for assign in assignments.decide(NOW + 1)} == {LANE, OTHER}


def test_an_assignment_under_way_counts_whatever_a_report_says(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    report(assignments, given.member, {}, NOW + 1)
    assert assignments.decide(NOW + 1) == []
    assert assignments.reader_of(LANE) == given.member


def test_a_report_that_was_asked_for_before_the_lane_was_taken_says_nothing_of_it(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    assignments.confirmed(LANE, given.member, NOW + 2)
    life = f"life of {given.member}"
    assignments.reported(given.member, life, {}, asked_at=NOW + 1, now=NOW + 3)
    assert assignments.reader_of(LANE) == given.member
    assignments.reported(given.member, life, {}, asked_at=NOW + 3, now=NOW + 3)
    assert [assign.lane for assign in assignments.decide(NOW + 3)] == [LANE]


def test_a_lane_that_was_taken_by_a_life_that_has_ended_is_given_again(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    report(assignments, given.member, {}, NOW + 1, life="its second life")
    assert [assign.lane for assign in assignments.decide(NOW + 1)] == [LANE]


def test_a_failed_assignment_is_made_again(assignments: Assignments) -> None:
    assignments.wake(LANE, "inbound")
    (given,) = assignments.decide(NOW)
    assignments.failed(LANE, given.member)
    assert assignments.reader_of(LANE) is None
    assert [assign.lane for assign in assignments.decide(NOW)] == [LANE]


def test_the_lanes_of_a_lost_reader_are_given_to_the_others_of_its_pool(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0, OTHER: 0.0})
    later = NOW + LOST_AFTER_S + 0.1
    report(assignments, "in:1", {}, later)
    assert set(assignments.decide(later)) == {Assign(LANE, "in:1"), Assign(OTHER, "in:1")}


def test_a_reader_that_was_silent_for_a_moment_keeps_its_lanes(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0})
    report(assignments, "in:1", {}, NOW + LOST_AFTER_S)
    assert assignments.decide(NOW + LOST_AFTER_S) == []


def test_lanes_wait_while_nobody_of_their_pool_is_present(assignments: Assignments) -> None:
    later = NOW + LOST_AFTER_S + 0.1
    assignments.wake(LANE, "inbound")
    assert assignments.decide(later) == []
    report(assignments, "in:0", {}, later, life="a new life")
    assert assignments.decide(later) == [Assign(LANE, "in:0")]


def test_a_reader_that_was_never_heard_of_gets_no_lane() -> None:
    assignments = Assignments(tenant_of)
    assignments.add_member("in:0", "inbound", NOW)
    assignments.wake(LANE, "inbound")
    assert assignments.decide(NOW) == []


def test_a_new_supervisor_learns_from_reports_who_reads_what() -> None:
    assignments = Assignments(tenant_of)
    for member in ("in:0", "in:1"):
        assignments.add_member(member, "inbound", NOW)
    assignments.wake(LANE, "inbound")
    report(assignments, "in:0", {})
    report(assignments, "in:1", {LANE: 3.0})
    assert assignments.decide(NOW) == []
    assert assignments.reader_of(LANE) == "in:1"


def test_being_added_again_forgets_nothing(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0})
    assignments.add_member("in:0", "inbound", NOW + 1)
    assert assignments.reader_of(LANE) == "in:0"


# --- all lanes of a tenant have one reader ---


def test_a_tenants_next_lane_goes_where_its_first_one_is_however_loaded_that_is(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0, **dict.fromkeys(lanes_of(5), 0.0)})
    assignments.wake(STATUSES, "inbound")
    assert assignments.decide(NOW) == [Assign(STATUSES, "in:0")]


def test_two_lanes_of_a_tenant_that_wake_together_go_to_one_reader(assignments: Assignments) -> None:
    for lane in (LANE, OTHER, STATUSES):
        assignments.wake(lane, "inbound")
    readers = {assign.lane: assign.member for assign in assignments.decide(NOW)}
    assert readers[LANE] == readers[STATUSES] != readers[OTHER]


def test_lanes_of_a_tenant_that_are_read_by_two_are_brought_together(assignments: Assignments) -> None:
    more = "inbound-whatsapp-messages.acme.1"
    together = Assignments(lambda lane: lane.split(".")[1])
    for member, lanes in (("in:0", {STATUSES: 0.0}), ("in:1", {LANE: 0.0, more: 0.0})):
        together.add_member(member, "inbound", NOW)
        report(together, member, lanes)
    (change,) = together.hand_overs(4, NOW)
    assert change == GiveUp("acme", "inbound", (STATUSES,), "in:0")
    together.begin(change)
    together.ended(change, given_up=True)
    assert together.decide(NOW) == [Assign(STATUSES, "in:1")]
    assert together.hand_overs(4, NOW) == []


def test_a_lane_that_two_say_they_read_is_given_up_by_one_and_given_to_nobody(assignments: Assignments) -> None:
    for member in ("in:0", "in:1"):
        report(assignments, member, {LANE: 0.0})
    (change,) = assignments.hand_overs(4, NOW)
    assignments.begin(change)
    assignments.ended(change, given_up=True)
    assert assignments.decide(NOW) == []
    assert assignments.reader_of(LANE) == ({"in:0", "in:1"} - {change.member}).pop()


# --- tenants change their reader ---


def move_all(assignments: Assignments, changes: list[GiveUp]) -> list[Assign]:
    for change in changes:
        assignments.begin(change)
        assignments.ended(change, given_up=True)
    return assignments.decide(NOW)


def test_a_new_member_relieves_the_others_a_few_tenants_at_a_time(assignments: Assignments) -> None:
    report(assignments, "in:0", dict.fromkeys(lanes_of(6), 0.0))
    moved = []
    while changes := assignments.hand_overs(2, NOW):
        assert len(changes) <= 2
        moved += move_all(assignments, changes)
    assert [assign.member for assign in moved] == ["in:1"] * 3
    assert assignments.counts() == {"inbound": 6, "outbound": 0}


def test_a_difference_of_one_moves_nobody(assignments: Assignments) -> None:
    report(assignments, "in:0", dict.fromkeys(lanes_of(3), 0.0))
    report(assignments, "in:1", {LANE: 0.0, OTHER: 0.0})
    assert assignments.hand_overs(4, NOW) == []


def test_while_a_tenant_moves_nobody_gets_a_lane_of_it(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0})
    (change,) = assignments.everything_of("in:0")
    assignments.begin(change)
    assignments.wake(STATUSES, "inbound")
    report(assignments, "in:0", {}, NOW + 1)  # it has given the lane up, but has not answered yet
    assert assignments.decide(NOW + 1) == []
    assert assignments.everything_of("in:0") == []
    assignments.ended(change, given_up=True)
    assert {assign.lane for assign in assignments.decide(NOW + 1)} == {LANE, STATUSES}


def test_a_lane_that_was_not_given_up_in_time_stays_until_a_report_tells(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0})
    (change,) = assignments.everything_of("in:0")
    assignments.begin(change)
    assignments.ended(change, given_up=False)
    assert assignments.decide(NOW) == []
    report(assignments, "in:0", {}, NOW + 1)
    assert [assign.lane for assign in assignments.decide(NOW + 1)] == [LANE]


def test_a_closed_member_gets_nothing_and_its_tenants_wait_for_their_next_reader(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0})
    assignments.close("in:0")
    assignments.wake(STATUSES, "inbound")
    assignments.wake(OTHER, "inbound")
    assert assignments.decide(NOW) == [Assign(OTHER, "in:1")]
    moved = move_all(assignments, assignments.everything_of("in:0"))
    assert {(assign.lane, assign.member) for assign in moved} == {(LANE, "in:1"), (STATUSES, "in:1")}


def test_the_only_member_of_a_pool_closed_leaves_its_lanes_waiting_until_it_opens_again(
    assignments: Assignments,
) -> None:
    lane = "outbound-genesys-messages.acme"
    report(assignments, "out:0", {lane: 0.0})
    assignments.close("out:0")
    assert move_all(assignments, assignments.everything_of("out:0")) == []
    assignments.reopen("out:0")
    assert assignments.decide(NOW) == [Assign(lane, "out:0")]


def test_what_a_removed_member_read_is_given_to_the_others(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0})
    assignments.remove_member("in:0")
    assert assignments.decide(NOW) == [Assign(LANE, "in:1")]
    assignments.failed(LANE, "in:0")  # late news of the removed one
    assignments.let_go(LANE, "in:0")
    assignments.confirmed(LANE, "in:0", NOW)
    assert assignments.decide(NOW) == []


def test_a_lane_that_is_held_is_given_to_nobody_until_it_is_released_or_the_time_is_over(
    assignments: Assignments,
) -> None:
    assert assignments.hold(LANE, "purge", NOW + 40, NOW)
    assignments.wake(LANE, "inbound")
    assert assignments.decide(NOW) == []
    assert assignments.in_use() == {LANE}
    assignments.release(LANE, "somebody else")
    assert assignments.decide(NOW + 39) == []
    report(assignments, "in:0", {}, NOW + 40)
    assert [given.lane for given in assignments.decide(NOW + 40)] == [LANE], "whoever held it may have ended"

    assert assignments.hold(OTHER, "purge", NOW + 80, NOW + 40)
    assignments.wake(OTHER, "inbound")
    assignments.release(OTHER, "purge")
    assert [given.lane for given in assignments.decide(NOW + 40)] == [OTHER]


def test_a_lane_is_held_by_one_at_a_time(assignments: Assignments) -> None:
    assert assignments.hold(LANE, "first", NOW + 40, NOW)
    assert not assignments.hold(LANE, "second", NOW + 60, NOW + 10)
    assert assignments.hold(LANE, "first", NOW + 60, NOW + 20), "for longer"
    assert not assignments.hold(LANE, "second", NOW + 90, NOW + 50)
    assert assignments.hold(LANE, "second", NOW + 100, NOW + 60)


def test_a_lane_that_is_read_is_taken_from_its_reader_and_from_no_other_lane(assignments: Assignments) -> None:
    report(assignments, "in:0", {LANE: 0.0, STATUSES: 0.0})
    change = assignments.relinquishment(LANE)
    assert change == GiveUp("acme", "inbound", (LANE,), "in:0")
    assert assignments.relinquishment(OTHER) is None
    assignments.begin(change)
    assert assignments.relinquishment(LANE) is None, "it is asked for already"
    assignments.hold(LANE, "purge", NOW + 40, NOW)
    assignments.ended(change, given_up=True)
    assert assignments.decide(NOW) == []
    assert assignments.reader_of(STATUSES) == "in:0"
