"""Envelopes for the lanes' tests, and waiting for what a broker does in its own time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from trunkline.envelope import Envelope, message_id_for
from trunkline.lanes.topology import Lane

T = TypeVar("T")


async def until(condition: Callable[[], T], within_s: float = 10.0) -> T:
    """The condition's first true value; fails if there is none in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        await asyncio.sleep(0.01)
    return value


def envelope(lane: Lane, number: int, conversation: str = "447700900123") -> Envelope:
    """A customer's message that can be told by its number."""
    external_id = f"wamid.{conversation}.{number}"
    return Envelope(
        message_id=message_id_for(lane.tenant_id, lane.direction, external_id),
        tenant_id=lane.tenant_id,
        direction=lane.direction,
        conversation=conversation,
        external_id=external_id,
        kind="text",
        accepted_at=time.time(),
        payload={"number": number},
    )


def number_of(body: bytes) -> int:
    """The number of the envelope in a queue."""
    return int(Envelope.from_bytes(body).payload["number"])
