"""WhatsApp: the Send API of Meta's Graph."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from trunkline.clients.http import Answer, Posts
from trunkline.protocol.outcomes import classify_whatsapp
from trunkline.tenancy.tenant import WhatsAppAccess


class WhatsAppClient:
    """Sends from numbers; `graph_api_url` has the version in it."""

    def __init__(self, http: Posts, graph_api_url: str) -> None:
        self._http = http
        self._graph_api_url = graph_api_url

    async def send(self, access: WhatsAppAccess, body: dict[str, Any]) -> str:
        """Send one message and return its wamid; raises what the answer means for it."""
        answer = await self._post(access, body)
        return classify_whatsapp(answer.status, answer.headers, answer.body)

    async def mark(self, access: WhatsAppAccess, body: dict[str, Any]) -> None:
        """Mark a message as read, or show that somebody types; raises what the answer means for it."""
        answer = await self._post(access, body)
        if not 200 <= answer.status < 300:
            classify_whatsapp(answer.status, answer.headers, answer.body)

    async def _post(self, access: WhatsAppAccess, body: dict[str, Any]) -> Answer:
        url = f"{self._graph_api_url}/{quote(access.phone_number_id, safe='')}/messages"
        headers = {"Authorization": f"Bearer {access.access_token}", "Content-Type": "application/json"}
        return await self._http.post(url, headers, orjson.dumps(body))
