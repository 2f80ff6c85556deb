"""Chapter 7, RabbitMQ: backlogs, queues that nobody reads, and a broker that takes nothing."""

from __future__ import annotations

from contextlib import suppress

from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.logbook import BROKER_BLOCKED, BROKER_UNBLOCKED, LOGBOOK, clock_of
from trunkline.doctor.opinion import Check, Opinion, ill, some, well
from trunkline.doctor.router import POOLS, QUEUES, SUSPECTS
from trunkline.doctor.stores import RABBITMQ
from trunkline.doctor.waiting import LANE_LOOKS, OUTBOUND, Cause, OldLane, old_lanes


def _backlog(facts: Facts) -> Opinion:
    slow = [lane for lane in old_lanes(facts) if lane.cause in (Cause.SLOW, Cause.KEPT)]
    if not slow:
        rows = facts.of(QUEUES).rows
        return well(f"{sum(row['messages'] or 0 for row in rows)} messages in {len(rows)} queues")
    limited = {lane: words for lane in slow if (words := _own_limit(facts, lane))}
    pools = dict.fromkeys(
        "outbound" if lane.queue == OUTBOUND else "inbound"
        for lane in slow
        if lane not in limited and lane.cause is Cause.SLOW
    )
    tenant = f" --tenant {facts.scene.tenant}" if facts.scene.tenant else ""
    return ill(
        [*some([str(lane) for lane in slow]), *some([told for told, _ in limited.values()])],
        [
            *some(list(dict.fromkeys(deed for _, deed in limited.values()))),
            *(f"scripts/trunkline pools scale {pool} {_one_more(facts, pool)}" for pool in pools),
            f"scripts/trunkline queues list, and what one message waits for: scripts/trunkline trace ID{tenant}",
        ],
    )


def _own_limit(facts: Facts, lane: OldLane) -> tuple[str, str] | None:
    """That the tenant has used up what it is granted, in words, and how it is granted more."""
    with suppress(Unseen):
        limits = facts.of(SUSPECTS).get(lane.tenant_id, {}).get("limits") or {}
        cloud = "whatsapp" if lane.queue == OUTBOUND else "genesys"
        setting = "whatsappMessagesPerSecond" if lane.queue == OUTBOUND else "genesysRequestsPerMinute"
        tenant, granted, ahead_s = lane.tenant_id, limits.get(setting, 0), limits.get(f"{cloud}BookedAheadSeconds", 0)
        if ahead_s > 1:
            deed = f"scripts/trunkline tenants update {tenant} --setting {setting}={2 * granted}"
            return (
                f"{tenant}: {setting} {granted} is used up for the next {ahead_s:g} s",
                f"{deed} (if the cloud has granted as much)",
            )
    return None


def _one_more(facts: Facts, pool: str) -> int:
    with suppress(Unseen, KeyError):
        return int(facts.of(POOLS)[pool]["size"]) + 1
    return 2


def _consumers(facts: Facts) -> Opinion:
    unread = [lane for lane in old_lanes(facts) if lane.cause is Cause.UNREAD]
    if not unread:
        return well("every queue with messages that are to be delivered has a consumer")
    return ill(
        some([f"{lane}, and nobody consumes it" for lane in unread]),
        [
            "wait 15 s: a queue whose consumer died is given another one by itself",
            "scripts/trunkline pools list, and more of them: scripts/trunkline pools scale inbound 2",
            "scripts/trunkline restart",
        ],
    )


def _alarm(facts: Facts) -> Opinion:
    answer = facts.of(RABBITMQ)
    if answer.facts is None:
        raise Unseen("RabbitMQ does not answer: see the check `rabbitmq`")
    if not answer.facts["blocked"]:
        return well("RabbitMQ takes messages")
    return ill(
        ["RabbitMQ takes no messages: its alarm for memory or disk is on; webhooks are kept in Postgres meanwhile",
         *_since(facts)],
        [
            "which one: sudo rabbitmq-diagnostics alarms (of a private one, see .trunkline/logs/rabbitmq.log)",
            "free memory or disk: df -h, and see the checks `disk` and `machine`",
            "it goes on by itself once there is room",
        ],
    )  # fmt: skip


def _since(facts: Facts) -> list[str]:
    with suppress(Unseen):
        lines = [line for line in facts.of(LOGBOOK).lines if line.event in (BROKER_BLOCKED, BROKER_UNBLOCKED)]
        if lines and lines[-1].event == BROKER_BLOCKED:
            return [f"the router knows since {clock_of(lines[-1].at)}"]
    return []


def _kind(facts: Facts) -> Opinion:
    facts.scene.require_here()
    if facts.scene.settings.trunkline_queue_type == "quorum":
        return well("quorum: they outlive the loss of a broker's node; a few hundred are the most that is sensible")
    return well("classic: should a broker's node be lost, what lies in its queues waits for its return")


CHECKS = (
    Check("backlog", 7, "queues are worked off", (*LANE_LOOKS, POOLS), _backlog, also=(4, 8)),
    Check("consumers", 7, "queues have consumers", LANE_LOOKS, _consumers, also=(4,)),
    Check("broker-alarm", 7, "RabbitMQ takes messages", (RABBITMQ, LOGBOOK), _alarm),
    Check("queue-type", 7, "what kind the queues are", (), _kind),
)
