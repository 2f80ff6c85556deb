"""Every secret that is sealed at rest: which key has sealed it, and sealing it anew under the first."""

from __future__ import annotations

import asyncio
from typing import Any

from psycopg import sql
from redis.asyncio import Redis

from trunkline.errors import Sealed
from trunkline.stores.audit import append
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.tokens import RedisTokenCache
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.tenancy.seals import SealedRow, SealsPage, Unopened

# Sealed columns by table, and each table's key.
SEALED = {
    "meta_apps": ("app", ("app_secret", "verify_token")),
    "tenant_credentials": ("tenant_id", ("access_token", "genesys_client_secret", "webhook_secret")),
}
# Seals are work for the processor; after so many rows others get their turn.
ROWS_AT_ONCE = 20

# Deleted tenants too: what an old key has sealed must be gone before that key is.
_ROWS = """
SELECT "table", id FROM (
    SELECT 'meta_apps' AS "table", app COLLATE "C" AS id FROM meta_apps
    UNION ALL SELECT 'tenant_credentials', tenant_id COLLATE "C" FROM tenant_credentials
) rows WHERE ("table" COLLATE "C", id) > (%s, %s) ORDER BY "table" COLLATE "C", id LIMIT %s
"""
_TOTAL = """
SELECT 2 * (SELECT count(*) FROM meta_apps) + 3 * (SELECT count(*) FROM tenant_credentials)
"""


class SealStore:
    """The secrets at rest, in pages of rows. Every method raises StoreUnavailable."""

    def __init__(self, pool: Pool, redis: Redis, sealer: Sealer) -> None:
        self._pool = pool
        self._redis = redis
        self._sealer = sealer

    async def look(self, limit: int, after: SealedRow | None = None) -> SealsPage:
        """Which keys have sealed the secrets of the next rows."""
        async with connection(self._pool) as taken:
            return await self._go_through(taken, limit, after, rewrite=False)

    async def reseal(self, limit: int, after: SealedRow | None, by: Actor) -> SealsPage:
        """Seal the secrets of the next rows under the first key, noted in the audit log as done by `by`.

        Each row is locked meanwhile, so a change that is made at the same time comes before or after, and is kept.
        Tokens in Redis are sealed anew if Redis is there; a tenant whose token cannot be read fetches another one.
        """
        async with connection(self._pool) as taken:
            page = await self._go_through(taken, limit, after, rewrite=True)
            if page.resealed:
                facts = {"resealed": page.resealed, "checked": page.checked, "key": page.keys[0]}
                await append(taken, AuditRecord(by, "secrets.resealed", None, None, after=facts))
        return page

    async def _go_through(self, taken: Connection, limit: int, after: SealedRow | None, *, rewrite: bool) -> SealsPage:
        found = await (await taken.execute(_ROWS, (*(after or ("", "")), limit + 1))).fetchall()
        rows: list[SealedRow] = [(table, id) for table, id in found[:limit]]
        total = await (await taken.execute(_TOTAL)).fetchone()
        count = [0] * len(self._sealer.fingerprints)
        unopened: list[Unopened] = []
        resealed = 0
        for number, row in enumerate(rows, start=1):
            sealed = await self._read(taken, row, lock=rewrite)
            old = self._count(row, sealed, count, unopened)
            if rewrite and old:
                await self._write(taken, row, {name: self._sealer.reseal(sealed[name]) for name in old})
                resealed += len(old)
            if rewrite and row[0] == "tenant_credentials":
                await RedisTokenCache(self._redis, self._sealer, row[1]).reseal()
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        if rewrite:
            count = [sum(count), *[0] * (len(count) - 1)]
        return SealsPage(
            keys=self._sealer.fingerprints,
            sealed_by=tuple(count),
            resealed=resealed,
            checked=sum(count) + len(unopened),
            total=total[0] if total else 0,
            unopened=tuple(unopened),
            reached=rows[-1] if len(found) > limit else None,
        )

    def _count(self, row: SealedRow, sealed: dict[str, bytes], count: list[int], unopened: list[Unopened]) -> list[str]:
        """The columns that a key other than the first has sealed."""
        old = []
        for column, value in sealed.items():
            try:
                number = self._sealer.key_of(value)
            except Sealed:
                unopened.append(Unopened(*row, column))
                continue
            count[number] += 1
            if number > 0:
                old.append(column)
        return old

    async def _read(self, taken: Connection, row: SealedRow, *, lock: bool) -> dict[str, bytes]:
        key, columns = SEALED[row[0]]
        query = sql.SQL("SELECT {} FROM {} WHERE {} = %s {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(row[0]),
            sql.Identifier(key),
            sql.SQL("FOR UPDATE" if lock else ""),
        )
        values: Any = await (await taken.execute(query, (row[1],))).fetchone()
        return dict(zip(columns, map(bytes, values), strict=True)) if values else {}  # removed meanwhile

    async def _write(self, taken: Connection, row: SealedRow, sealed: dict[str, bytes]) -> None:
        key, _ = SEALED[row[0]]
        query = sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(
            sql.Identifier(row[0]),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in sealed),
            sql.Identifier(key),
        )
        await taken.execute(query, (*sealed.values(), row[1]))
