"""What a scenario found: its one line, its place in the table, its JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

COUNTS = ("sent", "accepted", "delivered", "dead", "waiting", "lost", "doubled", "unknown", "reordered")


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario's result. `doubled` messages were sent twice without an unknown outcome, `unknown` ones with one.

    `recovery_s` is the longest time without an arrival after the fault had ended, `calls` what was asked of the failing
    side meanwhile. `wrong` says in words what should not be, `evidence` has traces of such messages; `skipped` says why
    it was not run.
    """

    name: str
    sent: int = 0
    accepted: int = 0
    delivered: int = 0
    dead: int = 0
    waiting: int = 0
    lost: int = 0
    doubled: int = 0
    unknown: int = 0
    reordered: int = 0
    recovery_s: float | None = None
    calls: int | None = None
    took_s: float = 0.0
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    skipped: str = ""
    evidence: tuple[dict[str, Any], ...] = ()

    @property
    def verdict(self) -> str:
        """In a word."""
        return "skipped" if self.skipped else "FAILED" if self.wrong else "ok"

    def line(self) -> str:
        """The one line."""
        if self.skipped:
            return f"{self.name}: skipped: {self.skipped}"
        counts = ", ".join(f"{name} {getattr(self, name)}" for name in COUNTS)
        words = "".join(f"; {note}" for note in self.notes) + "".join(f"; WRONG: {fault}" for fault in self.wrong)
        return (
            f"{self.name}: {self.verdict}: {counts}, recovery {_seconds(self.recovery_s)}, "
            f"calls {_number(self.calls)}, took {self.took_s:.0f} s{words}"
        )

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "verdict": self.verdict}


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table, and in words what is wrong."""
    table = Table("scenario", "", *COUNTS, "recovery", "calls", "took", title="What was broken, and what became of it")
    for row in rows:
        counts = ["" if row.skipped else str(getattr(row, name)) for name in COUNTS]
        table.add_row(
            row.name, row.verdict, *counts, _seconds(row.recovery_s), _number(row.calls), _seconds(row.took_s)
        )
    console.print(table)
    for row in rows:
        for words in (*row.wrong, *([row.skipped] if row.skipped else [])):
            console.print(f"{row.name}: {words}", markup=False, highlight=False)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
