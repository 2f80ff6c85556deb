"""What is measured around the messages, once for the whole platform: stores, spool, dead letters, machine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trunkline import metrics
from trunkline.errors import Unavailable
from trunkline.measuring import Labels, Recorder
from trunkline.tenancy.audit import Place, Verified

log = logging.getLogger(__name__)

# Files and dead letters are many: they are counted every fourth time only.
SELDOM = 4
ANSWER_WITHIN_S = 5.0
AUDIT_AT_ONCE = 1000


class Spooled(Protocol):
    """What a lane has in the spool for one cause."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def oldest_at(self) -> float: ...


class Counts(Protocol):
    """What Postgres keeps, in numbers; every call raises StoreUnavailable."""

    async def spooled(self) -> Sequence[Spooled]:
        """All of the spool."""

    async def dead_letters(self) -> Mapping[str, int]:
        """How many, by reason."""

    async def connections(self) -> tuple[int, int]:
        """How many there are, and may be."""

    async def clock_skew_s(self) -> float:
        """How far its clock is ahead."""

    async def backed_up_at(self) -> float | None:
        """When the last backup was made."""


class Machine(Protocol):
    """What the machine has."""

    @property
    def memory(self) -> int: ...
    @property
    def memory_available(self) -> int: ...
    @property
    def load_per_core(self) -> float: ...
    @property
    def disk_free(self) -> int: ...
    @property
    def media(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers come from. `probes` answer by returning; `machine` may take long and is run beside the loop."""

    counts: Counts
    probes: Mapping[str, Callable[[], Awaitable[Any]]]
    machine: Callable[[], Machine]
    certificate_s: Callable[[], Awaitable[float | None]]
    verify_audit: Callable[[int, Place | None], Awaitable[Verified]]
    tenants: Callable[[], int]


class Surroundings:
    """Looks around now and then. Each part is looked at on its own: what does not answer keeps no other from it."""

    def __init__(self, sources: Sources, recorder: Recorder, memory_limit_bytes: int, media_limit_bytes: int) -> None:
        self._sources = sources
        self._recorder = recorder
        self._began_at = time.time()
        self._looks = 0
        self._audited: Place | None = None
        # Since when the oldest in the spool waits, by tenant and direction (Unix seconds).
        self.spooled_since: dict[tuple[str, str], float] = {}
        recorder.set(metrics.MEMORY_LIMIT, memory_limit_bytes)
        recorder.set(metrics.MEDIA, media_limit_bytes, "limit")

    async def look(self) -> None:
        """Look at everything once."""
        parts = [self._spool, self._postgres, *(self._probing(store) for store in self._sources.probes)]
        if self._looks % SELDOM == 0:
            parts += [self._dead_letters, self._machine, self._certificate, self._audit, self._backup]
        self._looks += 1
        self._recorder.set(metrics.TENANTS, self._sources.tenants())
        await asyncio.gather(*(self._on_its_own(part) for part in parts))

    async def _on_its_own(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await part()
        except (Unavailable, TimeoutError) as error:
            log.info("metrics.unknown", extra={"error": str(error) or "no answer in time"})

    def _probing(self, store: str) -> Callable[[], Awaitable[None]]:
        async def probe() -> None:
            began = time.perf_counter()
            answers = False
            try:
                await self._sources.probes[store]()
                answers = True
            finally:
                self._recorder.set(metrics.STORE_UP, float(answers), store)
                self._recorder.set(metrics.STORE_LATENCY, time.perf_counter() - began, store)

        return probe

    async def _spool(self) -> None:
        found = await self._sources.counts.spooled()
        counts: Counter[Labels] = Counter()
        since: dict[tuple[str, str], float] = {}
        for each in found:
            counts[each.direction, each.cause] += each.count
            lane = (each.tenant_id, each.direction)
            since[lane] = min(each.oldest_at, since.get(lane, each.oldest_at))
        self.spooled_since = since
        self._recorder.set_all(metrics.SPOOLED, counts)

    async def _postgres(self) -> None:
        used, most = await self._sources.counts.connections()
        self._recorder.set(metrics.CONNECTIONS, used)
        self._recorder.set(metrics.CONNECTIONS_LIMIT, most)
        self._recorder.set(metrics.CLOCK_SKEW, await self._sources.counts.clock_skew_s())

    async def _dead_letters(self) -> None:
        kept = await self._sources.counts.dead_letters()
        counts = {**dict.fromkeys(metrics.REASONS, 0), **kept}
        self._recorder.set_all(metrics.DEAD_LETTERS, {(reason,): count for reason, count in counts.items()})

    async def _machine(self) -> None:
        machine = await asyncio.to_thread(self._sources.machine)
        self._recorder.set(metrics.MACHINE_MEMORY, machine.memory, "total")
        self._recorder.set(metrics.MACHINE_MEMORY, machine.memory_available, "available")
        self._recorder.set(metrics.MACHINE_LOAD, machine.load_per_core)
        self._recorder.set(metrics.DISK_FREE, machine.disk_free)
        self._recorder.set(metrics.MEDIA, machine.media, "kept")

    async def _certificate(self) -> None:
        expires_s = await self._sources.certificate_s()
        if expires_s is not None:
            self._recorder.set(metrics.CERTIFICATE, expires_s)

    async def _audit(self) -> None:
        """Follow the chain a page further; from its start again once its end was reached."""
        verified = await self._sources.verify_audit(AUDIT_AT_ONCE, self._audited)
        self._audited = None if verified.is_done or verified.breach else verified.reached
        if verified.breach or verified.is_done:
            self._recorder.set(metrics.AUDIT_WHOLE, float(verified.breach is None))

    async def _backup(self) -> None:
        made_at = await self._sources.counts.backed_up_at()
        self._recorder.set(metrics.BACKUP_AGE, time.time() - (made_at or self._began_at))
