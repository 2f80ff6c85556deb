"""Every name and declaration in RabbitMQ: exchanges, lanes' queues, and the queue of wake-ups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trunkline.envelope import Direction

EXCHANGES: dict[Direction, str] = {
    Direction.INBOUND: "inbound-whatsapp-messages",
    Direction.OUTBOUND: "outbound-genesys-messages",
    Direction.STATUS: "whatsapp-status-updates",
}
_DIRECTIONS = {exchange: direction for direction, exchange in EXCHANGES.items()}

WAKEUPS_QUEUE = "trunkline-wakeups"
# A wake-up that nobody read for this long is covered by the supervisor's sweep.
WAKEUPS_ARGUMENTS: dict[str, Any] = {"x-message-ttl": 60_000, "x-max-length": 100_000}

QueueType = Literal["classic", "quorum"]


@dataclass(frozen=True, slots=True)
class Lane:
    """One tenant's queue in one direction."""

    tenant_id: str
    direction: Direction

    @property
    def queue(self) -> str:
        """Its queue's name."""
        return f"{self.exchange}.{self.tenant_id}"

    @property
    def exchange(self) -> str:
        """The exchange that its queue hangs from, by the tenant's id."""
        return EXCHANGES[self.direction]


def lane_of(queue: str) -> Lane:
    """The lane with this queue; raises ValueError when the name is not a lane's."""
    exchange, dot, tenant_id = queue.partition(".")
    if not dot or not tenant_id or exchange not in _DIRECTIONS:
        raise ValueError(f"{queue!r} is not the name of a lane's queue")
    return Lane(tenant_id, _DIRECTIONS[exchange])


def lane_arguments(queue_type: QueueType) -> dict[str, Any]:
    """What a lane's queue is declared with; every process must declare it alike."""
    return {"x-queue-type": queue_type, "x-single-active-consumer": True}
