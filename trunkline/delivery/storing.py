"""Where an accepted envelope is stored: in its lane's queue, or in the spool while the broker does not take it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from trunkline.delivery.routes import is_sign_of_life
from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable
from trunkline.grouping import Grouped

log = logging.getLogger(__name__)

GROUP_LIMIT = 500
# Genesys waits 10 s for an answer: one publish, and two groups of the spool one after the other, must fit into that.
PUBLISH_WITHIN_S = 2.5
SPOOL_WITHIN_S = 2.5
# A broker that lets publishers wait is left alone for a while: senders of webhooks wait only so long.
SLOW_S = 1.0
LEFT_ALONE_FOR_S = 5.0


class Lanes(Protocol):
    """The broker."""

    async def publish(self, envelope: Envelope) -> None:
        """Return once the envelope is stored; raises StoreUnavailable."""


class Storing:
    """Publishes, or spools: `spool` appends envelopes in their order and raises StoreUnavailable.

    `before_spooling` is awaited before that, for it must know what lies in the queues.
    """

    def __init__(
        self,
        lanes: Lanes,
        spool: Callable[[Sequence[Envelope]], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lanes = lanes
        self._spool: Grouped[Envelope, None] = Grouped(self._append, GROUP_LIMIT)
        self._append_all = spool
        self._clock = clock
        self._left_alone_until = 0.0
        self.before_spooling: Callable[[], Awaitable[None]] = _nothing

    async def publish(self, envelope: Envelope) -> bool:
        """Store the envelope, in its queue or else in the spool; whether in its queue.

        Raises StoreUnavailable when nothing takes it.
        """
        began = self._clock()
        if began >= self._left_alone_until:
            try:
                async with asyncio.timeout(PUBLISH_WITHIN_S):
                    await self._lanes.publish(envelope)
                return True
            except (StoreUnavailable, TimeoutError) as error:
                words = str(error) or "RabbitMQ does not answer"
                facts = {"tenant": envelope.tenant_id, "message_id": envelope.message_id}
                log.info("lane.unpublished", extra={**facts, "error": words})
                if self._clock() - began >= SLOW_S:
                    self._left_alone_until = self._clock() + LEFT_ALONE_FOR_S
        if not is_sign_of_life(envelope):  # that somebody types is of no use later
            await self._spool(envelope)
        return False

    async def _append(self, envelopes: Sequence[Envelope]) -> Sequence[None]:
        try:
            async with asyncio.timeout(SPOOL_WITHIN_S):
                await self.before_spooling()
                await self._append_all(envelopes)
        except TimeoutError:
            raise StoreUnavailable("Postgres does not answer in time") from None
        return [None] * len(envelopes)


async def _nothing() -> None:
    return
