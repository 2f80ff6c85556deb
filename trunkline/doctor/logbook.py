"""What the log of the last hour tells: refusals, tokens that could not be had, stores that were away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from trunkline.doctor.facts import Facts, Look, at_once
from trunkline.logs import LogLine, read_logs
from trunkline.stores.database import POOL_TIMEOUT, TOO_MANY_CLIENTS

SINCE = timedelta(hours=1)
READ_FOR_S = 2.5
MOST_LINES = 20_000

SIGNATURE_REFUSED = "webhook.signature_refused"
HANDSHAKE_REFUSED = "webhook.handshake_refused"
HANDSHAKE_ACCEPTED = "webhook.handshake_accepted"
TOKEN_UNAVAILABLE = "token.unavailable"
BROKER_BLOCKED = "broker.blocked"
BROKER_UNBLOCKED = "broker.unblocked"
_TELLING = {
    SIGNATURE_REFUSED, HANDSHAKE_REFUSED, HANDSHAKE_ACCEPTED, TOKEN_UNAVAILABLE, BROKER_BLOCKED, BROKER_UNBLOCKED,
    "delivery.attempted", "delivery.waits", "delivery.dead", "delivery.unknown", "media.lost",
}  # fmt: skip
NO_CONNECTION = (POOL_TIMEOUT, TOO_MANY_CLIENTS)


@dataclass(frozen=True, slots=True)
class Logbook:
    """The lines that tell something, oldest first; `complete` unless there were too many to read in time."""

    lines: tuple[LogLine, ...]
    complete: bool = True

    @property
    def caveats(self) -> tuple[str, ...]:
        """What to know of the evidence that these lines are."""
        return () if self.complete else ("the log of the last hour is long: what came last of it was not read in time",)

    def of(self, event: str, matches: Callable[[LogLine], bool] = lambda line: True) -> list[LogLine]:
        """Lines of one event."""
        return [line for line in self.lines if line.event == event and matches(line)]

    def without_connection(self) -> list[LogLine]:
        """Lines of work that found no connection to Postgres."""
        return [line for line in self.lines if _says_no_connection(line)]


def _look_at_logs(facts: Facts) -> Logbook:
    facts.scene.require_here()
    home, since = facts.scene.settings.trunkline_home, facts.scene.now - SINCE
    lines: list[LogLine] = []
    read_all = at_once({"log": lambda: _read(home, since, lines)}, READ_FOR_S).get("log", False)
    return Logbook(tuple(lines), complete=read_all)


def _read(home: Path, since: datetime, lines: list[LogLine]) -> bool:
    """Append what tells something; whether that is all."""
    for line in read_logs(home, since=since, level="INFO"):
        if line.event in _TELLING or _says_no_connection(line):
            lines.append(line)
        if len(lines) >= MOST_LINES:
            return False
    return True


def _says_no_connection(line: LogLine) -> bool:
    error = line.facts.get("error")
    return isinstance(error, str) and any(words in error for words in NO_CONNECTION)


def clock_of(at: datetime) -> str:
    """A time of the last hour, as evidence shows it."""
    return f"{at:%H:%M:%S} UTC"


LOGBOOK: Look[Logbook] = Look("log", _look_at_logs)
