"""Names and declarations in RabbitMQ, as operators and the contract know them."""

from __future__ import annotations

import pytest

from trunkline.envelope import Direction
from trunkline.lanes.topology import EXCHANGES, WAKEUPS_QUEUE, Lane, lane_arguments, lane_of

QUEUES = {
    Direction.INBOUND: "inbound-whatsapp-messages.acme",
    Direction.OUTBOUND: "outbound-genesys-messages.acme",
    Direction.STATUS: "whatsapp-status-updates.acme",
}


@pytest.mark.parametrize("direction", Direction)
def test_a_lane_has_the_contracts_name_and_hangs_from_its_exchange(direction: Direction) -> None:
    lane = Lane("acme", direction)
    assert lane.queue == QUEUES[direction]
    assert lane.queue == f"{EXCHANGES[direction]}.acme"
    assert lane.exchange == EXCHANGES[direction]


@pytest.mark.parametrize("direction", Direction)
def test_a_lane_is_found_by_its_queue(direction: Direction) -> None:
    assert lane_of(QUEUES[direction]) == Lane("acme", direction)


@pytest.mark.parametrize("queue", ["", "acme", "inbound-whatsapp-messages", "inbound-whatsapp-messages.", "other.acme"])
def test_other_queues_are_no_lanes(queue: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a lane's queue"):
        lane_of(queue)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_lane_is_read_by_one_consumer_at_a_time(queue_type: str) -> None:
    arguments = lane_arguments(queue_type)  # type: ignore[arg-type]
    assert arguments == {"x-queue-type": queue_type, "x-single-active-consumer": True}


def test_wake_ups_have_a_queue_that_no_lane_can_have() -> None:
    assert WAKEUPS_QUEUE == "trunkline-wakeups"
    with pytest.raises(ValueError, match="not the name"):
        lane_of(WAKEUPS_QUEUE)
