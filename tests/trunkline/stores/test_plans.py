"""The statements of a message's way, as Postgres plans them for tables of which it knows nothing yet."""

from __future__ import annotations

import re

import psycopg
import pytest

from trunkline.stores import arrivals, conversations, erasing, erasures, messages, retention, retention_job
from trunkline.stores.database import BY_KEY, conninfo

pytestmark = pytest.mark.services

PARAMETER = re.compile(r"%\((\w+)\)s")


def _plan(database_url: str, statement: str) -> str:
    """The plan that a prepared statement keeps, whatever its arguments."""
    numbers: dict[str, int] = {}
    numbered = PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", statement)
    arguments = ", ".join(["NULL"] * len(numbers))
    with psycopg.connect(conninfo(database_url, options=BY_KEY)) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE asked AS {numbered}".encode())
        rows = connection.execute(f"EXPLAIN EXECUTE asked({arguments})".encode()).fetchall()
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(messages._CLAIM, id="claim"),
        pytest.param(messages._STANDING, id="standing"),
        pytest.param(messages._SETTLE, id="settle"),
        pytest.param(arrivals._RECORD, id="record"),
        pytest.param(conversations._OPEN, id="open"),
        pytest.param(conversations._LAST_INBOUND, id="last inbound"),
        pytest.param(erasures._ERASED, id="erased"),
        pytest.param(erasures._CLOSED, id="closed"),
        pytest.param(erasures._STANDING, id="standing of an erased person's message"),
        pytest.param(erasing._MESSAGES, id="erase messages"),
        pytest.param(erasing._DEAD_LETTERS, id="erase dead letters"),
        pytest.param(erasing._SPOOLED, id="erase what is spooled"),
        pytest.param(erasing._CONVERSATIONS, id="erase conversations"),
        pytest.param(retention_job._DUE, id="whose retention is due"),
        pytest.param(retention._TEXTS, id="texts"),
        pytest.param(retention._MESSAGES, id="messages"),
        pytest.param(retention._CONVERSATIONS, id="conversations"),
        pytest.param(retention._ALIASES, id="aliases"),
        pytest.param(retention._EVENTS, id="events"),
        pytest.param(retention._LETTER_CONTENTS.format(owner="tenant_id = %(tenant)s"), id="contents of dead letters"),
        pytest.param(retention._LETTERS.format(owner="tenant_id IS NULL"), id="nobody's dead letters"),
        pytest.param(retention._FILES, id="files"),
    ],
)
def test_rows_are_looked_up_by_key_and_no_table_is_read_as_a_whole(database_url: str, statement: str) -> None:
    plan = _plan(database_url, statement)
    # A hashed subplan reads its whole table for each execution: claims took longer with every message ever sent.
    assert not re.search(r"Seq Scan|hashed SubPlan|Hash \w*\s?Join|Merge \w*\s?Join", plan), plan
