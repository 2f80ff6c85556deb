"""Asks our actors how they are, each one question at a time, and ends those that hang."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actors import directory, processes
from trunkline.delivery.vigil import STARTS_WITHIN_S, Vigil
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

# A round does not wait longer for those that are slow; their answers count in a later one.
ANSWERS_WITHIN_S = 1.0
# Calls to a process that has ended fail sooner, those to one that hangs or is cut off later.
GIVEN_UP_AFTER_S = 3.0

# With more processes for each core than this, silence is no sign yet.
CROWDED = 2.0

Question = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the actor `name`, asked at `asked_at` (monotonic), has answered; an Unavailable if it could not."""

    name: str
    asked_at: float
    value: Any


class Watch:
    """Keeps asking; an actor that hangs is ended, and Ray starts it anew."""

    def __init__(self) -> None:
        self._vigil = Vigil()
        self._asking: dict[str, tuple[float, asyncio.Task[Any]]] = {}
        self._owners: dict[str, str] = {}
        self._answered_at: dict[str, float] = {}

    async def round(self, questions: Mapping[str, Question]) -> list[Answer]:
        """Ask everybody who has no question under way, and collect what has been answered by now."""
        self._vigil.begin_round(time.monotonic())
        for name, ask in questions.items():
            if name not in self._asking:
                self._ask(name, ask)
        if not self._asking:
            return []
        await asyncio.wait([task for _, task in self._asking.values()], timeout=ANSWERS_WITHIN_S)
        answers = [self._collect(name) for name, (_, task) in list(self._asking.items()) if task.done()]
        self._end_silent()
        return answers

    def lives(self, name: str, owner: str) -> None:
        """The actor is this process, as its answer says."""
        self._owners[name] = owner

    def owner_of(self, name: str) -> str | None:
        """Which process the actor was when it last said so."""
        return self._owners.get(name)

    def answered_within(self, name: str, seconds: float) -> bool:
        """Whether the actor has answered lately."""
        return time.monotonic() - self._answered_at.get(name, float("-inf")) <= seconds

    def forget(self, name: str) -> None:
        """The actor is no more."""
        self._vigil.forget(name)
        self._owners.pop(name, None)
        self._answered_at.pop(name, None)
        self._drop(name)

    def close(self) -> None:
        """Ask nobody any more."""
        for name in list(self._asking):
            self._drop(name)

    def _ask(self, name: str, ask: Question) -> None:
        now = time.monotonic()
        self._vigil.asked(name, now)
        self._asking[name] = (now, asyncio.create_task(_answer(ask, name)))

    def _collect(self, name: str) -> Answer:
        asked_at, task = self._asking.pop(name)
        value = task.result()
        if isinstance(value, Unavailable):
            log.info("actor.unreachable", extra={"actor": name, "error": str(value)})
            self._answered_at.pop(name, None)
            if not self._hangs(name, asked_at):
                self._vigil.unreachable(name)
        else:
            self._answered_at[name] = time.monotonic()
            self._vigil.answered(name, self._answered_at[name])
        return Answer(name, asked_at, value)

    def _hangs(self, name: str, asked_at: float) -> bool:
        """Whether it could not be reached though it has not ended: Ray gives a call up that is not even taken."""
        lives = processes.lives(self._owners.get(name))
        return lives if lives is not None else time.monotonic() - asked_at > GIVEN_UP_AFTER_S

    def _end_silent(self) -> None:
        for name in self._vigil.silent(time.monotonic(), processes.crowd() / CROWDED):
            log.warning("actor.hangs", extra={"actor": name, "done": "ended, to start anew"})
            processes.end(name, self._owners.get(name))
            self._vigil.unreachable(name)
            self._answered_at.pop(name, None)
            self._drop(name)

    def _drop(self, name: str) -> None:
        _, task = self._asking.pop(name, (0.0, None))
        if task is not None:
            task.cancel()


async def _answer(ask: Question, name: str) -> Any:
    try:
        return await directory.answer(ask(), name, timeout_s=2 * STARTS_WITHIN_S)
    except Unavailable as error:
        return error
    except Exception as error:  # it answers, if only that it cannot tell
        log.exception("actor.cannot_tell", extra={"actor": name})
        return error
