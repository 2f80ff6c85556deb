"""What others count of the platform: commits by Postgres, actor calls by Ray, calls by the simulated clouds.

Nothing is switched on for it. Postgres and Ray publish what they have counted every 10 s, so reading them right after a
load takes that long; this is done in the first round only. What they count while nothing comes in is taken off.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from scripts.benchmark.stage import Stage, StageFailed
from scripts.launcher.guard import descendants

PUBLISHED_AFTER_S = 12.0
TIMEOUT_S = 15.0
LEAST_CALLS = 0.001
# How the sandbox names calls that a cloud answers; what it sends to the router is named otherwise.
CLOUD_CALLS = ("genesys_message:", "genesys_receipt:", "genesys_event:", "genesys_response:", "graph_", "token:")

_PORT = re.compile(r"--metrics[-_]export[-_]port=(\d+)")
# A call is counted by who makes it, once it has ended.
_CALLS = re.compile(r'^ray_tasks\{(?=[^}]*Source="owner")(?=[^}]*State="FINISHED")[^}]*\bName="([^"]+)"[^}]*\} (\S+)$')
_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts so far, and when they were read (monotonic seconds)."""

    at: float
    commits: int
    actor_calls: Counter[str]


@dataclass(frozen=True, slots=True)
class Rates:
    """Counts a second while nothing comes in."""

    commits: float
    actor_calls: Mapping[str, float]


class Counters:
    """Those of the platform."""

    def __init__(self, stage: Stage) -> None:
        self._database = stage.environment["DATABASE_URL"]
        self._metrics = _metrics_url(stage.pid)
        self._idle = Rates(0.0, {})

    def learn_idle_rates(self) -> None:
        """Count for a while in which nothing comes in."""
        before = self.read()
        after = self.read()
        passed_s = after.at - before.at
        calls = after.actor_calls - before.actor_calls
        self._idle = Rates(
            (after.commits - before.commits) / passed_s, {name: count / passed_s for name, count in calls.items()}
        )

    def read(self) -> Counted:
        """The counts of everything that has happened until now; takes as long as they take to be published."""
        time.sleep(PUBLISHED_AFTER_S)
        with psycopg.connect(self._database, connect_timeout=5) as connection:
            row = connection.execute(_COMMITS).fetchone()
        return Counted(time.monotonic(), int(row[0]) if row else 0, actor_calls(_fetch(self._metrics)))

    def for_each(self, before: Counted, after: Counted, count: int) -> dict[str, Any]:
        """Commits and actor calls for each of `count` messages, the idle ones taken off."""
        passed_s = after.at - before.at
        commits = after.commits - before.commits - self._idle.commits * passed_s
        calls = {
            name: (called - self._idle.actor_calls.get(name, 0.0) * passed_s) / count
            for name, called in (after.actor_calls - before.actor_calls).items()
        }
        # Below that it is chance which of the watchers' calls fell into the time.
        by_name = {name: each for name, each in calls.items() if each > LEAST_CALLS}
        return {
            "commits": max(0.0, commits) / count,
            "actor_calls": sum(by_name.values()),
            "actor_calls_by_name": by_name,
        }


def actor_calls(metrics: str) -> Counter[str]:
    """Calls that have ended, by class and method, in what Ray publishes."""
    found: Counter[str] = Counter()
    for line in metrics.splitlines():
        if match := _CALLS.match(line):
            found[match[1]] += int(float(match[2]))
    return found


def cloud_calls(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """Calls that the simulated clouds answered in between, by the sandbox's counts."""
    return sum(count - before.get(name, 0) for name, count in after.items() if name.startswith(CLOUD_CALLS))


def _fetch(url: str) -> str:
    answer = httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
    answer.raise_for_status()
    return answer.text


def _metrics_url(ancestor: int) -> str:
    """Where Ray's own agent of the stage publishes; raises StageFailed."""
    for pid in descendants(ancestor):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if match := _PORT.search(command):
            return f"http://127.0.0.1:{match[1]}/metrics"
    raise StageFailed("Ray publishes no metrics: none of its processes names a port for them")
