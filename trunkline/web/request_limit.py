"""A tenant's requests per UTC minute, as answers tell of them. Pure."""

from __future__ import annotations

from datetime import datetime

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import Message, Send


def limit_headers(limit: int, count: int, now: datetime) -> dict[str, str]:
    """Where the limit stands after `count` requests of this minute."""
    reset = (int(now.timestamp()) // 60 + 1) * 60
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(0, limit - count)),
        "X-RateLimit-Reset": str(reset),
    }


def limited(limit: int, headers: dict[str, str], now: datetime) -> JSONResponse:
    """The answer to a request over the limit."""
    wait_s = max(1, int(headers["X-RateLimit-Reset"]) - int(now.timestamp()))
    body = {"error": "Rate limit exceeded", "code": "RATE_LIMITED", "limit": limit, "retryAfter": wait_s}
    return JSONResponse(body, 429, {**headers, "Retry-After": str(wait_s)})


def with_headers(send: Send, headers: dict[str, str]) -> Send:
    """`send`, with these headers on whatever is answered."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers
