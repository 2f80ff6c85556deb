"""What can be seen of the sandbox: the log, counters, and both sides' screens."""

from __future__ import annotations

import time
from collections.abc import Callable

from sandbox.events import Event
from sandbox.http import Request, Response, json_response
from sandbox.parts import Parts
from sandbox.requests import BadRequest

LONGEST_WAIT_MS = 60_000
EVENTS_AT_ONCE = 10_000
EVENT_FILTERS = ("kind", "side", "direction", "conversation", "tenantId")


class Observation:
    """Answers to those who only look."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = time.time()

    async def events(self, request: Request) -> Response:
        """What arrived and left."""
        since = _number(request, "since", 0)
        deadline = time.monotonic() + min(_number(request, "wait", 0), LONGEST_WAIT_MS) / 1000
        wanted = _filter(request)
        log = self._parts.log
        seen = since
        while not any(True for _ in log.since(seen, wanted)):
            seen = max(seen, log.last_seq)
            left = deadline - time.monotonic()
            if left <= 0 or not await log.wait(left):
                break
        bodies = request.query("bodies") in ("1", "true")
        found = [event.as_json(bodies) for event in log.since(since, wanted)][:EVENTS_AT_ONCE]
        return json_response(
            200, {"events": found, "lastSeq": found[-1]["seq"] if found else log.last_seq, "firstSeq": log.first_seq}
        )

    async def records(self, request: Request) -> Response:
        """The same as compact JSON lines."""
        lines = [event.as_record() for event in self._parts.log.since(_number(request, "since", 0), _filter(request))]
        return Response(200, b"\n".join([*lines, b""]), b"application/x-ndjson")

    async def stats(self, request: Request) -> Response:
        """Counters."""
        parts = self._parts
        return json_response(
            200,
            {
                "startedAt": round(self._started * 1000, 3),
                "counts": dict(sorted(parts.log.counts.items())),
                "lastSeq": parts.log.last_seq,
                "firstSeq": parts.log.first_seq,
                "inFlight": parts.in_flight.now,
                "maxInFlight": parts.in_flight.most,
                "webhooksPending": parts.sender.pending,
                "tokensLive": parts.genesys.live_tokens,
            },
        )

    async def conversations(self, request: Request) -> Response:
        """What the phone and the desktop of a tenant's customers show."""
        account = self._parts.account(request.query("tenantId"))
        customer = request.query("customer")
        if customer:
            one = self._parts.conversations.find(account.tenant_id, customer)
            return json_response(200, {"conversations": [] if one is None else [one.as_json()]})
        found = self._parts.conversations.of_tenant(account.tenant_id)
        return json_response(200, {"conversations": [each.as_json() for each in found]})


def _filter(request: Request) -> Callable[[Event], bool] | None:
    id = request.query("id")
    given = [(name.removesuffix("Id"), request.query(name)) for name in EVENT_FILTERS if request.query(name)]
    if not id and not given:
        return None
    return lambda event: (
        (not id or id in (event.id, event.ref)) and all(getattr(event, name) == value for name, value in given)
    )


def _number(request: Request, name: str, default: int) -> int:
    try:
        return int(request.query(name, str(default)))
    except ValueError:
        raise BadRequest(f"{name} is not a number") from None
