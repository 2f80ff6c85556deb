"""A tenant's conversations: which one a customer is in, remembered while the tenant is active."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

CONVERSATIONS_REMEMBERED = 5_000


@dataclass(frozen=True, slots=True)
class Conversation:
    """The thread that joins both sides' ids; `last_activity_at` is Unix seconds."""

    conversation_id: str
    wa_id: str
    last_activity_at: float


class ConversationSource(Protocol):
    """Where conversations are kept."""

    async def open(self, tenant_id: str, wa_id: str, at: float, window_hours: int) -> Conversation:
        """The customer's open conversation, a new one if the last was idle longer than the window."""


class Conversations:
    """Open conversations of one tenant, most recently used first to stay."""

    def __init__(self, tenant_id: str, source: ConversationSource, clock: Callable[[], float]) -> None:
        self._tenant_id = tenant_id
        self._source = source
        self._clock = clock
        self._open: OrderedDict[str, Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    async def of(self, wa_id: str, at: float, window_hours: int) -> Conversation:
        """The conversation that a message of this customer, accepted `at`, belongs to."""
        known = self._open.get(wa_id)
        if known is None or at - known.last_activity_at > window_hours * 3600:
            known = await self._source.open(self._tenant_id, wa_id, at, window_hours)
        if at > known.last_activity_at:
            known = Conversation(known.conversation_id, wa_id, at)
        self._open[wa_id] = known
        self._open.move_to_end(wa_id)
        if len(self._open) > CONVERSATIONS_REMEMBERED:
            self._open.popitem(last=False)
        return known
