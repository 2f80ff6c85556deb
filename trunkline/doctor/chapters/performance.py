"""Chapter 8, performance: slow stores and machines, memory by actor, disks."""

from __future__ import annotations

from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.machine import DISKS, MEDIA, STRAIN
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, some, well, worst
from trunkline.doctor.router import ACTORS, HEALTH

SLOW_MS = 250.0
CROWDED = 2.0
LITTLE_MEMORY = 0.1
NO_MEMORY = 0.04
NEAR_LIMIT = 0.85
GB = 2**30
MB = 2**20
# RabbitMQ stops taking messages at 50 MB; Postgres cannot go on without its log.
LITTLE_DISK = 2 * GB
NO_DISK = GB // 2


def _slow(facts: Facts) -> Opinion:
    health = facts.of(HEALTH)
    latencies = {name: health.component(name).get("latencyMs") for name in ("postgres", "redis", "rabbitmq", "ray")}
    known = {name: float(value) for name, value in latencies.items() if value is not None}
    seen = ", ".join(f"{name} {value:g} ms" for name, value in known.items())
    slow = {name: value for name, value in known.items() if value > SLOW_MS}
    if not slow:
        return well(f"the router's look at each: {seen}")
    return ill(
        [f"{name} takes {value:g} ms to answer the router" for name, value in slow.items()],
        [
            "is the machine of that store busy, or far away? see the check `machine` there",
            "of Postgres: see Preventive maintenance in docs/troubleshooting.md (VACUUM, statistics)",
        ],
    )


def _machine(facts: Facts) -> Opinion:
    strain = facts.of(STRAIN)
    seen = f"{strain.wanted:.1f} processes want each of {strain.cores} cores"
    opinion = well(seen)
    if strain.wanted > CROWDED:
        opinion = doubtful([seen], ["see what is busy: top", "more cores, or another machine for the stores"])
    if strain.memory_available is None or not strain.memory_total:
        return opinion
    share = strain.memory_available / strain.memory_total
    told = f"{strain.memory_available // MB} of {strain.memory_total // MB} MB of memory are available"
    remedy = [
        "scripts/trunkline top (actors by memory)",
        "scripts/run --no-dashboard saves some; fewer transformers: scripts/trunkline pools scale inbound 1",
    ]
    if share < LITTLE_MEMORY:
        return worst(opinion, (ill if share < NO_MEMORY else doubtful)([told], remedy))
    return worst(opinion, well(told))


def _actors(facts: Facts) -> Opinion:
    near, over, largest = [], [], 0
    for actor in facts.of(ACTORS):
        used, limit = actor.get("memoryBytes"), actor.get("memoryLimitBytes")
        if used is None:
            continue
        largest = max(largest, used)
        told = f"{actor['name']} (pid {actor.get('pid')}): {used // MB} MB" + (f" of {limit // MB} MB" if limit else "")
        if limit and used > limit:
            over.append(told)
        elif limit and used > NEAR_LIMIT * limit:
            near.append(told)
    remedy = [
        "scripts/trunkline restart (each in turn, without loss, which gives its memory back)",
        "if that is what the load needs: raise TRUNKLINE_ACTOR_MEMORY_MB, or spread it: scripts/trunkline pools scale "
        "inbound 2",
    ]
    if over:
        return ill(some([*over, *near]), remedy)
    return doubtful(some(near), remedy) if near else well(f"the largest actor has {largest // MB} MB")


def _disk(facts: Facts) -> Opinion:
    opinions = []
    for disk in facts.of(DISKS):
        seen = f"{disk.folder}: {disk.free / GB:.1f} of {disk.total / GB:.1f} GB are free"
        remedy = [
            f"du -xh --max-depth=2 {disk.folder} | sort -h | tail",
            "keep fewer files (TRUNKLINE_MEDIA_LIMIT_MB), fewer days (tenants' retentionDays), or add disk",
        ]
        if disk.free < NO_DISK:
            opinions.append(ill([seen], remedy))
        else:
            opinions.append(doubtful([seen], remedy) if disk.free < LITTLE_DISK else well(seen))
    return worst(*opinions, _media(facts))


def _media(facts: Facts) -> Opinion:
    try:
        used = facts.of(MEDIA)
    except Unseen:
        return well()
    limit = facts.scene.settings.trunkline_media_limit_mb * MB
    seen = f"customers' files: {used // MB} of {limit // MB} MB"
    if used < FULL_MEDIA * limit:
        return well(seen)
    return doubtful(
        [f"{seen}; the oldest go first, maybe before Genesys has fetched them"],
        ["raise TRUNKLINE_MEDIA_LIMIT_MB, or keep them for fewer days: settings.retentionDays.media of the tenants"],
    )


FULL_MEDIA = 0.95

CHECKS = (
    Check("slow-stores", 8, "stores and actors answer quickly", (HEALTH,), _slow),
    Check("machine", 8, "the machine has cores and memory left", (STRAIN,), _machine),
    Check("actor-memory", 8, "actors keep to their memory", (ACTORS,), _actors),
    Check("disk", 8, "disks have room", (DISKS, MEDIA), _disk),
)
