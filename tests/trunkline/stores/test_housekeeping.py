"""What nobody will ask for again is removed, and nothing else, on a real Postgres."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.trunkline.stores.attempts import move_rows, recorded, rows
from trunkline.stores.database import Pool, connection
from trunkline.stores.housekeeping import Housekeeping

pytestmark = pytest.mark.services


async def _insert(pool: Pool, statement: str, days_ago: list[float]) -> None:
    async with connection(pool) as taken:
        for days in days_ago:
            await taken.execute(statement, (uuid.uuid4(), days * 86_400))


async def _ages(pool: Pool, table: str, column: str) -> list[float]:
    query = f"SELECT round(extract(epoch FROM now() - {column}) / 86400, 1)::float8 FROM {table} ORDER BY 1"
    async with connection(pool) as taken:
        return [age for (age,) in await (await taken.execute(query)).fetchall()]


async def test_marks_are_kept_for_nine_days_whatever_the_size_of_a_batch(pool: Pool) -> None:
    seen = "INSERT INTO seen VALUES ('acme', %s, now() - make_interval(secs => %s))"
    await _insert(pool, seen, [0, 8.1, 8.9, *[9.1] * 4, 30])
    assert await Housekeeping(pool, batch=2).forget_seen() == 5
    assert await _ages(pool, "seen", "seen_at") == [0.0, 8.1, 8.9]
    assert await Housekeeping(pool).forget_seen() == 0


async def test_a_mark_is_kept_for_as_long_as_its_message_has_a_row(pool: Pool, tenant_id: str) -> None:
    message = await recorded(pool, tenant_id)
    async with connection(pool) as taken:
        await move_rows(taken, f"{datetime.now(UTC) - timedelta(days=9.5)}", [message.message_id])
    house, marks = Housekeeping(pool), "SELECT FROM seen WHERE tenant_id = %s"
    assert await house.forget_seen() == 0
    assert len(await rows(pool, marks, tenant_id)) == 1
    async with connection(pool) as taken:
        await taken.execute("DELETE FROM messages WHERE tenant_id = %s", (tenant_id,))
    assert await house.forget_seen() == 1
    assert await rows(pool, marks, tenant_id) == []


async def test_notes_on_take_overs_are_kept_for_a_day(pool: Pool) -> None:
    await _insert(
        pool, "INSERT INTO take_overs VALUES ('acme', %s, 1, now() - make_interval(secs => %s))", [0, 0.9, 1.1, 7]
    )
    assert await Housekeeping(pool).forget_take_overs() == 2
    assert await _ages(pool, "take_overs", "noted_at") == [0.0, 0.9]
