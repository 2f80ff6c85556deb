"""Progress for a person: one line a step, with the seconds since the start."""

from __future__ import annotations

import contextlib
import sys
import time


class Console:
    """Prints steps; a terminal that has gone away never stops the platform."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """A step that is done, or a thing that happened, with its time."""
        self.line(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def line(self, text: str) -> None:
        """A line as it is."""
        if not self.quiet:
            with contextlib.suppress(OSError, ValueError):
                print(text, flush=True)


def complain(text: object) -> None:
    """An error, to stderr."""
    with contextlib.suppress(OSError, ValueError):
        print(f"error: {text}", file=sys.stderr, flush=True)
