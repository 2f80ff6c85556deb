"""What is measured of a cell's tenants, looked through now and then, a few at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from trunkline import metrics
from trunkline.measuring import Labels, Recorder, largest, some

LOOK_EVERY_S = 15.0
# Nobody's message waits for a look through a thousand tenants.
AT_A_TIME = 50
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Vitals:
    """A tenant's circuits and used part of its limits, by cloud, and its token: age in seconds, used part of its life.

    `lacks_token`: none could be had, and none is left.
    """

    tenant_id: str
    circuits: Mapping[str, str]
    limit_used: Mapping[str, float]
    token_age_s: float | None
    token_life_used: float | None
    lacks_token: bool


class Tenant(Protocol):
    """A tenant that is active."""

    def vitals(self) -> Vitals:
        """What is measured of it."""


class VitalSigns:
    """Looks through the tenants that are active in the cell `actor`."""

    def __init__(self, actor: str, tenants: Callable[[], Iterable[Tenant]], recorder: Recorder) -> None:
        self._actor = actor
        self._tenants = tenants
        self._recorder = recorder

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look through all of them once."""
        found: list[Vitals] = []
        for tenant in self._tenants():
            found.append(tenant.vitals())
            if len(found) % AT_A_TIME == 0:
                await asyncio.sleep(0)
        self._set(found)

    def _set(self, found: list[Vitals]) -> None:
        circuits: Counter[Labels] = Counter(
            (self._actor, cloud, state) for each in found for cloud, state in each.circuits.items()
        )
        not_closed = [
            (each.tenant_id, cloud) for each in found for cloud, state in each.circuits.items() if state != CLOSED
        ]
        used: dict[Labels, float] = {
            (each.tenant_id, cloud): part for each in found for cloud, part in each.limit_used.items() if part > 0
        }
        lives: dict[Labels, float] = {
            (each.tenant_id,): each.token_life_used for each in found if each.token_life_used is not None
        }
        recorder = self._recorder
        recorder.set(metrics.ACTIVE_TENANTS, len(found), self._actor)
        recorder.set(metrics.WITHOUT_TOKEN, sum(each.lacks_token for each in found), self._actor)
        recorder.set(metrics.TOKEN_AGE, max((each.token_age_s or 0.0 for each in found), default=0.0), self._actor)
        recorder.set_all(metrics.CIRCUITS, circuits)
        recorder.set_all(metrics.TENANT_CIRCUIT, some(not_closed))
        recorder.set_all(metrics.TOKEN_LIFE, largest(lives))
        recorder.set_all(metrics.LIMIT_USED, largest(used))
