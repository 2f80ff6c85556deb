"""How far a long measurement is: on a terminal a bar, what is under way and the time that is left; lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Say = Callable[[str], None]


class Bar:
    """Seconds of work, as they are expected, done and left; `say` takes what is told where there is no terminal."""

    def __init__(self, expected_s: float, say: Say, console: Console | None = None) -> None:
        self._say = say
        self._console = console or Console(file=sys.stderr)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("starting", total=expected_s)
        self._step_from = 0.0
        self._step_s = 0.0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    @property
    def done_s(self) -> float:
        """Expected seconds of what is done."""
        return self._progress.tasks[0].completed

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._console.is_terminal:
            self._progress.print(text, markup=False, highlight=False)
        else:
            self._say(text)

    def begin(self, text: str, expected_s: float) -> None:
        """A step begins, and with it the one before is over."""
        self._step_from += self._step_s
        self._step_s = expected_s
        self._progress.update(self._task, completed=self._step_from, description=text)

    def tell(self, done: int, of: int) -> None:
        """So much of the step is done."""
        share = min(1.0, done / of) if of else 1.0
        self._progress.update(self._task, completed=self._step_from + share * self._step_s)
