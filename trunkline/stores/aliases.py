"""Addresses of people in Postgres: who somebody is for Genesys, and where they are written to."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.grouping import Grouped
from trunkline.people import Alias, Move
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.values import as_rows, storable

GROUP_LIMIT = 500

_IDENTITIES = """
SELECT a.tenant_id, a.address, a.identity
FROM unnest(%(tenant)s::text[], %(address)s::text[]) AS k(tenant_id, address)
JOIN aliases a USING (tenant_id, address)
"""

# The first identity stays: two replicas may learn of a person at the same moment.
_LEARN = """
INSERT INTO aliases (tenant_id, address, identity)
SELECT DISTINCT ON (tenant_id, address) tenant_id, address, identity
FROM json_to_recordset(%(rows)s::json) AS a(tenant_id text, address text, identity text)
ORDER BY tenant_id, address
ON CONFLICT (tenant_id, address) DO NOTHING
"""

# The old address may itself be an alias, and whoever had the new one before has it no longer.
_MOVE = """
INSERT INTO aliases AS a (tenant_id, address, identity, moved_at)
SELECT %(tenant)s, %(new)s,
       COALESCE((SELECT identity FROM aliases WHERE tenant_id = %(tenant)s AND address = %(old)s), %(old)s),
       to_timestamp(%(at)s)
ON CONFLICT (tenant_id, address) DO UPDATE SET identity = excluded.identity, moved_at = excluded.moved_at
WHERE a.moved_at IS NULL OR a.moved_at < excluded.moved_at
"""

_ADDRESSES = """
SELECT DISTINCT ON (a.tenant_id, a.identity) a.tenant_id, a.identity, a.address
FROM unnest(%(tenant)s::text[], %(identity)s::text[]) AS k(tenant_id, identity)
JOIN aliases a USING (tenant_id, identity)
WHERE a.moved_at IS NOT NULL
ORDER BY a.tenant_id, a.identity, a.moved_at DESC
"""


class AliasStore:
    """Reads and writes aliases; look-ups of one moment go together."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._identity: Grouped[tuple[str, str], str | None] = Grouped(self._identities, GROUP_LIMIT)
        self._address: Grouped[tuple[str, str], str | None] = Grouped(self._addresses, GROUP_LIMIT)

    async def identity(self, tenant_id: str, address: str) -> str | None:
        """Who is known by this address, if it is an alias of somebody; raises StoreUnavailable."""
        return await self._identity((tenant_id, storable(address)))

    async def address(self, tenant_id: str, identity: str) -> str | None:
        """Where the person has moved to, if they have; raises StoreUnavailable."""
        return await self._address((tenant_id, storable(identity)))

    async def move(self, move: Move) -> None:
        """The person with the old address has the new one from now on; repeating it changes nothing."""
        parameters = {
            "tenant": move.tenant_id,
            "old": storable(move.old_address),
            "new": storable(move.new_address),
            "at": move.at,
        }
        async with connection(self._pool) as taken:
            await taken.execute(_MOVE, parameters)

    async def _identities(self, keys: Sequence[tuple[str, str]]) -> list[str | None]:
        parameters = {"tenant": [tenant_id for tenant_id, _ in keys], "address": [address for _, address in keys]}
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_IDENTITIES, parameters)).fetchall()
        found = {(tenant_id, address): identity for tenant_id, address, identity in rows}
        return [found.get(key) for key in keys]

    async def _addresses(self, keys: Sequence[tuple[str, str]]) -> list[str | None]:
        parameters = {"tenant": [tenant_id for tenant_id, _ in keys], "identity": [identity for _, identity in keys]}
        async with connection(self._pool) as taken:
            rows = await (await taken.execute(_ADDRESSES, parameters)).fetchall()
        found = {(tenant_id, identity): address for tenant_id, identity, address in rows}
        return [found.get(key) for key in keys]


async def learn_aliases(taken: Connection, aliases: Sequence[Alias]) -> None:
    """Write down addresses that belong together, in the caller's transaction."""
    if aliases:
        rows = [
            {
                "tenant_id": alias.tenant_id,
                "address": storable(alias.address),
                "identity": storable(alias.identity),
            }
            for alias in aliases
        ]
        await taken.execute(_LEARN, {"rows": as_rows(rows)})
