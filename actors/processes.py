"""The processes behind our actors: which there are, whether one answers, and ending one."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from typing import Any

import ray
from ray.experimental import internal_kv
from ray.util import list_named_actors

from actors import directory
from trunkline.attempt import owner_is_dead, this_owner

log = logging.getLogger(__name__)


def names(*prefixes: str) -> list[str]:
    """Our actors and Serve's replicas whose names begin so, whoever has started them."""
    found: list[Any] = list_named_actors(all_namespaces=True)
    return sorted(
        each["name"]
        for each in found
        if each["name"].startswith(prefixes) and each["namespace"] == _namespace_of(each["name"])
    )


def owner(name: str) -> Any:
    """A question to be awaited: which process the actor is; answered while its event loop turns, whatever it lacks."""
    return directory.actor(name).__ray_call__.remote(_this_owner)


async def owner_of(name: str, timeout_s: float) -> str:
    """Which process the actor is; raises Unavailable."""
    answered: str = await directory.answer(owner(name), name, timeout_s)
    return answered


def end(name: str, process: str | None = None) -> None:
    """End the actor, known to be this process; Ray, or Serve, starts it anew."""
    if process is not None and lives(process):
        # At once, also when it has been stopped: Ray would first wait some seconds for it to end by itself.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(process.rsplit("/", 2)[1]), signal.SIGKILL)
            return
    _kill(name, no_restart=False)


def end_for_good(name: str) -> None:
    """End the actor; it is not started again until somebody makes it anew."""
    _kill(name, no_restart=True)
    directory.forget(name)


def lives(process: str | None) -> bool | None:
    """Whether this process lives, though it may hang; None when that cannot be told from here."""
    if process is None or not _is_here(process):
        return None
    return not owner_is_dead(process)


def crowd() -> float:
    """How many processes want each core of this machine, averaged over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def keep(key: str, value: bytes) -> None:
    """Keep a value for as long as this Ray lives, whichever process ends."""
    internal_kv._internal_kv_put(_key(key), value, True)


def kept(key: str) -> bytes | None:
    """The value that was kept."""
    value: bytes | None = internal_kv._internal_kv_get(_key(key))
    return value


def _kill(name: str, *, no_restart: bool) -> None:
    try:
        ray.kill(ray.get_actor(name, namespace=_namespace_of(name)), no_restart=no_restart)
    except ValueError:
        log.info("actor.gone", extra={"actor": name})  # nobody is there to be ended


def _namespace_of(name: str) -> str:
    return directory.SERVE_NAMESPACE if name.startswith(directory.REPLICA) else directory.NAMESPACE


def _this_owner(_: Any) -> str:
    return this_owner()


def _is_here(process: str) -> bool:
    return process.rsplit("/", 2)[0] == this_owner().rsplit("/", 2)[0]


def _key(key: str) -> bytes:
    return f"{directory.NAMESPACE}:{key}".encode()
