"""A customer's message on its way to Genesys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trunkline.attempt import Callback
from trunkline.delivery.routes import Accepted, Access, Genesys, Job
from trunkline.envelope import Envelope
from trunkline.errors import Rejected
from trunkline.people import Move
from trunkline.protocol.identity import alias_change
from trunkline.protocol.inbound import GenesysPost, Prompt, convert_inbound, prompt_reference
from trunkline.protocol.media import Attachable, Unattachable
from trunkline.tenancy.tenant import GenesysAccess

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

    async def prepare(self, envelope: Envelope) -> Callable[[Access], Job] | None:
        """One request for each part of the message, its file fetched."""
        if change := alias_change(envelope.payload["message"]):
            # Intake has done so already, unless Postgres was away.
            await self._moves.move(Move(envelope.tenant_id, *change, envelope.accepted_at))
        file = await self._files.of(envelope)
        prompt = await self._prompt(envelope)
        return lambda access: self._job(envelope, file, prompt, access)

    async def _prompt(self, envelope: Envelope) -> Prompt | None:
        wamid = prompt_reference(envelope.payload["message"])
        asked = await self._asked.find(envelope.tenant_id, wamid) if wamid else None
        return Prompt(asked.genesys_id, asked.kind) if asked and asked.kind in PROMPT_KINDS else None

    def _job(
        self, envelope: Envelope, file: Attachable | Unattachable | None, prompt: Prompt | None, access: Access
    ) -> Job:
        assert isinstance(access, GenesysAccess)
        payload = envelope.payload
        posts = convert_inbound(
            payload["message"],
            payload.get("contact"),
            payload["phoneNumberId"],
            envelope.accepted_at,
            access.phone_with_plus,
            identity=envelope.conversation,
            file=file,
            prompt=prompt,
        )
        return Job(
            [lambda post=post: self._post(access, post) for post in posts],  # type: ignore[misc]
            text=str(posts[0].body.get("text") or "") if posts else None,
            lacking=Rejected("media_unavailable", f"the file {file.words}") if isinstance(file, Unattachable) else None,
        )

    async def _post(self, access: GenesysAccess, post: GenesysPost) -> Accepted:
        accepted = await self._genesys.post(access, post)
        return Accepted(genesys_id=accepted.message_id, genesys_conversation_id=accepted.conversation_id)
