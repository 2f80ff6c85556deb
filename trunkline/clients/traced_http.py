"""Calls to the clouds where traces are on: the span of the message's call tells what the cloud answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from trunkline.clients.http import Answer
from trunkline.tracing import delivering


class Http(Protocol):
    """One POST."""

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer; raises what became of it."""


class TracedHttp:
    """Calls through another. Of the address only the host is told: the rest names numbers and integrations."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """The answer to one POST; raises what became of it."""
        work = delivering.get()
        call = work.call if work else None
        if call is None:
            return await self._http.post(url, headers, content)
        call.set_attribute("server.address", urlsplit(url).hostname or "")
        answer = await self._http.post(url, headers, content)
        call.set_attribute("http.response.status_code", answer.status)
        call.add_event("answered", {"http.response.status_code": answer.status})
        return answer
