"""The HTTP server under the sandbox.

Its own, because a stand-in that shares its machine with what it measures must cost little: an answer that needs no
waiting is written at once, in one piece and without a task, for half of what an ASGI server takes. And a lost answer,
a connection closed in the middle of an exchange, has no word in ASGI.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from sandbox.connection import Connection
from sandbox.http import Application

BACKLOG = 1024


class Server:
    """Serves an application on one socket until closed."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=sock, backlog=BACKLOG)

    async def close(self) -> None:
        """Close every connection and give up what is still being served."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def run(self, rest: Coroutine[Any, Any, None]) -> None:
        """Run the rest of an exchange that takes time."""
        task = asyncio.get_running_loop().create_task(rest)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises OSError if the port is in use."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
