"""The facts that checks decide upon: each looked at once, all at the same time; what cannot be seen says why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from config.settings import Settings
from trunkline.cli.api import CommandFailed, Router
from trunkline.errors import TrunklineError

T = TypeVar("T")
K = TypeVar("K")

# So long a look may take; one that builds upon others has as long again.
LOOK_WITHIN_S = 3.0
NO_ROUTER = "Trunkline does not answer: see the check `router`"
# A single question of a look takes less, so that its own words are heard and not the deadline's.
ASK_WITHIN_S = 2.0


class Unseen(Exception):
    """This cannot be looked at; the reason is for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Scene:
    """What is examined: a router, maybe on this machine, maybe one tenant of it.

    `max_age_s` is how long a message may wait before that is a symptom.
    """

    settings: Settings
    api: Router
    url: str
    is_here: bool
    now: datetime
    tenant: str | None = None
    max_age_s: float = 60.0

    def require_here(self) -> None:
        """Raises Unseen when the router runs elsewhere: files, processes and stores are not this machine's then."""
        if not self.is_here:
            raise Unseen(f"needs the machine that Trunkline runs on, and {self.url} is another one")


@dataclass(frozen=True)
class Look(Generic[T]):
    """One question to the world; `after` are those whose answers it builds upon."""

    name: str
    take: Callable[[Facts], T]
    after: tuple[Look[Any], ...] = ()


class Facts:
    """What was seen."""

    def __init__(self, scene: Scene, seen: dict[str, Any] | None = None) -> None:
        self.scene = scene
        self._seen: dict[str, Any] = seen or {}

    def of(self, look: Look[T]) -> T:
        """What this look has seen; raises Unseen."""
        found = self._seen[look.name]
        if isinstance(found, Unseen):
            raise found
        return found  # type: ignore[no-any-return]

    def add(self, look: Look[Any], found: Any) -> None:
        """Keep what was seen, or the Unseen that says why it was not."""
        self._seen[look.name] = found


def gather(looks: Iterable[Look[Any]], scene: Scene) -> Facts:
    """Take every look, those that build upon none all at once, then the others; none is waited for longer than 3 s."""
    facts = Facts(scene)
    wanted = _with_those_before(looks)
    _take_all([look for look in wanted if not look.after], facts)
    _take_all([look for look in wanted if look.after], facts)
    return facts


def _with_those_before(looks: Iterable[Look[Any]]) -> list[Look[Any]]:
    wanted: dict[str, Look[Any]] = {}
    for look in looks:
        for each in (*look.after, look):
            wanted.setdefault(each.name, each)
    return list(wanted.values())


def at_once(calls: Mapping[K, Callable[[], T]], within_s: float) -> dict[K, T]:
    """What each call answers, all made at the same time; those that take longer are left out.

    In daemons: a call that hangs must not keep the command from ending.
    """
    futures: dict[K, Future[T]] = {key: Future() for key in calls}
    for key, call in calls.items():
        threading.Thread(target=_fulfil, args=(futures[key], call), daemon=True).start()
    wait(futures.values(), timeout=within_s)
    return {key: future.result() for key, future in futures.items() if future.done()}


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)


def _take_all(looks: list[Look[Any]], facts: Facts) -> None:
    seen = at_once({look.name: partial(_take, look, facts) for look in looks}, LOOK_WITHIN_S)
    for look in looks:
        facts.add(look, seen.get(look.name, Unseen(f"no answer within {LOOK_WITHIN_S:g} s")))


def _take(look: Look[Any], facts: Facts) -> Any:
    try:
        return look.take(facts)
    except Unseen as unseen:
        return unseen
    except CommandFailed as error:
        return Unseen(NO_ROUTER if error.body is None else error.text)
    except TrunklineError as error:
        return Unseen(str(error))
    except Exception as error:  # a look must not end the examination; its text might quote a secret
        return Unseen(f"{type(error).__name__} while looking at {look.name}")
