"""Who has stopped answering. Pure: questions and answers in, names out; the clock is passed in.

A process that was killed is known at once, for calls to it fail; one that hangs is known by its silence only.
"""

from __future__ import annotations

# Silence for so long is no pause any more.
SILENT_AFTER_S = 6.0
# A process that is being started may take longer, on a machine that is busy with starting others.
STARTS_WITHIN_S = 60.0
# Whoever asks has been standing still himself when his own rounds are further apart than this.
PAUSED_AFTER_S = 3.0


class Vigil:
    """Keeps an eye on processes by asking each a question at a time; told of every question and what became of it."""

    def __init__(self) -> None:
        self._asked_at: dict[str, float] = {}
        self._settled: set[str] = set()
        self._answered_at = float("-inf")
        self._round_at: float | None = None

    def begin_round(self, now: float) -> None:
        """Time has passed; if too much, it was us who were not there, and the silence of the others tells nothing."""
        if self._round_at is not None and now - self._round_at > PAUSED_AFTER_S:
            self._asked_at = dict.fromkeys(self._asked_at, now)
        self._round_at = now

    def asked(self, name: str, now: float) -> None:
        """A question is under way, or another one after one that was lost: the silence is as old as the first."""
        self._asked_at.setdefault(name, now)

    def answered(self, name: str, now: float) -> None:
        """It was answered."""
        self._asked_at.pop(name, None)
        self._settled.add(name)
        self._answered_at = now

    def unreachable(self, name: str) -> None:
        """The process is gone, and whoever keeps it alive is starting it anew."""
        self._asked_at.pop(name, None)
        self._settled.discard(name)

    def forget(self, name: str) -> None:
        """Nothing is asked of it any more."""
        self.unreachable(name)

    def silent(self, now: float, crowd: float = 1.0) -> list[str]:
        """Those that hang. While nobody at all answers it may be us who are cut off, so that takes longer.

        On a machine where `crowd` processes want each core, everybody takes as much longer.
        """
        patience_s = SILENT_AFTER_S * max(1.0, crowd)
        alone = now - self._answered_at > patience_s
        return [
            name
            for name, asked_at in self._asked_at.items()
            if now - asked_at > (max(STARTS_WITHIN_S, patience_s) if alone or name not in self._settled else patience_s)
        ]
