"""The retention job: through every tenant whose data has reached its age, a batch and a rest at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from psycopg.rows import class_row, dict_row

from trunkline.errors import StoreUnavailable
from trunkline.media_fetch import KEPT_BY_META_DAYS
from trunkline.stores.database import Pool, connection
from trunkline.stores.partitions import MessagePartitions
from trunkline.stores.retention import Batch, Place, RetentionStore
from trunkline.stores.retention_runs import RetentionRuns, only_run
from trunkline.tenancy.record import RetentionDays
from trunkline.tenancy.retention import Keeping

log = logging.getLogger(__name__)

TENANTS_AT_ONCE = 100
# After each batch the job rests for as long as that took, within these bounds.
SHORTEST_REST_S = 0.01
LONGEST_REST_S = 1.0

Step = Callable[[Keeping, Place | None], Awaitable[Batch]]

# Content never outlives its message's row, nor a conversation its window. A file may be fetched days after its message.
_AGES = """
SELECT days.tenant_id,
       now() - make_interval(days => LEAST(content, metadata)) AS content_before,
       now() - make_interval(days => metadata) AS metadata_before,
       now() - GREATEST(make_interval(days => metadata), make_interval(hours => window_hours)) AS conversations_before,
       now() - make_interval(days => GREATEST(media, metadata) + %(fetched_within)s) AS files_before,
       now() - make_interval(days => audit) AS audit_before,
       status = 'deleted' AND updated_at < now() - make_interval(days => GREATEST(metadata, media))
           AND EXISTS (SELECT FROM tenant_credentials c WHERE c.tenant_id = days.tenant_id) AS is_over
FROM (
    SELECT tenant_id, status, updated_at,
           COALESCE((settings->'retentionDays'->>'content')::int, %(content)s) AS content,
           COALESCE((settings->'retentionDays'->>'metadata')::int, %(metadata)s) AS metadata,
           COALESCE((settings->'retentionDays'->>'media')::int, %(media)s) AS media,
           COALESCE((settings->'retentionDays'->>'audit')::int, %(audit)s) AS audit,
           COALESCE((settings->>'conversationWindowHours')::int, %(window_hours)s) AS window_hours
    FROM {tenants} t
) days
"""

_OF_TENANTS = _AGES.format(
    tenants="(SELECT * FROM tenants WHERE tenant_id > %(after)s ORDER BY tenant_id LIMIT %(limit)s)"
)
# Each condition is one look into an index: most tenants have nothing to let go.
_DUE = f"""
SELECT a.*, a.is_over
    OR EXISTS (SELECT FROM messages m
               WHERE m.tenant_id = a.tenant_id AND m.created_at < a.metadata_before AND m.accepted_at IS NOT NULL)
    OR EXISTS (SELECT FROM messages m
               WHERE m.tenant_id = a.tenant_id AND m.created_at < a.content_before AND m.text IS NOT NULL)
    OR EXISTS (SELECT FROM message_events e WHERE e.tenant_id = a.tenant_id AND e.at < a.metadata_before)
    OR EXISTS (SELECT FROM conversation_mappings c
               WHERE c.tenant_id = a.tenant_id AND c.created_at < a.conversations_before)
    OR EXISTS (SELECT FROM dead_letters d WHERE d.tenant_id = a.tenant_id AND d.created_at < a.metadata_before)
    OR EXISTS (SELECT FROM dead_letters d
               WHERE d.tenant_id = a.tenant_id AND d.created_at < a.content_before AND d.envelope <> '')
    OR EXISTS (SELECT FROM customer_files f WHERE f.tenant_id = a.tenant_id AND f.created_at < a.files_before)
    OR COALESCE((SELECT l.at FROM audit_log l WHERE l.tenant_id = a.tenant_id ORDER BY l.id LIMIT 1) < a.audit_before,
                false) AS is_due
FROM ({_OF_TENANTS}) a ORDER BY a.tenant_id
"""

# Before this, nobody's messages are kept.
_OLDEST_KEPT = """
SELECT now() - make_interval(days => GREATEST(
    %(metadata)s, (SELECT max((settings->'retentionDays'->>'metadata')::int) FROM tenants)
))
"""

_NOBODYS = _AGES.format(
    tenants="(SELECT NULL::text AS tenant_id, 'active' AS status, now() AS updated_at, '{}'::jsonb AS settings)"
)


class RetentionJob:
    """`window_hours` is the conversation window of tenants that set none of their own."""

    def __init__(
        self,
        database_url: str,
        pool: Pool,
        window_hours: int,
        store: RetentionStore | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database_url = database_url
        self._runs = RetentionRuns(pool)
        self._pool = pool
        self._partitions = MessagePartitions(pool)
        self._window_hours = window_hours
        self._store = store or RetentionStore(pool)
        self._sleep = sleep

    async def run(self) -> bool:
        """Whether this was our turn; then everything whose time had come has gone. Raises StoreUnavailable.

        A run that is broken off loses nothing: the next one finds what is left, and tells of both.
        """
        async with only_run(self._database_url) as is_ours:
            if is_ours:
                await self._run()
        return is_ours

    async def _run(self) -> None:
        run_id, removed = await self._runs.begin(), Counter[str]()
        await self._drop_months()
        for tenant_id in await self._runs.untold():
            removed.update(await self._runs.tell(tenant_id))
        nobodys = await self._nobodys()
        for step in (self._store.remove_letter_contents, self._store.remove_letters, self._store.remove_audit_entries):
            await self._repeat(step, nobodys)
        removed.update(await self._runs.tell(None))
        async for keeping in self._due():
            await self._apply(keeping)
            removed.update(await self._runs.tell(keeping.tenant_id))
            await self._runs.progress(run_id, removed, ended=False)
        await self._runs.progress(run_id, removed, ended=True)
        if removed:
            log.info("retention.done", extra=dict(removed))

    async def _drop_months(self) -> None:
        """Whole months go at once, and what is left of others row by row."""
        async with connection(self._pool) as taken:
            row = await (await taken.execute(_OLDEST_KEPT, self._days())).fetchone()
        assert row is not None
        try:
            await self._partitions.drop_before(row[0])
        except StoreUnavailable as error:  # somebody has the table: another run will find it free
            log.info("retention.months_kept", extra={"error": str(error)})

    async def _apply(self, keeping: Keeping) -> None:
        store = self._store
        for step in (
            store.remove_texts,
            store.remove_letter_contents,
            store.remove_messages,
            store.remove_events,
            store.remove_letters,
            store.remove_conversations,
            store.remove_files,
            store.remove_audit_entries,
        ):
            await self._repeat(step, keeping)
        if keeping.is_over:
            await store.remove_tenant(keeping)

    async def _repeat(self, step: Step, keeping: Keeping) -> None:
        behind: Place | None = None
        while True:
            began = time.monotonic()
            batch = await step(keeping, behind)
            if batch.is_last:
                return
            behind = batch.next
            await self._sleep(min(max(time.monotonic() - began, SHORTEST_REST_S), LONGEST_REST_S))

    async def _due(self) -> AsyncIterator[Keeping]:
        after = ""
        while True:
            asked = {**self._days(), "after": after, "limit": TENANTS_AT_ONCE}
            async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
                rows = await (await cursor.execute(_DUE, asked)).fetchall()
            for row in rows:
                if row.pop("is_due"):
                    keeping = Keeping(**row)
                    yield keeping.of_all() if keeping.is_over else keeping
            if len(rows) < TENANTS_AT_ONCE:
                return
            after = rows[-1]["tenant_id"]

    async def _nobodys(self) -> Keeping:
        async with connection(self._pool) as taken, taken.cursor(row_factory=class_row(Keeping)) as cursor:
            keeping = await (await cursor.execute(_NOBODYS, self._days())).fetchone()
        assert keeping is not None
        return keeping

    def _days(self) -> dict[str, int]:
        days = RetentionDays()
        return {**days.model_dump(), "window_hours": self._window_hours, "fetched_within": KEPT_BY_META_DAYS}
