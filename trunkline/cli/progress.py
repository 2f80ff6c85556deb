"""Progress of what nobody can tell the length of, on standard error."""

from __future__ import annotations

import sys
import time

import typer


class Bytes:
    """Says how much was written so far: again and again on one line of a terminal, and at the end elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._began = time.monotonic()

    def show(self, count: int) -> None:
        """So many bytes by now."""
        self._count = count
        if sys.stderr.isatty():
            typer.echo(f"\r{self._text()}", err=True, nl=False)

    def end(self) -> None:
        """That was all."""
        typer.echo(f"{chr(13) if sys.stderr.isatty() else ''}{self._text()}", err=True)

    def _text(self) -> str:
        return f"{self._what}: {self._count / 1e6:.1f} MB, {time.monotonic() - self._began:.1f} s"
