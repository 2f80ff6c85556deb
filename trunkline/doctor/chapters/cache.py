"""Chapter 6, Redis: whether it takes what it is given, and whether what it holds is true."""

from __future__ import annotations

from trunkline.doctor.cached import MAPPINGS, of_stale
from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, well
from trunkline.doctor.stores import REDIS

FULL_SHARE = 0.9
MB = 2**20


def _memory(facts: Facts) -> Opinion:
    answer = facts.of(REDIS)
    if answer.facts is None:
        raise Unseen("Redis does not answer: see the check `redis`")
    used, most = int(answer.facts["used_memory"] or 0), int(answer.facts["maxmemory"] or 0)
    if answer.facts["role"] not in ("master", None):
        return ill(
            [f"{answer.where} is a replica, which takes no writes"],
            ["have REDIS_URL name the master, then start anew: Ctrl-C, then scripts/run"],
        )
    if not most:
        return well(f"it holds {used // MB} MB and has no limit of its own")
    seen = f"it holds {used // MB} of {most // MB} MB ({answer.facts['maxmemory_policy']})"
    remedy = [
        'redis-cli -u "$REDIS_URL" CONFIG SET maxmemory 256mb',
        'or have it drop what is old: redis-cli -u "$REDIS_URL" CONFIG SET maxmemory-policy allkeys-lru (all of it may '
        "be lost at any time)",
    ]
    if used >= most and answer.facts["maxmemory_policy"] == "noeviction":
        return ill([f"{seen}, and takes no more"], remedy)
    return doubtful([seen], remedy) if used >= FULL_SHARE * most else well(seen)


def _stale(facts: Facts) -> Opinion:
    return of_stale(facts.of(MAPPINGS), "every cached mapping that was looked at agrees with Postgres")


CHECKS = (
    Check("redis-memory", 6, "Redis takes what it is given", (REDIS,), _memory),
    Check("stale-cache", 6, "cached mappings agree with Postgres", (MAPPINGS,), _stale),
)
