"""One record of a log file, whoever wrote it: Trunkline as JSON; Ray, HAProxy and the stores in forms of their own.

Pure: text in, records out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# A record goes on over so many lines at most; a dump without end becomes several.
LINES_OF_A_RECORD = 100
# What a process prints when it breaks off, without a time or a level.
_LAST_WORDS = ("Traceback (most recent call last)", "Fatal ", "Segmentation fault", "Killed", "Error", "error:")

_REDIS_LEVELS = {".": "DEBUG", "-": "DEBUG", "*": "INFO", "#": "WARNING"}
_LEVEL_OF = {
    **{level: level for level in LEVELS},
    **{"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "C": "CRITICAL", "F": "CRITICAL"},
    **{"WARN": "WARNING", "SUCC": "INFO", "NOTICE": "INFO", "ALERT": "CRITICAL", "EMERG": "CRITICAL"},
    **{"LOG": "INFO", "FATAL": "ERROR", "PANIC": "CRITICAL", "EMERGENCY": "CRITICAL"},
}

_FORMS = tuple(
    re.compile(form, re.DOTALL)
    for form in (
        # [2026-11-25 08:41:26,069 I 16667 16667] (gcs_server) file.cc:98: text
        r"\[(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<level>[A-Z]) \d+ \d+\] (?P<text>.*)",
        # 2026-11-25 08:41:28,358 \t INFO file.py:319 -- text
        r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\s+(?P<level>[A-Z]+)\s+(?P<text>.*)",
        # INFO 2026-11-25 08:41:32,350 serve 16936 -- text
        r"(?P<level>[A-Z]+) (?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<text>.*)",
        # 2026-11-25 08:39:38.223 UTC [14170] LOG:  text
        r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (?P<zone>\S+) \[\d+\] (?P<level>[A-Z]+)\d?:\s+(?P<text>.*)",
        # 2026-11-25 08:39:41.446200+00:00 [info] <0.223.0> text
        r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d) \[(?P<level>[a-z]+)\] <[\d.]+> ?(?P<text>.*)",
        # 14171:M 25 Nov 2026 08:39:38.194 * text
        r"\d+:[A-Z] (?P<at>\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}) (?P<level>[.*#-]) (?P<text>.*)",
        # [NOTICE]   (2311) : text
        r"\[(?P<level>[A-Z]+)\]\s+\(\d+\)\s*:\s*(?P<text>.*)",
    )
)
# Ray says on the first lines of a worker's files what runs in it.
_ACTOR = re.compile(r":actor_name:(?P<name>.*)")
_MARK = re.compile(r":(job_id|actor_name|task_name):")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A record of a log. `tenant` and `message_id` are None where it names none; `source` says who wrote it."""

    at: datetime
    level: str
    event: str
    tenant: str | None
    message_id: str | None
    facts: dict[str, Any]
    source: str

    @property
    def is_ours(self) -> bool:
        """Whether Trunkline itself wrote it, and not Ray or a store."""
        return "logger" in self.facts


def is_at_least(line: LogLine, level: str) -> bool:
    """Whether the record is of this level or worse."""
    return LEVELS.index(line.level) >= LEVELS.index(level)


class Records:
    """Makes records of the lines of one file, whose writer is `source`. `at` stands in for a time that is not given."""

    def __init__(self, source: str, at: datetime) -> None:
        self._source = source
        self._at = at

    def of(self, lines: Iterable[str]) -> Iterator[LogLine]:
        """The records that these lines are, which go on where the last ones ended."""
        record: LogLine | None = None
        more: list[str] = []
        for line in lines:
            if _MARK.match(line):
                self._note_actor(line)
                continue
            found = self._read(line)
            if found is None and (record is not None or line.strip()) and len(more) < LINES_OF_A_RECORD:
                record, more = (record, [*more, line]) if record is not None else (self._untimed(line), more)
                continue
            if record is not None:
                yield _joined(record, more)
            record, more = found, []
            if found is not None and found.is_ours:
                yield found
                record = None
        if record is not None:
            yield _joined(record, more)

    def _note_actor(self, line: str) -> None:
        # The file's name ends in the pid, which tells apart the actors of one class.
        if actor := _ACTOR.match(line):
            self._source = f"{actor['name'].strip()} {self._source.rpartition(' ')[2]}"

    def _read(self, line: str) -> LogLine | None:
        """The record that begins with this line, or None where the one before goes on."""
        if line.startswith("{"):
            return self._read_ours(line)
        for form in _FORMS:
            if match := form.fullmatch(line):
                parts = match.groupdict()
                level = _LEVEL_OF.get(parts["level"].upper()) or _REDIS_LEVELS.get(parts["level"])
                at = _time(parts.get("at"), parts.get("zone"), self._at)
                if level is None or at is None:
                    return None
                self._at = at
                return LogLine(at, level, parts["text"], None, None, {}, self._source)
        return None

    def _read_ours(self, line: str) -> LogLine | None:
        try:
            facts = orjson.loads(line)
            at = datetime.fromisoformat(facts.pop("at"))
            level, event, _ = facts.pop("level"), facts.pop("event"), facts["logger"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if level not in LEVELS or at.tzinfo is None:
            return None
        self._at = at
        tenant, message_id = (_text(facts.pop(name, None)) for name in ("tenant", "message_id"))
        return LogLine(at, level, str(event), tenant, message_id, facts, self._source)

    def _untimed(self, line: str) -> LogLine:
        level = "ERROR" if line.startswith(_LAST_WORDS) else "INFO"
        return LogLine(self._at, level, line, None, None, {}, self._source)


def _joined(record: LogLine, more: list[str]) -> LogLine:
    return replace(record, event="\n".join([record.event, *more]).rstrip()) if more else record


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _time(given: str | None, zone: str | None, otherwise: datetime) -> datetime | None:
    """The time in UTC; one without a zone is this machine's. None for what is none."""
    if given is None:
        return otherwise
    try:
        if given[4:5] == "-":
            at = datetime.fromisoformat(given.replace(",", "."))
        else:
            at = datetime.strptime(given, "%d %b %Y %H:%M:%S.%f")
    except ValueError:
        return None
    return (at.replace(tzinfo=UTC) if zone in ("UTC", "GMT") else at).astimezone(UTC)
