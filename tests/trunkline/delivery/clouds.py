"""Both clouds as the routes call them; they take everything."""

from __future__ import annotations

from typing import Any

from trunkline.delivery.routes import Access, Job, Route
from trunkline.envelope import Envelope
from trunkline.protocol.inbound import GenesysPost
from trunkline.protocol.outcomes import GenesysAccepted
from trunkline.tenancy.tenant import GenesysAccess, WhatsAppAccess

GENESYS = GenesysAccess("mypurecloud.ie", "integration", "token-1", phone_with_plus=False)
WHATSAPP = WhatsAppAccess("210099887766551", "EAAG")


class Clouds:
    """What reached them."""

    def __init__(self) -> None:
        self.posts: list[GenesysPost] = []
        self.refusals: dict[str, Exception] = {}  # by resource, or by a member of the body
        self.sent: list[dict[str, Any]] = []
        self.marked: list[dict[str, Any]] = []

    async def post(self, access: GenesysAccess, post: GenesysPost) -> GenesysAccepted:
        assert access == GENESYS
        for what, error in self.refusals.items():
            if what in (post.resource, *post.body):
                raise error
        self.posts.append(post)
        return GenesysAccepted("g-1", "gc-1")

    async def send(self, access: WhatsAppAccess, body: dict[str, Any]) -> str:
        assert access == WHATSAPP
        self.sent.append(body)
        return f"wamid.{len(self.sent)}"

    async def mark(self, access: WhatsAppAccess, body: dict[str, Any]) -> None:
        assert access == WHATSAPP
        self.marked.append(body)


async def job_of(route: Route, message: Envelope, access: Access = GENESYS) -> Job:
    """The job that the route makes of the message."""
    prepared = await route.prepare(message)
    assert prepared is not None
    return prepared(access)
