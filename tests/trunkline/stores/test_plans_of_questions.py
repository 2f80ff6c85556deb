"""What people ask of the admin API, as Postgres plans it over a database that has seen use."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from scripts.benchmark.history import Past, make_past
from trunkline.stores import audit, dead_letters, history
from trunkline.stores.database import conninfo, open_pool
from trunkline.stores.sealing import Sealer

pytestmark = pytest.mark.services

TENANTS, MESSAGES = 100, 20_000
# Forbidden to read whole tables, it would read a whole index instead where one is missing.
LEFT_TO_POSTGRES = "-c plan_cache_mode=force_custom_plan"
READ_AS_A_WHOLE = re.compile(
    # The partitions of other months are empty.
    rf"Seq Scan on ({datetime.now(UTC):messages_%Y_%m}|dead_letters|message_events|audit_log|seen"
    r"|conversation_mappings)\b"
)
# In Postgres' own unit. To look one thing up costs 8; with each of a hundred tenants, as our own id needs, 1716.
DEAREST = 1800
LISTED = {"tenant": None, "reason": None, "direction": None, "before": None, "limit": 51}
LOGGED = {"older_than": None, "tenant": None, "action": None, "limit": 51}
PAGE = {"created": None, "accepted": None, "message": None, "limit": 51}


@dataclass(frozen=True, slots=True)
class Filled:
    """A database with a past, and what lies in it."""

    url: str
    past: Past


@pytest.fixture(scope="module")
def filled(database_url: str) -> Iterator[Filled]:
    async def fill() -> Past:
        async with open_pool(database_url, min_size=1, max_size=2) as pool:
            sealer = Sealer([Fernet.generate_key().decode()])
            return await make_past(pool, sealer, tenants=TENANTS, messages=MESSAGES)

    yield Filled(database_url, asyncio.run(fill()))


def _plan(filled: Filled, statement: str, parameters: Any) -> str:
    with psycopg.connect(conninfo(filled.url, options=LEFT_TO_POSTGRES)) as connection:
        rows = connection.execute(f"EXPLAIN {statement}".encode(), parameters).fetchall()
    return "\n".join(row[0] for row in rows)


def _asked(past: Past) -> dict[str, tuple[str, Any]]:
    """Every question with what it is asked for."""
    tenant, conversation, wa_id = past.conversations[0]
    owner, message, wamid = past.messages[0]
    by_id = {"tenant": None, "id": message, "uuid": message}
    by_wamid = {"tenant": None, "id": wamid, "uuid": None}
    key = (owner, message)
    return {
        "the conversation with a person": (
            f"{history._CONVERSATION} AND wa_id = %(wa_id)s", {"tenant": tenant, "wa_id": wa_id},
        ),
        "a conversation": (
            f"{history._CONVERSATION} AND conversation_id = %(conversation)s",
            {"tenant": tenant, "conversation": conversation},
        ),
        "its messages": (history._MESSAGES, {"tenant": tenant, "conversation": conversation, **PAGE}),
        "a message by our id": (history._MESSAGE, {**by_id, "tenant": owner}),
        "a message by our id, no tenant named": (history._MESSAGE, by_id),
        "a message by its wamid": (history._MESSAGE, {**by_wamid, "tenant": owner}),
        "a message by its wamid, no tenant named": (history._MESSAGE, by_wamid),
        "its row": (history._MESSAGE_OF, key),
        "its events": (history._EVENTS, key),
        "its dead letter": (history._DEAD_LETTER_OF, key),
        "what waits of it": (history._SPOOLED, by_id),
        "a dead letter by our id": (history._DEAD_LETTER, by_id),
        "a dead letter by its wamid": (history._DEAD_LETTER, by_wamid),
        "the newest dead letters": (history._DEAD_LETTERS, LISTED),
        "those of a tenant": (history._DEAD_LETTERS, {**LISTED, "tenant": owner}),
        "those of a reason": (history._DEAD_LETTERS, {**LISTED, "reason": "poison"}),
        "how many there are of a tenant": (history._REASONS, (owner,)),
        "the newest entries of the log": (audit._ENTRIES, LOGGED),
        "those about a tenant": (audit._ENTRIES, {**LOGGED, "tenant": owner}),
        "those of an action": (audit._ENTRIES, {**LOGGED, "action": "key.revoked"}),
        "what can be replayed of a tenant": (
            dead_letters._OLDEST,
            {"tenant": owner, "reason": None, "direction": None, "ids": None, "after": None, "after_id": None,
             "limit": 100},
        ),
    }  # fmt: skip


def test_no_table_that_grows_is_read_as_a_whole(filled: Filled) -> None:
    plans = {name: _plan(filled, *asked) for name, asked in _asked(filled.past).items()}
    wrong = {name: plan for name, plan in plans.items() if READ_AS_A_WHOLE.search(plan) or _cost(plan) > DEAREST}
    assert not wrong, "\n\n".join(f"{name}:\n{plan}" for name, plan in wrong.items())


def _cost(plan: str) -> float:
    found = re.search(r"cost=[\d.]+\.\.([\d.]+)", plan)
    assert found
    return float(found[1])
