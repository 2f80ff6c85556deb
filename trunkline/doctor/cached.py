"""Redis beside Postgres: cached tokens past their time, mappings that contradict the truth, limits in use."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
import redis

from trunkline.doctor.facts import Facts, Look
from trunkline.doctor.opinion import Opinion, ill, some, well
from trunkline.doctor.stores import postgres, redis_client
from trunkline.stores.keys import rate_limit

# A sample is enough to see that something is wrong, and is read in a moment.
MOST_KEYS = 1000
# Clocks of the hosts differ a little.
TOLERATED_S = 5.0

_TOKEN = re.compile(r"tenant:(?P<tenant>[^:]+):oauth:token")
_MAPPING = re.compile(r"tenant:(?P<tenant>[^:]+):mapping:(?P<by>wa|conv):(?P<what>.+)")

_TENANTS = "SELECT tenant_id, rate_limit FROM tenants WHERE tenant_id = ANY(%(ids)s) AND status <> 'deleted'"

# The person's latest conversation: the open one if there is one.
_CONVERSATIONS = """
SELECT a.tenant_id, a.conversation_id::text AS conversation_id, c.wa_id, (
    SELECT l.conversation_id::text FROM conversation_mappings l
    WHERE l.tenant_id = c.tenant_id AND l.wa_id = c.wa_id ORDER BY l.status = 'open' DESC, l.created_at DESC LIMIT 1
) AS latest
FROM unnest(%(tenants)s::text[], %(ids)s::uuid[]) AS a(tenant_id, conversation_id)
LEFT JOIN conversation_mappings c USING (tenant_id, conversation_id)
"""


@dataclass(frozen=True, slots=True)
class StaleKey:
    """A key in Redis that says something else than the truth."""

    key: str
    tenant_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Use:
    """Requests of a tenant to the admin API in this minute or the last, and how many it may make."""

    tenant_id: str
    requests: int
    limit: int


def _look_at_tokens(facts: Facts) -> tuple[StaleKey, ...]:
    """Cached tokens that are past their time, unreadable, kept for ever, or nobody's."""
    with redis_client(facts.scene) as client:
        keys = _scan(client, f"tenant:{facts.scene.tenant or '*'}:oauth:token")
        found = _values(client, keys)
    owners = {key: matched["tenant"] for key in keys if (matched := _TOKEN.fullmatch(key))}
    with postgres(facts.scene) as connection:
        known = {row["tenant_id"] for row in connection.execute(_TENANTS, {"ids": list(owners.values())})}
    return tuple(
        StaleKey(key, owner, why)
        for key, owner in owners.items()
        if (why := _token_fault(found.get(key), owner in known))
    )


def _token_fault(found: tuple[Any, int] | None, has_owner: bool) -> str | None:
    if found is None:
        return None  # it ended meanwhile
    value, ttl_s = found
    if not has_owner:
        return "there is no such tenant"
    try:
        expires_at = float(orjson.loads(value)["expiresAt"])
    except (ValueError, KeyError, TypeError):
        return "it cannot be read"
    if expires_at < time.time() - TOLERATED_S:
        return f"its token expired {timedelta(seconds=round(time.time() - expires_at))} ago"
    return "it never ends, though its token does" if ttl_s < 0 else None


def _look_at_mappings(facts: Facts) -> tuple[StaleKey, ...]:
    """Cached mappings that name another conversation, or another person, than Postgres does."""
    with redis_client(facts.scene) as client:
        keys = _scan(client, f"tenant:{facts.scene.tenant or '*'}:mapping:*")
        found = _values(client, keys)
    told = [(key, matched, _mapping(found[key][0])) for key in found if (matched := _MAPPING.fullmatch(key))]
    readable = [(key, matched, mapping) for key, matched, mapping in told if mapping is not None]
    pairs = [(matched["tenant"], mapping[1]) for _, matched, mapping in readable]
    with postgres(facts.scene) as connection:
        rows = connection.execute(
            _CONVERSATIONS, {"tenants": [tenant for tenant, _ in pairs], "ids": [id for _, id in pairs]}
        ).fetchall()
    truth = {(row["tenant_id"], row["conversation_id"]): (row["wa_id"], row["latest"]) for row in rows}
    stale = [StaleKey(key, matched["tenant"], "it cannot be read") for key, matched, mapping in told if mapping is None]
    for key, matched, (wa_id, conversation_id) in readable:
        real_wa_id, latest = truth.get((matched["tenant"], conversation_id), (None, None))
        if real_wa_id is None:
            stale.append(StaleKey(key, matched["tenant"], "Postgres knows no such conversation"))
        elif real_wa_id != wa_id:
            stale.append(StaleKey(key, matched["tenant"], "in Postgres that conversation is another person's"))
        elif matched["by"] == "wa" and latest != conversation_id:
            stale.append(StaleKey(key, matched["tenant"], "in Postgres that person's conversation is another one"))
    return tuple(stale)


def _mapping(value: Any) -> tuple[str, str] | None:
    with suppress(ValueError, KeyError, TypeError):
        told = orjson.loads(value)
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", told["conversationId"]):
            return str(told["waId"]), str(told["conversationId"])
    return None


def _look_at_use(facts: Facts) -> tuple[Use, ...]:
    """Tenants by their use of the admin API, this minute's or the last one's, whichever is more."""
    now = facts.scene.now
    minutes = (now, now - timedelta(minutes=1))
    with redis_client(facts.scene) as client:
        patterns = [rate_limit(facts.scene.tenant or "*", minute) for minute in minutes]
        keys = list(dict.fromkeys(key for pattern in patterns for key in _scan(client, pattern)))
        found = _values(client, keys)
    used: dict[str, int] = {}
    for key, (value, _) in found.items():
        tenant_id = key.split(":")[1]
        with suppress(ValueError, TypeError):
            used[tenant_id] = max(used.get(tenant_id, 0), int(value))
    with postgres(facts.scene) as connection:
        rows = connection.execute(_TENANTS, {"ids": list(used)}).fetchall()
    return tuple(Use(row["tenant_id"], used[row["tenant_id"]], row["rate_limit"]) for row in rows)


def _scan(client: redis.Redis, pattern: str) -> list[str]:
    keys: Iterator[str] = client.scan_iter(match=pattern, count=MOST_KEYS)
    return list(dict.fromkeys(itertools.islice(keys, MOST_KEYS)))


def _values(client: redis.Redis, keys: list[str]) -> dict[str, tuple[Any, int]]:
    """The value and the seconds to live of each key that is still there."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.get(key)
            pipeline.ttl(key)
        answers: list[Any] = pipeline.execute()
    pairs = zip(keys, answers[::2], answers[1::2], strict=True)
    return {key: (value, int(ttl_s)) for key, value, ttl_s in pairs if value is not None}


def of_stale(stale: tuple[StaleKey, ...], otherwise: str, pattern: str = "") -> Opinion:
    """What is wrong with these keys; `pattern` is the option that clears no others."""
    if not stale:
        return well(otherwise)
    tenants = list(dict.fromkeys(each.tenant_id for each in stale))
    return ill(
        some([f"{each.key}: {each.why}" for each in stale]),
        some([f"scripts/trunkline cache clear --tenant {tenant}{pattern}" for tenant in tenants]),
    )


TOKENS: Look[tuple[StaleKey, ...]] = Look("cached tokens", _look_at_tokens)
MAPPINGS: Look[tuple[StaleKey, ...]] = Look("cached mappings", _look_at_mappings)
USE: Look[tuple[Use, ...]] = Look("use of the admin API", _look_at_use)
