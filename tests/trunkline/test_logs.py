"""The log files of an instance, read as one log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trunkline.log_lines import LogLine, Records
from trunkline.logs import follow_logs, read_logs

AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def somewhere_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time is not UTC, so that what is read as local shows."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def ours(event: str, minutes: float = 0, level: str = "INFO", **facts: Any) -> str:
    """A line as our processes write it."""
    at = (AT + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    return json.dumps({"event": event, "level": level, "at": at, "logger": "trunkline.any", **facts})


def write(home: Path, name: str, *lines: str) -> Path:
    """Add lines to a log file of the instance."""
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


def worker(home: Path, pid: int, actor: str, *lines: str, session: str = "session_2026-11-25_08-00-00_1_1") -> Path:
    """The standard error of an actor."""
    name = f"ray/sessions/{session}/logs/worker-0253-01000000-{pid}.err"
    return write(home, name, ":job_id:01000000", f":actor_name:{actor}", *lines)


def events(lines: Iterator[LogLine]) -> list[str]:
    return [line.event for line in lines]


@pytest.mark.parametrize(
    ("line", "at", "level", "event"),
    [
        pytest.param(
            "[2026-11-25 14:00:00,069 W 16667 16667] (gcs_server) node.cc:98: lost it",
            AT.replace(microsecond=69_000), "WARNING", "(gcs_server) node.cc:98: lost it", id="Ray, in C++",
        ),
        pytest.param(
            "2026-11-25 14:00:00,358\tERROR event_agent.py:106 -- Report event failed",
            AT.replace(microsecond=358_000), "ERROR", "event_agent.py:106 -- Report event failed", id="Ray, in Python",
        ),
        pytest.param(
            "WARNING 2026-11-25 14:00:00,203 serve 14111 -- slow", AT.replace(microsecond=203_000), "WARNING",
            "serve 14111 -- slow", id="Ray Serve",
        ),
        pytest.param(
            "2026-11-25 08:30:00.223 UTC [14170] FATAL:  sorry, too many clients already",
            AT.replace(microsecond=223_000), "ERROR", "sorry, too many clients already", id="PostgreSQL",
        ),
        pytest.param(
            "2026-11-25 14:00:00.223 IST [14170] LOG:  listening", AT.replace(microsecond=223_000), "INFO",
            "listening", id="PostgreSQL, in the machine's time",
        ),
        pytest.param(
            "2026-11-25 14:00:00.446200+05:30 [error] <0.223.0> closing AMQP connection",
            AT.replace(microsecond=446_200), "ERROR", "closing AMQP connection", id="RabbitMQ",
        ),
        pytest.param(
            "14171:M 25 Nov 2026 14:00:00.194 # Server initialized", AT.replace(microsecond=194_000), "WARNING",
            "Server initialized", id="Redis",
        ),
        pytest.param("[ALERT]    (2311) : cannot bind socket", AT, "CRITICAL", "cannot bind socket", id="HAProxy"),
        pytest.param("Fatal Python error: aborted", AT, "ERROR", "Fatal Python error: aborted", id="last words"),
        pytest.param("tenant demo made", AT, "INFO", "tenant demo made", id="anything"),
    ],
)  # fmt: skip
def test_each_program_is_understood(line: str, at: datetime, level: str, event: str) -> None:
    assert list(Records("any", AT).of([line])) == [LogLine(at, level, event, None, None, {}, "any")]


def test_our_own_lines_name_tenant_message_and_facts() -> None:
    line = ours("delivery.dead", level="WARNING", tenant="acme", message_id="m-1", reason="rejected")
    assert list(Records("TransformerActor 7", AT).of([line])) == [
        LogLine(
            AT, "WARNING", "delivery.dead", "acme", "m-1", {"logger": "trunkline.any", "reason": "rejected"},
            "TransformerActor 7",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ['{"event": "half a li', '{"event": 1}', "[]", '{"at": "yesterday", "level": "INFO", "event": "x", "logger": "y"}'],
)
def test_what_only_looks_like_ours_is_shown_as_it_is(line: str) -> None:
    assert events(Records("any", AT).of([line])) == [line]


def test_a_record_goes_on_over_lines_and_ends_with_the_next() -> None:
    lines = [
        "2026-11-25 08:30:00.000 UTC [1] ERROR:  duplicate key",
        "2026-11-25 08:30:00.000 UTC [1] STATEMENT:  INSERT INTO tenants",
        "\tVALUES ($1)",
        "2026-11-25 08:30:00.100 UTC [1] LOG:  checkpoint starting",
    ]
    error, checkpoint = Records("postgresql", AT).of(lines)
    assert error.level == "ERROR"
    assert error.event.splitlines()[0] == "duplicate key"
    assert error.event.endswith("INSERT INTO tenants\n\tVALUES ($1)")
    assert checkpoint.event == "checkpoint starting"


def test_what_a_process_prints_between_our_lines_is_no_part_of_them() -> None:
    lines = [ours("lane.waits"), "Traceback (most recent call last):", "  somewhere", ours("lane.failed", 1)]
    assert events(Records("any", AT).of(lines)) == [
        "lane.waits", "Traceback (most recent call last):\n  somewhere", "lane.failed",
    ]  # fmt: skip


def test_every_file_of_the_instance_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    worker(tmp_path, 11, "SupervisorActor", ours("first", 0), ours("fourth", 3))
    worker(tmp_path, 12, "ServeReplica:webhooks:intake", ours("third", 2), session="session_2026-11-24_08-00-00_1_1")
    write(tmp_path, "logs/postgresql.log.1", "2026-11-25 08:31:00.000 UTC [1] LOG:  second")
    write(tmp_path, "rabbitmq/log/trunkline@localhost.log", "2026-11-25 08:34:00.000000+00:00 [info] <0.1.0> fifth")
    write(tmp_path, "ray/sessions/session_2026-11-25_08-00-00_1_1/logs/serve/replica_a.log", ours("sixth", 5))
    found = list(read_logs(tmp_path))
    assert [line.event for line in found] == ["first", "second", "third", "fourth", "fifth", "sixth"]
    assert [line.source for line in found] == [
        "SupervisorActor 11", "postgresql", "ServeReplica:webhooks:intake 12", "SupervisorActor 11", "rabbitmq",
        "serve replica_a",
    ]  # fmt: skip


def test_lines_are_chosen_by_time_level_and_tenant(tmp_path: Path) -> None:
    worker(
        tmp_path, 11, "TransformerActor", ours("a", 0, tenant="acme"), ours("b", 1, "WARNING", tenant="acme"),
        ours("c", 2, "ERROR", tenant="beta"), ours("d", 3, "CRITICAL"),
    )  # fmt: skip
    assert events(read_logs(tmp_path, since=AT + timedelta(minutes=1), until=AT + timedelta(minutes=2))) == ["b", "c"]
    assert events(read_logs(tmp_path, level="ERROR")) == ["c", "d"]
    assert events(read_logs(tmp_path, tenant="acme")) == ["a", "b"]
    assert events(read_logs(tmp_path, tenant="acme", level="WARNING")) == ["b"]


def test_an_instance_that_never_ran_has_no_lines(tmp_path: Path) -> None:
    assert list(read_logs(tmp_path / "nowhere")) == []


def test_following_finds_new_lines_new_files_and_what_was_rotated_away(tmp_path: Path) -> None:
    path = worker(tmp_path, 11, "TenantCell", ours("one"))

    def grow() -> None:
        write(tmp_path, str(path.relative_to(tmp_path)), ours("two", 1))
        with path.open("a") as file:
            file.write(half := ours("three", 2))
        assert half

    def rotate() -> None:
        with path.open("a") as file:
            file.write(f"\n{ours('four', 3)}\n")
        path.rename(path.with_name(f"{path.name}.1"))
        worker(tmp_path, 11, "TenantCell", ours("five", 4))

    def start_another() -> None:
        worker(tmp_path, 12, "TransformerActor", ours("six", 5))

    def empty_in_place() -> None:
        path.write_text(ours("seven", 6) + "\n")

    steps: Iterator[Callable[[], object]] = iter([grow, rotate, start_another, empty_in_place, list])
    seen: list[str] = []
    done: list[list[str]] = []

    def pause() -> None:
        done.append(list(seen))
        next(steps)()

    with pytest.raises(RuntimeError):  # the steps are over
        for line in follow_logs(tmp_path, pause=pause):
            seen.append(line.event)
    assert done == [
        ["one"],
        ["one", "two"],  # the third has no end yet
        ["one", "two", "three", "four", "five"],
        ["one", "two", "three", "four", "five", "six"],
        ["one", "two", "three", "four", "five", "six", "seven"],
        ["one", "two", "three", "four", "five", "six", "seven"],
    ]
