"""Control requests about files: those that agents send, and those that Meta keeps."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox.given_files import AgentFile
from sandbox.http import Request, Response, json_response
from sandbox.parts import Parts
from sandbox.requests import json_body


class _FileOrder(AgentFile):
    tenantId: str


class _MediaOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenantId: str | None = None
    mediaId: str | None = None
    expire: Literal["links", "media"] | None = None
    linkLifetimeS: float | None = Field(None, gt=0)


class FileControl:
    """Answers to control requests about files."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def put(self, request: Request) -> Response:
        """Keep a file of an agent's side; where it is and what is in it."""
        order = _FileOrder.model_validate(json_body(request))
        _, told = await self._parts.attachments.keep(self._parts.account(order.tenantId), order)
        return json_response(201, told)

    async def end_media(self, request: Request) -> Response:
        """End media or the links to them, of one tenant or of all; set how long further links hold."""
        order = _MediaOrder.model_validate(json_body(request))
        library, numbers = self._parts.library, None
        if order.tenantId is not None:
            numbers = frozenset({self._parts.account(order.tenantId).phone_number_id})
        if order.linkLifetimeS is not None:
            library.link_lifetime_s = order.linkLifetimeS
        ended = 0
        if order.expire is not None:
            ended = (library.expire_links if order.expire == "links" else library.expire)(numbers, order.mediaId)
        return json_response(200, {"ended": ended, "linkLifetimeS": library.link_lifetime_s})
