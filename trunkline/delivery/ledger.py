"""The ledger: outcomes and next claims, written together, in groups, one transaction at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from trunkline.attempt import LEAVE_WITHIN_S, Claim, ClaimAnswer, Outcome
from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable
from trunkline.grouping import Grouped

Entry = TypeVar("Entry")

log = logging.getLogger(__name__)

GROUP_LIMIT = 500
# Between two transactions of a busy time, so that under load they grow instead of becoming more.
REST_S = 0.001
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 3.0


class AttemptStore(Protocol):
    """Where claims and outcomes are kept."""

    async def exchange(self, outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> Sequence[ClaimAnswer | Exception]:
        """Store the outcomes and answer the claims in one transaction; raises StoreUnavailable."""

    async def statuses(self, envelopes: Sequence[Envelope]) -> Sequence[str | None]:
        """Where each message stands; raises StoreUnavailable."""


class Ledger:
    """Groups what one process writes about attempts.

    Outcomes are kept until they are stored, however long the store is away; claims fail while it is.
    """

    def __init__(self, store: AttemptStore) -> None:
        self._store = store
        self._outcomes: deque[tuple[Outcome, asyncio.Future[None]]] = deque()
        self._claims: deque[tuple[Claim, asyncio.Future[tuple[ClaimAnswer, float]]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._statuses: Grouped[Envelope, str | None] = Grouped(store.statuses, GROUP_LIMIT)

    @property
    def unsettled(self) -> int:
        """Outcomes that are not stored yet."""
        return len(self._outcomes)

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        """The answer, and the monotonic time until which a granted request may leave; raises StoreUnavailable."""
        answer: asyncio.Future[tuple[ClaimAnswer, float]] = asyncio.get_running_loop().create_future()
        self._claims.append((claim, answer))
        self._start()
        return await answer

    def settle(self, outcome: Outcome) -> asyncio.Future[None]:
        """Store what became of an attempt; the future is done once it is committed."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outcomes.append((outcome, stored))
        self._start()
        return stored

    async def status(self, envelope: Envelope) -> str | None:
        """Where the message stands, None when it has no row; raises StoreUnavailable."""
        return await self._statuses(envelope)

    async def idle(self) -> None:
        """Return when everything given so far is stored."""
        while self._runner is not None:
            await asyncio.wait([self._runner])

    def _start(self) -> None:
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        try:
            while self._outcomes or self._claims:
                outcomes = _take(self._outcomes)
                claims = _take(self._claims)
                try:
                    await self._exchange(outcomes, claims)
                    wait_s = FIRST_WAIT_S
                    if self._outcomes or self._claims:
                        await asyncio.sleep(REST_S)
                except StoreUnavailable as error:
                    self._outcomes.extendleft(entry for entry in reversed(outcomes) if not _is_stored(entry[1]))
                    for _, answer in claims:
                        _fail(answer, error)
                    log.warning("ledger.unavailable", extra={"error": str(error), "unsettled": len(self._outcomes)})
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        finally:
            self._runner = None

    async def _exchange(
        self,
        outcomes: list[tuple[Outcome, asyncio.Future[None]]],
        claims: list[tuple[Claim, asyncio.Future[tuple[ClaimAnswer, float]]]],
    ) -> None:
        # Counted from before the transaction: a process that slept through its commit must claim anew.
        leave_until = time.monotonic() + LEAVE_WITHIN_S
        try:
            answers = await self._store.exchange([outcome for outcome, _ in outcomes], [claim for claim, _ in claims])
        except StoreUnavailable:
            raise
        except Exception as error:
            await self._isolate(outcomes, claims, error)
            return
        for _, stored in outcomes:
            if not stored.done():
                stored.set_result(None)
        for (_, future), answer in zip(claims, answers, strict=True):
            if isinstance(answer, Exception):
                _fail(future, answer)
            elif not future.done():
                future.set_result((answer, leave_until))

    async def _isolate(
        self,
        outcomes: list[tuple[Outcome, asyncio.Future[None]]],
        claims: list[tuple[Claim, asyncio.Future[tuple[ClaimAnswer, float]]]],
        error: Exception,
    ) -> None:
        """One entry that cannot be stored must not fail its neighbours: write each on its own."""
        if len(outcomes) + len(claims) == 1:
            log.error("ledger.refused", extra={"error": type(error).__name__})  # its text may quote the message
            for _, future in outcomes:
                _fail(future, error)
            for _, answer in claims:
                _fail(answer, error)
            return
        for outcome in outcomes:
            await self._exchange([outcome], [])
        for claim in claims:
            await self._exchange([], [claim])


def _take(queue: deque[Entry]) -> list[Entry]:
    return [queue.popleft() for _ in range(min(len(queue), GROUP_LIMIT))]


def _is_stored(future: asyncio.Future[None]) -> bool:
    """Whether the outcome behind it needs no further try; one that nobody waits for any more still does."""
    return future.done() and not future.cancelled()


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
