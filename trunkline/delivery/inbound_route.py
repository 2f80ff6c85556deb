"""A customer's message on its way to Genesys."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

from trunkline.attempt import Callback
from trunkline.delivery.routes import Accepted, Access, Genesys, Job, Prepared, Request
from trunkline.envelope import Envelope
from trunkline.errors import CredentialsRefused, Rejected
from trunkline.people import Move
from trunkline.protocol.identity import alias_change
from trunkline.protocol.inbound import GenesysPost, Prompt, convert_inbound, prompt_reference
from trunkline.protocol.media import Attachable, Unattachable
from trunkline.protocol.times import customer_time
from trunkline.tenancy.tenant import GenesysAccess

REFUSED_BY_GENESYS = "was refused by Genesys Cloud"
# For an answer it says that there is no such question, not that there is no such integration.
NOT_FOUND = "404"
# What of an agent's side a customer can answer with a tap, by `outbound_kind`.
PROMPT_KINDS = frozenset({"quick_reply", "card", "carousel", "list_picker", "date_picker", "template"})


class Files(Protocol):
    """Customers' files."""

    async def of(self, envelope: Envelope) -> Attachable | Unattachable | None:
        """The message's file where Genesys can fetch it, or why not; None for a message without one."""


class Asked(Protocol):
    """A message of the agent's side that a customer answers."""

    @property
    def genesys_id(self) -> str: ...
    @property
    def kind(self) -> str: ...


class AskedMessages(Protocol):
    """What is known of messages sent to WhatsApp."""

    async def find(self, tenant_id: str, wamid: str, callback: Callback | None = None) -> Asked | None:
        """The agent's message with this wamid."""


class Moves(Protocol):
    """Where addresses of people are kept."""

    async def move(self, move: Move) -> None:
        """The person with the old address has the new one from now on."""


class InboundRoute:
    """A customer's message for Genesys."""

    def __init__(self, genesys: Genesys, files: Files, asked: AskedMessages, moves: Moves) -> None:
        self._genesys = genesys
        self._files = files
        self._asked = asked
        self._moves = moves

    async def prepare(self, envelope: Envelope) -> Prepared | None:
        """One request for each part of the message, its file fetched."""
        if change := alias_change(envelope.payload["message"]):
            # Intake has done so already, unless Postgres was away.
            moved_at = customer_time(envelope.payload["message"], envelope.accepted_at)
            await self._moves.move(Move(envelope.tenant_id, *change, moved_at))
        file = await self._files.of(envelope)
        prompt = await self._prompt(envelope)
        return Prepared(lambda access: self._job(envelope, file, prompt, access))

    async def _prompt(self, envelope: Envelope) -> Prompt | None:
        wamid = prompt_reference(envelope.payload["message"])
        asked = await self._asked.find(envelope.tenant_id, wamid) if wamid else None
        return Prompt(asked.genesys_id, asked.kind) if asked and asked.kind in PROMPT_KINDS else None

    def _job(
        self, envelope: Envelope, file: Attachable | Unattachable | None, prompt: Prompt | None, access: Access
    ) -> Job:
        assert isinstance(access, GenesysAccess)
        posts = _posts(envelope, file, prompt, access)
        requests: list[Request] = [partial(self._post, access, post) for post in posts]
        if posts and (prompt is not None or isinstance(file, Attachable)):
            requests[0] = partial(self._post_or_tell, access, envelope, file, posts[0])
        return Job(
            requests,
            text=str(posts[0].body.get("text") or "") if posts else None,
            lacking=_lost(file) if isinstance(file, Unattachable) else None,
        )

    async def _post_or_tell(
        self, access: GenesysAccess, envelope: Envelope, file: Attachable | Unattachable | None, post: GenesysPost
    ) -> Accepted:
        """What Genesys does not take as an answer or with its file is told in a text."""
        try:
            return await self._post(access, post)
        except (Rejected, CredentialsRefused) as error:
            if isinstance(error, CredentialsRefused) and (post.resource == "message" or error.code != NOT_FOUND):
                raise
            refused = Unattachable(REFUSED_BY_GENESYS, file.url) if isinstance(file, Attachable) else file
            instead = _posts(envelope, refused, None, access)
            accepted = await self._post(access, instead[0])
            return replace(accepted, lacking=_lost(refused)) if isinstance(refused, Unattachable) else accepted

    async def _post(self, access: GenesysAccess, post: GenesysPost) -> Accepted:
        accepted = await self._genesys.post(access, post)
        return Accepted(genesys_id=accepted.message_id, genesys_conversation_id=accepted.conversation_id)


def _posts(
    envelope: Envelope, file: Attachable | Unattachable | None, prompt: Prompt | None, access: GenesysAccess
) -> list[GenesysPost]:
    payload = envelope.payload
    return convert_inbound(
        payload["message"],
        payload.get("contact"),
        payload["phoneNumberId"],
        envelope.accepted_at,
        access.phone_with_plus,
        identity=envelope.conversation,
        file=file,
        prompt=prompt,
    )


def _lost(file: Unattachable) -> Rejected:
    return Rejected("media_unavailable", f"the file {file.words}")
