"""Log lines: one JSON object each, the event's name first, its facts as fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

# `_ray_timestamp_ns`: Ray, once it is loaded, adds it to every record.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "_ray_timestamp_ns"}
# At DEBUG libraries tell of headers and bodies: secrets, and what people wrote. So DEBUG is for our own lines.
_OURS = ("actors", "config", "serve_app", "trunkline")
# Libraries that tell at INFO what our own lines tell better.
_QUIET = ("pika", "httpx", "aiohttp", "psycopg.pool")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        facts: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname,
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "logger": record.name,
        }
        facts.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            # Where, not what: an exception's text may quote what a customer wrote.
            facts["exception"] = record.exc_info[0].__name__
            facts["trace"] = self._where(record)
        try:
            return orjson.dumps(facts, default=str).decode()
        except TypeError:  # lone surrogates, huge numbers, keys that are no strings
            return json.dumps(facts, default=str, skipkeys=True)

    def _where(self, record: logging.LogRecord) -> list[str]:
        frames = []
        trace = record.exc_info[2] if record.exc_info else None
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        return frames


def configure_logging(level: str) -> None:
    """Send this process's log lines to standard error."""
    # The real one: Serve puts another in its place in replicas, which keeps lines in memory until there are a thousand.
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.INFO, logging.getLevelName(level)))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
