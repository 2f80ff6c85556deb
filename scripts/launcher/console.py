"""Progress for a person: one line a step, with the seconds since the start."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path


class Console:
    """Prints steps; a terminal that has gone away never stops the platform."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._began = time.monotonic()
        self._log: Path | None = None

    def keep(self, log: Path) -> None:
        """Write the steps down from now on, as lines like those of the processes that are started."""
        self._log = log

    def step(self, text: str) -> None:
        """A step that is done, or a thing that happened, with its time."""
        self.line(f"{time.monotonic() - self._began:6.1f} s  {text}")
        if self._log is not None:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            facts = {"event": "launcher.stepped", "level": "INFO", "at": at, "logger": "scripts.launcher", "step": text}
            with contextlib.suppress(OSError), open(self._log, "a", opener=_private) as file:
                file.write(f"{json.dumps(facts)}\n")

    def line(self, text: str) -> None:
        """A line as it is."""
        if not self.quiet:
            with contextlib.suppress(OSError, ValueError):
                print(text, flush=True)


def complain(text: object) -> None:
    """An error, to stderr."""
    with contextlib.suppress(OSError, ValueError):
        print(f"error: {text}", file=sys.stderr, flush=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
