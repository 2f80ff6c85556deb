"""Which actors and replicas of ours there are, where they run, and how much memory each has."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors import directory, processes, reports
from trunkline.errors import Unavailable
from trunkline.web.admin_ports import ActorProcess, Holding

ANSWER_WITHIN_S = 0.8
# By how their names begin.
CLASSES = {
    directory.SUPERVISOR: "SupervisorActor",
    directory.TRANSFORMER: "TransformerActor",
    directory.SHARED: "TenantCell",
    directory.DEDICATED: "TenantCell",
    directory.REPLICA: "ServeReplica",
}


@dataclass(frozen=True, slots=True)
class _Vitals:
    """What a process says of itself."""

    pid: int
    node: str
    memory_bytes: int
    holds: reports.Holding | None


async def take(memory_limit_bytes: int) -> list[ActorProcess]:
    """Every actor; one that does not answer within a second is shown without what only it knows.

    Raises Unavailable when Ray does not say which there are.
    """
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            names = await asyncio.to_thread(processes.names, *CLASSES)
    except TimeoutError:
        raise Unavailable(f"Ray does not say within {ANSWER_WITHIN_S:g} s which actors there are") from None
    return list(await asyncio.gather(*(_look_at(name, memory_limit_bytes) for name in names)))


async def _look_at(name: str, memory_limit_bytes: int) -> ActorProcess:
    kind = next(kind for prefix, kind in CLASSES.items() if name.startswith(prefix))
    try:
        asked = directory.actor(name).__ray_call__.remote(_vitals)
        vitals: _Vitals = await directory.answer(asked, name, ANSWER_WITHIN_S)
    except directory.Silent:
        return ActorProcess(name, kind, None, None, None, memory_limit_bytes, "silent")
    except Unavailable:
        return ActorProcess(name, kind, None, None, None, memory_limit_bytes, "unreachable")
    told = vitals.holds
    holds = None if told is None else Holding(told.of, told.count, told.names)
    return ActorProcess(name, kind, vitals.pid, vitals.node, vitals.memory_bytes, memory_limit_bytes, "alive", holds)


def _vitals(actor: Any) -> _Vitals:
    """Runs in the process that is asked."""
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory_bytes = resident_pages * os.sysconf("SC_PAGE_SIZE")
    # Replicas are Serve's own class.
    return _Vitals(os.getpid(), socket.gethostname(), memory_bytes, getattr(actor, "holds", None))
