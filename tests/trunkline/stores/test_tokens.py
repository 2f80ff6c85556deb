"""A tenant's token in a real Redis: sealed, gone by its refresh time, never more than a cache."""

from __future__ import annotations

import secrets
import time

import orjson
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from trunkline.errors import StoreUnavailable
from trunkline.stores.sealing import Sealer
from trunkline.stores.tokens import RedisTokenCache
from trunkline.tenancy.record import Secret
from trunkline.tenancy.tokens import Token

pytestmark = pytest.mark.services

ACCESS_TOKEN = "access-token-of-a-tenant"


@pytest.fixture
def sealer() -> Sealer:
    return Sealer([Fernet.generate_key().decode()])


@pytest.fixture
def tenant_id() -> str:
    return f"t-{secrets.token_hex(6)}"


@pytest.fixture
def key(tenant_id: str) -> str:
    """As the operators know it."""
    return f"tenant:{tenant_id}:oauth:token"


@pytest.fixture
def cache(redis: Redis, sealer: Sealer, tenant_id: str) -> RedisTokenCache:
    return RedisTokenCache(redis, sealer, tenant_id)


def token(lives_s: float = 1000.0) -> Token:
    now = time.time()
    return Token(Secret(ACCESS_TOKEN), now, now + lives_s)


async def test_a_token_comes_back_as_it_was_saved(cache: RedisTokenCache) -> None:
    saved = token()
    assert await cache.load() is None
    assert not await cache.exists()
    await cache.save(saved)
    assert await cache.load() == saved
    assert await cache.exists()
    await cache.discard()
    assert await cache.load() is None


async def test_it_is_sealed_says_when_it_expires_and_goes_at_its_refresh_time(
    cache: RedisTokenCache, redis: Redis, key: str
) -> None:
    saved = token(lives_s=1000)
    await cache.save(saved)
    kept = await redis.get(key)
    assert isinstance(kept, bytes)
    assert ACCESS_TOKEN.encode() not in kept
    assert orjson.loads(kept)["expiresAt"] == saved.expires_at
    assert 890 <= await redis.ttl(key) <= 900


async def test_an_operator_who_deletes_the_key_is_noticed(cache: RedisTokenCache, redis: Redis, key: str) -> None:
    await cache.save(token())
    await redis.delete(key)
    assert not await cache.exists()


@pytest.mark.parametrize(
    "kept", [b"", b"not json", b"null", b"[]", b'"text"', b"{}", b'{"token": "x", "issuedAt": 1, "expiresAt": 2}']
)
async def test_what_cannot_be_read_is_as_good_as_none(
    cache: RedisTokenCache, redis: Redis, key: str, kept: bytes
) -> None:
    await redis.set(key, kept, ex=60)
    assert await cache.load() is None


async def test_a_token_sealed_with_a_key_of_another_time_is_as_good_as_none(
    cache: RedisTokenCache, redis: Redis, tenant_id: str
) -> None:
    await RedisTokenCache(redis, Sealer([Fernet.generate_key().decode()]), tenant_id).save(token())
    assert await cache.load() is None


async def test_a_redis_that_is_away_is_named_in_words_that_operators_know(sealer: Sealer, tenant_id: str) -> None:
    async with Redis.from_url("redis://127.0.0.1:1", retry=Retry(NoBackoff(), 0)) as away:
        cache = RedisTokenCache(away, sealer, tenant_id)
        for call in (cache.load(), cache.save(token()), cache.discard(), cache.exists()):
            with pytest.raises(StoreUnavailable, match="Cannot connect to Redis"):
                await call
