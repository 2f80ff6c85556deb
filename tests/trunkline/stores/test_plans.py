"""The statements of a message's way, as Postgres plans them for tables of which it knows nothing yet."""

from __future__ import annotations

import re

import psycopg
import pytest

from trunkline.stores import (
    arrivals,
    conversations,
    erasing,
    erasures,
    messages,
    migrations,
    purges,
    retention,
    retention_job,
    sent_messages,
    take_overs,
)
from trunkline.stores.database import BY_KEY, conninfo

pytestmark = pytest.mark.services

PARAMETER = re.compile(r"%\((\w+)\)s")
WHOLE_TABLE = re.compile(r"Seq Scan|hashed SubPlan|Hash \w*\s?Join|Merge \w*\s?Join")
# What a statement has just made itself is kept in a hash.
OWN_MARKS = re.compile(r"hashed SubPlan (\d+)(?=.*SubPlan \1\s+->  CTE Scan on marked)", re.DOTALL)
WHOLE_INDEX = re.compile(r"Index (?:Only )?Scan(?: Backward)? using \w+ on (?:messages|seen)\w* .*\n(?!\s*Index Cond)")

STATEMENTS = [
    pytest.param(messages._CLAIM, id="claim"),
    pytest.param(messages._CLAIM_OF_ANY, id="claim, some from the spool"),
    pytest.param(messages._STANDING, id="standing"),
    pytest.param(messages._STATUSES, id="statuses"),
    pytest.param(messages._SETTLE, id="settle"),
    pytest.param(messages._RECEIPTS, id="receipts"),
    pytest.param(messages._BURY, id="bury"),
    pytest.param(arrivals._RECORD, id="record"),
    pytest.param(conversations._OPEN, id="open"),
    pytest.param(conversations._LAST_INBOUND, id="last inbound"),
    pytest.param(sent_messages._FIND, id="find"),
    pytest.param(sent_messages._ADOPT.format(or_not=""), id="adopt"),
    pytest.param(take_overs._NOTE, id="take over"),
]
RARE_STATEMENTS = [
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
    pytest.param(erasures._PURGE, id="purge of an erased person's message"),
    pytest.param(purges._PURGE, id="purge"),
]


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


@pytest.mark.parametrize("statement", STATEMENTS + RARE_STATEMENTS)
def test_rows_are_looked_up_by_key_and_no_table_is_read_as_a_whole(database_url: str, statement: str) -> None:
    plan = _plan(database_url, statement)
    # A hashed subplan reads its whole table for each execution: claims took longer with every message ever sent.
    assert not WHOLE_TABLE.search(OWN_MARKS.sub("", plan)), plan
    assert not WHOLE_INDEX.search(plan), plan


def test_a_partition_that_was_empty_when_it_was_vacuumed_is_looked_into_by_key(empty_database_url: str) -> None:
    """As on the first of a month, if somebody has vacuumed during the last: plans stay while the partition fills."""
    migrations.migrate_up(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE messages")
    for each in STATEMENTS:
        plan = _plan(empty_database_url, str(each.values[0]))
        assert not re.search(r"Seq Scan on messages", plan), plan
        assert not WHOLE_INDEX.search(plan), plan
