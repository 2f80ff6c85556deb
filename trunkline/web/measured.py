"""ASGI applications with their answers counted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from trunkline import metrics
from trunkline.measuring import Recorder

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

SOURCES = {"whatsapp": "meta", "meta": "meta", "genesys": "genesys"}
METHODS = frozenset({"GET", "POST"})
# Answered by nobody: the client left, or the process has a bug.
NO_ANSWER = "none"


class Answered:
    """Answers with another application; `note` is told of each request, its status and the seconds it took."""

    def __init__(self, application: Application, note: Callable[[Scope, str, float], None]) -> None:
        self._application = application
        self._note = note

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        status = NO_ANSWER

        def noting(message: dict[str, Any]) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            return send(message)

        try:
            await self._application(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - began)


def measured_webhooks(application: Application, recorder: Recorder) -> Answered:
    """The webhooks, each with its source, answer and time."""

    def note(scope: Scope, status: str, took_s: float) -> None:
        parts = str(scope["path"]).removeprefix("/webhook").split("/", 2)
        source = SOURCES.get(parts[1] if len(parts) > 1 else "", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        recorder.count(metrics.WEBHOOKS, source, method, status)
        if method == "POST":
            recorder.observe(metrics.ACCEPT, took_s, source)

    return Answered(application, note)


def measured_admin(application: Application, recorder: Recorder) -> Answered:
    """The admin API, each request with its answer."""
    return Answered(application, lambda scope, status, took_s: recorder.count(metrics.ADMIN_REQUESTS, status))
