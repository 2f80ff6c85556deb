"""A tenant's Genesys token in Redis, sealed, so that a new activation need not fetch one."""

from __future__ import annotations

import contextlib
import time

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.errors import Sealed, StoreUnavailable
from trunkline.stores.keys import oauth_token
from trunkline.stores.sealing import Sealer
from trunkline.tenancy.tokens import Token


class RedisTokenCache:
    """The token of one tenant."""

    def __init__(self, redis: Redis, sealer: Sealer, tenant_id: str) -> None:
        self._redis = redis
        self._sealer = sealer
        self._key = oauth_token(tenant_id)

    async def load(self) -> Token | None:
        """The token kept, or None when there is none that can be read; raises StoreUnavailable."""
        try:
            kept = await self._redis.get(self._key)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error
        try:
            value = orjson.loads(kept) if kept else None
            if value is None:
                return None
            token = self._sealer.open(value["token"].encode())
            return Token(token, float(value["issuedAt"]), float(value["expiresAt"]))
        except (ValueError, KeyError, TypeError, AttributeError, Sealed):
            return None

    async def save(self, token: Token) -> None:
        """Keep the token until its refresh time; raises StoreUnavailable."""
        value = orjson.dumps(
            {
                "token": self._sealer.seal(token.access_token).decode(),
                "issuedAt": token.issued_at,
                "expiresAt": token.expires_at,
            }
        )
        try:
            await self._redis.set(self._key, value, ex=max(1, int(token.refresh_at - time.time())))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error

    async def discard(self) -> None:
        """Forget the token; raises StoreUnavailable."""
        try:
            await self._redis.delete(self._key)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error

    async def reseal(self) -> None:
        """Seal the token under the first key, if it can be read, stays as it is meanwhile, and Redis is there."""
        with contextlib.suppress(RedisError, OSError, ValueError, KeyError, TypeError, AttributeError, Sealed):
            async with self._redis.pipeline() as pipeline:
                await pipeline.watch(self._key)
                kept = await pipeline.get(self._key)
                value = orjson.loads(kept) if kept else None
                if value is None or self._sealer.key_of(sealed := value["token"].encode()) == 0:
                    return
                value["token"] = self._sealer.reseal(sealed).decode()
                pipeline.multi()  # type: ignore[no-untyped-call]
                pipeline.set(self._key, orjson.dumps(value), keepttl=True)
                await pipeline.execute()

    async def exists(self) -> bool:
        """Whether a token is kept; raises StoreUnavailable."""
        try:
            return bool(await self._redis.exists(self._key))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error
