"""`python -m scripts.benchmark.driver RESULT`: the load driver, a process of its own that costs as little as it can.

It reads a plan (one line on stdin), prepares every webhook, says `ready`, waits for another line, sends, writes what it
measured to RESULT and says `done`. A connection sends one webhook after the other, and a customer keeps to one
connection, so the next message of a customer leaves only when the last was answered.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httptools
import orjson
import uvloop

from scripts.benchmark.plan import Plan
from scripts.benchmark.webhooks import Shot, prepare

TRIES = 2  # a kept connection may be closed at the moment of its next use


class Connection(asyncio.Protocol):
    """One keep-alive connection and the webhooks that wait for it."""

    def __init__(self, plan: Plan, on_done: Callable[[], None]) -> None:
        self._plan = plan
        self._on_done = on_done
        self._waiting: deque[Shot] = deque()
        self._current: Shot | None = None
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._parser = httptools.HttpResponseParser(self)

    async def connect(self) -> None:
        """Open it; raises OSError."""
        await asyncio.get_running_loop().create_connection(lambda: self, self._plan.host, self._plan.port)

    def offer(self, shot: Shot) -> None:
        """Send it as soon as those before it are answered; a paced one's latency begins now."""
        if self._plan.rate:
            shot.from_ns = time.monotonic_ns()
        self._waiting.append(shot)
        if self._current is None:
            self._send_next()

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        shot, self._current = self._current, None
        if shot is not None and shot.tries < TRIES:
            self._waiting.appendleft(shot)
        elif shot is not None:
            self._on_done()
        if self._waiting:
            self._send_next()

    # httptools

    def on_message_complete(self) -> None:
        shot, self._current = self._current, None
        if shot is not None:
            shot.answered_ns = time.monotonic_ns()
            shot.status = self._parser.get_status_code()
            self._on_done()
        if not self._parser.should_keep_alive():
            self.close()
        elif self._waiting:
            self._send_next()

    # sending

    def _send_next(self) -> None:
        if self._transport is None or self._transport.is_closing():
            if self._connecting is None:
                self._connecting = asyncio.get_running_loop().create_task(self._connect_again())
            return
        self._current = shot = self._waiting.popleft()
        shot.tries += 1
        if not shot.from_ns:
            shot.from_ns = time.monotonic_ns()
        self._transport.write(shot.request)

    async def _connect_again(self) -> None:
        try:
            await self.connect()
        except OSError:
            while self._waiting:  # nobody listens any more: these are answered by nobody
                self._waiting.popleft()
                self._on_done()
            return
        finally:
            self._connecting = None
        if self._waiting and self._current is None:
            self._send_next()


class Load:
    """Sends the shots of one plan and waits for their answers."""

    def __init__(self, plan: Plan, shots: list[Shot]) -> None:
        self._plan = plan
        self._shots = shots
        self._left = len(shots)
        self._finished = asyncio.Event()
        self._connections = [
            Connection(plan, self._count)
            for _ in range(min(plan.connections, plan.customers // plan.in_a_webhook, len(shots)))
        ]

    async def run(self) -> bool:
        """True once every webhook was answered, False when the time was up before."""
        await asyncio.gather(*(connection.connect() for connection in self._connections))
        try:
            async with asyncio.timeout(self._plan.within_s):
                await (self._pace() if self._plan.rate else self._offer_all())
                await self._finished.wait()
        except TimeoutError:
            return False
        finally:
            for connection in self._connections:
                connection.close()
        return True

    async def _offer_all(self) -> None:
        for shot in self._shots:
            self._connection_of(shot).offer(shot)

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for position, shot in enumerate(self._shots):
            wait_s = began + position * self._plan.in_a_webhook / self._plan.rate - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._connection_of(shot).offer(shot)

    def _connection_of(self, shot: Shot) -> Connection:
        return self._connections[shot.customer // self._plan.in_a_webhook % len(self._connections)]

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._finished.set()


def main(arguments: list[str]) -> int:
    """Do as the plan says; 1 if nothing could be sent in its time."""
    plan = Plan.model_validate_json(sys.stdin.readline())
    shots = prepare(plan)
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    if not sys.stdin.readline():
        return 1  # whoever started us has gone
    began_ns, spent_s = time.monotonic_ns(), time.process_time()
    complete = uvloop.run(Load(plan, shots).run())
    result = {
        "beganNs": began_ns,
        "complete": complete,
        "cpuS": time.process_time() - spent_s,
        "shots": [(shot.customer, shot.number, shot.from_ns, shot.answered_ns, shot.status) for shot in shots],
    }
    Path(arguments[0]).write_bytes(orjson.dumps(result))
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
