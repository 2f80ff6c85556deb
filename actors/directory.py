"""Where actors are found: names, options, look-up; and the tenants' cells as the rest of the code calls them.

The actors' classes are imported where one is made, since they find each other through this module.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from trunkline.errors import Unavailable
from trunkline.grouping import Grouped
from trunkline.tenancy.tenant import Ask, Cloud, Credentials, Gone, Held, Later, Passage, Ready

NAMESPACE = "trunkline"
SUPERVISOR = "supervisor"
TRANSFORMER = "transformer:"
SHARED = "cell:"
DEDICATED = "tenant:"
# As Serve names its replicas, in its own namespace.
SERVE_NAMESPACE = "serve"
REPLICA = "SERVE_REPLICA::"
CALL_TIMEOUT_S = 10.0
ASKED_AT_ONCE = 500
# A call costs as much as a hundred asks in it.
REST_S = 0.003
# Detached, or Ray would end an actor with the replica that made it; calls are repeated by their callers, who know more.
OPTIONS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "lifetime": "detached",
    "get_if_exists": True,
    "num_cpus": 0,
    "max_restarts": -1,
    "max_task_retries": 0,
}

Result = TypeVar("Result")


class Silent(Unavailable):
    """The actor did not answer in time: it hangs, has too much to do, or is being started."""


# Actors found before, by name; one that cannot be reached is looked up anew, in case another has taken its name.
_handles: dict[str, Any] = {}


def supervisor() -> Any:
    """The supervisor, started first if need be."""
    from actors.supervisor import SupervisorActor

    return _actor(SupervisorActor, SUPERVISOR)


def transformer(name: str) -> Any:
    """A transformer, started first if need be."""
    from actors.transformer import TransformerActor

    return _actor(TransformerActor, name)


def cell(name: str) -> Any:
    """A cell, started first if need be."""
    from actors.cell import TenantCell

    return _actor(TenantCell, name)


def actor(name: str) -> Any:
    """The actor of this name, whichever kind it is; started first if need be, unless it is a replica of Serve's.

    Raises Unavailable for a replica that is not there.
    """
    if name == SUPERVISOR:
        return supervisor()
    if name.startswith(REPLICA):
        try:
            return ray.get_actor(name, namespace=SERVE_NAMESPACE)
        except ValueError:
            raise Unavailable(f"{name} has ended") from None
    return transformer(name) if name.startswith(TRANSFORMER) else cell(name)


def forget(name: str) -> None:
    """Look the actor up anew when it is asked next."""
    _handles.pop(name, None)


def _actor(cls: type, name: str) -> Any:
    handle = _handles.get(name)
    if handle is None:
        handle = _handles[name] = _remote(cls).options(name=name, **OPTIONS).remote(name)
    return handle


@functools.cache
def _remote(cls: type) -> Any:
    return ray.remote(cls)


def transformer_name(pool: str, number: int) -> str:
    """The name of a pool's transformer."""
    return f"{TRANSFORMER}{pool}:{number}"


def cell_name(tenant_id: str, *, dedicated: bool, cells: int) -> str:
    """The cell that hosts a tenant: its own, or one of the shared ones by rendezvous hashing."""
    if dedicated:
        return f"{DEDICATED}{tenant_id}"
    return max(
        shared_cells(cells), key=lambda name: hashlib.blake2b(f"{name}/{tenant_id}".encode(), digest_size=8).digest()
    )


def shared_cells(cells: int) -> list[str]:
    """The names of the cells that tenants share."""
    return [f"{SHARED}{number}" for number in range(cells)]


async def answer(reference: Awaitable[Result], name: str, timeout_s: float = CALL_TIMEOUT_S) -> Result:
    """What the actor `name` answered; raises Unavailable when it cannot be reached in time, else what it raised."""
    try:
        return await asyncio.wait_for(_awaitable(reference), timeout_s)
    except TimeoutError as error:
        raise Silent(f"{name} did not answer within {timeout_s:g} s") from error
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception) and not isinstance(cause, RayError):
            raise cause from None
        _handles.pop(name, None)
        raise Unavailable(f"{name} cannot be reached: {type(error).__name__}") from error


async def _awaitable(reference: Awaitable[Result]) -> Result:
    return await reference


class CellTenants:
    """The tenants, wherever their cells are. Calls for one cell go in groups, one group under way at a time.

    `cell_of` names a tenant's cell.
    """

    def __init__(self, cell_of: Callable[[str], str]) -> None:
        self._cell_of = cell_of
        self._groups: dict[str, Grouped[tuple[str, Ask], Passage | Later | Held | Gone]] = {}

    async def admit(self, tenant_id: str, ask: Ask) -> Passage | Later | Held | Gone:
        """Passage for one message, or why there is none; raises Unavailable."""
        name = self._cell_of(tenant_id)
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Grouped(
                lambda asks: self._admit_group(name, asks), ASKED_AT_ONCE, rest_s=REST_S
            )
        return await group((tenant_id, ask))

    async def standing(self, tenant_id: str, cloud: Cloud) -> Held | Ready | Gone:
        """Whether a lane towards `cloud` may be read, and how far ahead; raises Unavailable."""
        standing: Held | Ready | Gone = await self._call(tenant_id, "standing", tenant_id, cloud)
        return standing

    async def credentials(self, tenant_id: str) -> Credentials | Gone:
        """What moving the tenant's files needs; raises Unavailable."""
        found: Credentials | Gone = await self._call(tenant_id, "credentials", tenant_id)
        return found

    async def outdated(self, tenant_id: str, epoch: int) -> None:
        """The activation with this epoch has been superseded."""
        await self._call(tenant_id, "outdated", tenant_id, epoch)

    async def refused(self, tenant_id: str, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        """The cloud refused a call for its credentials."""
        await self._call(tenant_id, "refused", tenant_id, cloud, used_token, words, expired)

    async def throttled(
        self, tenant_id: str, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None
    ) -> None:
        """The cloud asked to wait."""
        await self._call(tenant_id, "throttled", tenant_id, cloud, words, retry_after_s, code)

    async def person_throttled(self, tenant_id: str, wa_id: str) -> None:
        """WhatsApp wants nothing more for this person for a while."""
        await self._call(tenant_id, "person_throttled", tenant_id, wa_id)

    async def forget_people(self, tenant_id: str, wa_ids: Sequence[str]) -> None:
        """Customers were erased."""
        await self._call(tenant_id, "forget_people", tenant_id, list(wa_ids))

    async def clear_cache(self, tenant_id: str) -> None:
        """What is cached of the tenant was cleared."""
        await self._call(tenant_id, "clear_cache", tenant_id)

    async def failing(self, tenant_id: str, cloud: Cloud, words: str) -> None:
        """The cloud fails call after call, or failed a probe."""
        await self._call(tenant_id, "failing", tenant_id, cloud, words)

    async def unused(self, tenant_id: str, cloud: Cloud) -> None:
        """The probe turned out to need no call."""
        await self._call(tenant_id, "unused", tenant_id, cloud)

    async def accepted(self, tenant_id: str, cloud: Cloud) -> None:
        """The cloud accepted a probe."""
        await self._call(tenant_id, "accepted", tenant_id, cloud)

    async def token(self, tenant_id: str, force: bool) -> tuple[str, float, str]:
        """The tenant's Genesys token, when it expires, and whether it is `cache` or `fresh`."""
        token: tuple[str, float, str] = await self._call(tenant_id, "token", tenant_id, force)
        return token

    async def status(self, tenant_id: str) -> dict[str, Any]:
        """The tenant's state in its cell."""
        status: dict[str, Any] = await self._call(tenant_id, "status", tenant_id)
        return status

    async def _admit_group(
        self, name: str, asks: Sequence[tuple[str, Ask]]
    ) -> Sequence[Passage | Later | Held | Gone | Exception]:
        return await answer(cell(name).admit.remote(list(asks)), name)

    async def _call(self, tenant_id: str, method: str, *arguments: Any) -> Any:
        name = self._cell_of(tenant_id)
        return await answer(getattr(cell(name), method).remote(*arguments), name)
