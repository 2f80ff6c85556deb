"""ASGI applications with their answers counted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from trunkline import metrics
from trunkline.measuring import Recorder, Tally

Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

SOURCES = {"whatsapp": "meta", "meta": "meta", "genesys": "genesys"}
METHODS = frozenset({"GET", "POST"})
# Answered by nobody: the client left, or the process has a bug.
NO_ANSWER = "none"
# More than there are Meta apps, as a rule; a stranger may ask for any path.
PATHS_REMEMBERED = 1024


class MeasuredWebhooks:
    """The webhooks, each counted by source, method and answer, and timed."""

    def __init__(self, application: Application, recorder: Recorder) -> None:
        self._application = application
        self._took = {source: recorder.spread(metrics.ACCEPT, source) for source in (*SOURCES.values(), "other")}
        self._answers: dict[tuple[str, str, int | str], Tally] = {}
        self._recorder = recorder

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        status: int | str = NO_ANSWER

        def noting(message: dict[str, Any]) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._application(scope, receive, noting)
        finally:
            source, method = _source_of(scope["path"]), scope["method"]
            if method == "POST":
                self._took[source].add(time.perf_counter() - began)
            answers = self._answers.get((source, method, status))
            if answers is None:
                answers = self._tally(source, method, status)
            answers.value += 1

    def _tally(self, source: str, method: str, status: int | str) -> Tally:
        if method not in METHODS:  # anything may be said to be one
            return self._recorder.tally(metrics.WEBHOOKS, source, "other", str(status))
        found = self._answers[source, method, status] = self._recorder.tally(
            metrics.WEBHOOKS, source, method, str(status)
        )
        return found


class MeasuredAdmin:
    """The admin API, each request counted by its answer."""

    def __init__(self, application: Application, recorder: Recorder) -> None:
        self._application = application
        self._recorder = recorder

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status = NO_ANSWER

        def noting(message: dict[str, Any]) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            return send(message)

        try:
            await self._application(scope, receive, noting)
        finally:
            self._recorder.count(metrics.ADMIN_REQUESTS, status)


@lru_cache(PATHS_REMEMBERED)
def _source_of(path: str) -> str:
    parts = path.removeprefix("/webhook").split("/", 2)
    return SOURCES.get(parts[1] if len(parts) > 1 else "", "other")
