"""Webhooks where traces are on: notes when each was received and how it was answered, for its messages' traces."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import StatusCode

from trunkline.trace_context import TRACEPARENT, read_traceparent
from trunkline.tracing import Webhook, webhook_taken
from trunkline.web.webhooks import Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_HEADER = TRACEPARENT.encode()
_SERVER_ERROR = 500


class TracedWebhooks:
    """The ASGI application around another. What brings no message to a lane, refused webhooks for one, has no span."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._application(scope, receive, send)
            return
        webhook = Webhook(time.time_ns(), _link(scope))
        before = webhook_taken.set(webhook)
        status = 0

        async def note_status(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._application(scope, receive, note_status)
        finally:
            webhook_taken.reset(before)
            _end(webhook, status)


def _link(scope: Scope) -> tuple[int, int] | None:
    """The sender's place in a trace of its own, if it tells one."""
    told = [value for name, value in scope["headers"] if name == _HEADER]
    return read_traceparent(told[0].decode("latin-1")) if len(told) == 1 else None


def _end(webhook: Webhook, status: int) -> None:
    for span in webhook.spans:
        span.set_attribute("http.response.status_code", status)
        if status == 0 or status >= _SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end()
