"""Conversation mappings in Redis: put there when a conversation is opened, taken away when a person is erased."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.errors import StoreUnavailable
from trunkline.stores.keys import mapping_by_conversation, mapping_by_wa_id


class MappingCache:
    """What is kept of people's conversations."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def forget(self, tenant_id: str, wa_ids: Sequence[str], conversation_ids: Sequence[str]) -> int:
        """Remove what is kept of these; how many keys there were. Raises StoreUnavailable."""
        keys = [mapping_by_wa_id(tenant_id, wa_id) for wa_id in wa_ids]
        keys += [mapping_by_conversation(tenant_id, conversation_id) for conversation_id in conversation_ids]
        try:
            return int(await self._redis.delete(*keys))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Cannot connect to Redis: {error}") from error
