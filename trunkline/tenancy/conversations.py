"""A tenant's conversations: which one a customer is in, and whether it may be written to freely, remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

CONVERSATIONS_REMEMBERED = 5_000
# WhatsApp lets a business write freely for so long after the customer's latest message.
FREE_FORM_WINDOW_S = 24 * 3600.0
# A customer's message so much later than the last that is known is noted in the source, should nobody else have.
NOTED_WITHIN_S = 3600.0
# Sends older than this no longer count for a person's limit.
RECENT_S = 270.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """The thread that joins both sides' ids; times are Unix seconds.

    `last_inbound_at` is the time of the customer's latest message in any conversation, None if none is known.
    `recent_sends` are those to the customer in the last 270 s before it was looked up.
    """

    conversation_id: str
    wa_id: str
    last_activity_at: float
    last_inbound_at: float | None = None
    recent_sends: tuple[float, ...] = ()

    def window_ends_at(self) -> float | None:
        """When WhatsApp's window ends or ended; None for a customer never heard of."""
        return None if self.last_inbound_at is None else self.last_inbound_at + FREE_FORM_WINDOW_S


class ConversationSource(Protocol):
    """Where conversations are kept; every call raises StoreUnavailable when it cannot answer."""

    async def open(
        self, tenant_id: str, wa_id: str, at: float, window_hours: int, inbound_at: float | None = None
    ) -> Conversation:
        """The customer's open conversation, a new one if the last was idle longer than the window."""

    async def last_inbound(self, tenant_id: str, wa_id: str) -> float | None:
        """The time of the customer's latest message in any conversation."""


class Conversations:
    """Open conversations of one tenant, most recently used first to stay."""

    def __init__(self, tenant_id: str, source: ConversationSource, clock: Callable[[], float]) -> None:
        self._tenant_id = tenant_id
        self._source = source
        self._clock = clock
        self._open: OrderedDict[str, Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    async def of(self, wa_id: str, at: float, window_hours: int, said_at: float | None = None) -> Conversation:
        """The conversation that a message of, or for, this customer, accepted `at`, belongs to.

        `said_at` is the customer's own time of a message of theirs. Raises StoreUnavailable.
        """
        inbound_at = None if said_at is None else min(said_at, at)
        known = self._open.get(wa_id)
        if known is None or at - known.last_activity_at > window_hours * 3600 or _is_news(known, inbound_at):
            known = await self._source.open(self._tenant_id, wa_id, at, window_hours, inbound_at)
        return self._remember(wa_id, known, at, inbound_at)

    def forget(self, wa_ids: Iterable[str]) -> None:
        """Remember nothing of these customers."""
        for wa_id in wa_ids:
            self._open.pop(wa_id, None)

    def forget_all(self) -> None:
        """Remember nobody."""
        self._open.clear()

    async def refreshed(self, wa_id: str, known: Conversation) -> Conversation:
        """The conversation after a look whether the customer has been heard of elsewhere; raises StoreUnavailable."""
        inbound_at = await self._source.last_inbound(self._tenant_id, wa_id)
        return self._remember(wa_id, known, known.last_activity_at, inbound_at)

    def _remember(self, wa_id: str, found: Conversation, at: float, inbound_at: float | None) -> Conversation:
        # Something may have come in while `found` was looked up.
        meanwhile = self._open.get(wa_id)
        latest_inbound = _latest(found.last_inbound_at, inbound_at, meanwhile.last_inbound_at if meanwhile else None)
        latest_activity = max(found.last_activity_at, at)
        if latest_inbound != found.last_inbound_at or latest_activity != found.last_activity_at:
            found = replace(found, last_activity_at=latest_activity, last_inbound_at=latest_inbound)
        self._open[wa_id] = found
        self._open.move_to_end(wa_id)
        if len(self._open) > CONVERSATIONS_REMEMBERED:
            self._open.popitem(last=False)
        return found


def _is_news(known: Conversation, inbound_at: float | None) -> bool:
    if inbound_at is None:
        return False
    return known.last_inbound_at is None or inbound_at > known.last_inbound_at + NOTED_WITHIN_S


def _latest(*times: float | None) -> float | None:
    return max((at for at in times if at is not None), default=None)
