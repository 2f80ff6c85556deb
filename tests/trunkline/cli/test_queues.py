"""`trunkline queues`, `cache`, `status` and `top` against an admin API that is served."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import envelope
from tests.trunkline.admin_app import NOW
from tests.trunkline.cli.conftest import Run, Served
from tests.trunkline.records import BY, tenant_record
from tests.trunkline.web.rows import insert
from trunkline.cli import output
from trunkline.envelope import Direction
from trunkline.errors import Unavailable
from trunkline.tenancy.record import TenantRecord
from trunkline.web.admin_ports import ActorProcess, Holding

pytestmark = pytest.mark.services

INBOUND = "inbound-whatsapp-messages"
HELD = "Genesys refuses the credentials: 401 invalid_client"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.delivery.queues.ANSWER_WITHIN_S", 20.0)


@pytest.fixture
def tenant(served: Served) -> Iterator[TenantRecord]:
    """A tenant with three messages that wait for its credentials."""
    record = tenant_record()
    served.run(served.admin.tenants.create(record, BY))
    served.run(insert(served.admin, "lanes", tenant_id=record.tenant_id, direction="inbound"))
    served.admin.queues.put(*(envelope(number, tenant_id=record.tenant_id) for number in range(3)))
    queue = f"{INBOUND}.{record.tenant_id}"
    reader = {"reader": "transformer:inbound:0", "unacked": 0, "held": HELD}
    served.admin.actors.read[queue] = {**reader, "oldestAcceptedAt": NOW.timestamp() - 150}
    yield record
    served.admin.actors.read.clear()
    served.admin.queues.bodies.clear()


def test_queues_are_listed_the_oldest_first_and_say_why_they_wait(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    listed = run("queues", "list")
    heading, first = listed.out.splitlines()[:2]
    assert listed.code == 0 and heading.split() == [
        "QUEUE", "TENANT", "MESSAGES", "READERS", "OLDEST", "HELD",
    ]  # fmt: skip
    assert first.split(maxsplit=5)[:4] == [INBOUND, tenant.tenant_id, "3", "0"]
    assert "2 min" in first and HELD in first
    rows = run("queues", "list", "--tenant", tenant.tenant_id, "--json").json["queues"]
    assert [row["messages"] for row in rows] == [3, 0, 0]
    waiting = run("queues", "list", "--waiting", "--queue", f"{INBOUND}.{tenant.tenant_id}", "--json").json
    assert [row["messages"] for row in waiting["queues"]] == [3]
    assert run("queues", "list", "--queue", "nothing").code == 1


def test_a_purge_asks_first_and_then_counts(run: Run, served: Served, tenant: TenantRecord) -> None:
    queue = served.admin.queues.bodies[tenant.tenant_id, Direction.INBOUND]
    asked = run("queues", "purge", INBOUND, "--tenant", tenant.tenant_id)
    assert asked.code == 1 and len(queue) == 3
    assert f"Remove 3 messages from {INBOUND} of tenant {tenant.tenant_id}?" in asked.err and "--yes" in asked.err
    assert "EVERY tenant" in run("queues", "purge", INBOUND).err
    purged = run("queues", "purge", INBOUND, "--tenant", tenant.tenant_id, "--yes", "--json")
    assert (purged.code, purged.json) == (0, {"purged": 3})
    assert queue == []
    again = run("queues", "purge", f"{INBOUND}.{tenant.tenant_id}", "--yes")
    assert (again.code, again.out) == (0, "0 messages were purged\n")


def test_a_purge_that_leaves_something_is_exit_code_1_and_names_whose(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    served.admin.actors.held[f"{INBOUND}.{tenant.tenant_id}"] = "somebody else"
    try:
        left = run("queues", "purge", INBOUND, "--yes")
    finally:
        served.admin.actors.held.clear()
    assert (left.code, left.out) == (1, "0 messages were purged\n")
    assert tenant.tenant_id in left.err and "is being purged already" in left.err
    assert run("queues", "purge", "nothing", "--yes").code == 1
    assert run("queues", "purge").code == 2


def test_a_tenants_cache_is_cleared_and_no_tenant_is_a_wrong_call(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    for name in ("oauth:token", "mapping:wa:44"):
        served.run(served.admin.redis.set(f"tenant:{tenant.tenant_id}:{name}", "x", ex=60))
    cleared = run("cache", "clear", "--tenant", tenant.tenant_id, "--pattern", "oauth:*")
    assert (cleared.code, cleared.out) == (0, "1 keys were deleted\n")
    assert run("cache", "clear", "-t", tenant.tenant_id, "--json").json == {"cleared": 1}
    assert run("cache", "clear").code == 2
    nobody = run("cache", "clear", "--tenant", "nobody")
    assert nobody.code == 1 and "there is no tenant 'nobody'" in nobody.err


@pytest.fixture
def actors(served: Served) -> Iterator[list[ActorProcess]]:
    limit = 512 * 2**20
    served.admin.actors.processes = [
        ActorProcess("cell:0", "TenantCell", 4711, "node-1", 90 * 2**20, limit, "alive", Holding("tenants", 12, ())),
        ActorProcess("SERVE_REPLICA::admin#admin#x", "ServeReplica", None, None, None, limit, "silent"),
    ]
    yield served.admin.actors.processes
    served.admin.actors.processes = []


@pytest.mark.parametrize("call", [("status",), ("top", "--once"), ("top",)])
def test_everything_is_shown_at_a_glance(
    run: Run, tenant: TenantRecord, actors: list[ActorProcess], call: tuple[str, ...]
) -> None:
    seen = run(*call)
    words = " ".join(seen.out.split())
    assert seen.code == 0
    for part in (
        "rabbitmq healthy",
        "inbound 1 1 1 1 no",
        "90 of 512 MB",
        "12 tenants",
        "silent",
        "2 min",
        "healthy at",
    ):
        assert part in words, seen.out
    assert "\x1b" not in seen.out, "colours only on a terminal"


@pytest.mark.parametrize("verb", ["status", "top"])
def test_what_is_shown_is_there_as_json(run: Run, tenant: TenantRecord, actors: list[ActorProcess], verb: str) -> None:
    seen = run(verb, "--json").json
    assert (seen["status"], seen["missing"], len(seen["actors"])) == ("healthy", {}, 2)
    assert [row["tenantId"] for row in seen["queues"]] == [tenant.tenant_id]
    assert seen["tenants"] == [{"tenant": tenant.tenant_id, "waiting": 3, "oldestAgeSeconds": 150.0, "why": HELD}]


def test_what_cannot_be_told_is_said_and_the_rest_is_shown(run: Run, served: Served, tenant: TenantRecord) -> None:
    served.admin.actors.failure = Unavailable("supervisor did not answer within 10 s")
    try:
        seen = run("status")
    finally:
        served.admin.actors.failure = None
    assert seen.code == 1 and "rabbitmq" in seen.out
    assert "pools cannot be told: supervisor did not answer within 10 s" in seen.out


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


def test_top_stays_on_the_screen_until_it_is_broken_off_and_leaves_the_terminal_as_it_was(
    run: Run, tenant: TenantRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, looks = Terminal(), []

    def look_twice(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("trunkline.cli.top.time.sleep", look_twice)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert run("top", "--interval", "1.5").code == 0
    shown = terminal.getvalue()
    assert looks == [1.5, 1.5]
    assert "\x1b[?1049h" in shown and shown.rindex("\x1b[?1049l") > shown.rindex("\x1b[?1049h")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"


def test_tables_fit_eighty_columns_and_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [
        {
            "queue": INBOUND,
            "tenant": "a-tenant-with-a-name-of-sixty-three-characters-as-long-as-can-be",
            "status": "silent",
        }
    ]
    columns = ("queue", "tenant", "status")
    terminal, pipe = Terminal(), io.StringIO()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal)
    output.print_table(rows, columns)
    monkeypatch.setattr(sys, "stdout", pipe)
    output.print_table(rows, columns)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert max(map(len, plain.splitlines())) <= 80
    assert "\x1b[31m" in terminal.getvalue() and "\x1b" not in pipe.getvalue()
    assert rows[0]["tenant"] in pipe.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, None), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_a_time_that_has_passed_is_told_as_people_say_it(seconds: float | None, words: str | None) -> None:
    assert output.duration(seconds) == words
