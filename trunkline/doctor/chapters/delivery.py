"""Chapter 4, delivery failures: what keeps messages from Genesys Cloud and from WhatsApp, and what was given up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from trunkline.doctor.facts import Facts
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, some, well, worst
from trunkline.doctor.router import HEALTH, LETTERS, POOLS, SUSPECTS, Row, moment
from trunkline.doctor.waiting import Trouble, in_words, trouble_of

# Given up this lately, somebody has to see to it now.
FRESH = timedelta(hours=1)
# These say something about the message or its sender, not about the platform or a tenant's set-up.
OF_THE_SENDER = ("window_closed", "unsupported", "invalid", "media_unavailable", "tenant_deleted")
# The check `unrouted` tells of these.
OF_NOBODY = "unrouted"


def _to_genesys(facts: Facts) -> Opinion:
    return _circuits(
        facts,
        "genesys",
        (Trouble.FAILING, Trouble.THROTTLED),
        "calls to Genesys Cloud leave as they come",
        lambda tenant: [
            "nothing is lost: messages wait in order and go on by themselves once Genesys Cloud is well",
            f"scripts/trunkline tenants update {tenant} --setting genesysRequestsPerMinute=300 (if it says 429, and no "
            "more than Genesys grants)",
            "https://status.mypurecloud.com says how Genesys Cloud is",
        ],
    )


def _to_whatsapp(facts: Facts) -> Opinion:
    return _circuits(
        facts,
        "whatsapp",
        (Trouble.FAILING,),
        "calls to WhatsApp leave as they come",
        lambda tenant: [
            "nothing is lost: messages wait in order and go on by themselves once WhatsApp is well",
            "https://metastatus.com/whatsapp-business-api says how WhatsApp is",
        ],
    )


def _whatsapp_token(facts: Facts) -> Opinion:
    return _circuits(
        facts,
        "whatsapp",
        (Trouble.REFUSED,),
        "WhatsApp refuses no tenant's token",
        lambda tenant: [
            "make a permanent token of a system user on the Meta business page, and give it to the tenant: "
            f"scripts/trunkline tenants update {tenant} --access-token TOKEN",
            "what waits is delivered by itself within 10 s",
        ],
    )


def _whatsapp_limit(facts: Facts) -> Opinion:
    opinion = _circuits(
        facts,
        "whatsapp",
        (Trouble.THROTTLED,),
        "WhatsApp asks no tenant to slow down",
        lambda tenant: [
            "nothing is lost: messages wait as long as WhatsApp asks, and go on by themselves",
            f"if it lasts, send less: scripts/trunkline tenants update {tenant} --setting whatsappMessagesPerSecond=40",
        ],
    )
    slowed = [
        f"{tenant}: {limits['whatsappEffectiveMessagesPerSecond']:g} of {limits['whatsappMessagesPerSecond']} messages "
        "a second, since WhatsApp answered 130429"
        for tenant, status in facts.of(SUSPECTS).items()
        if (limits := status.get("limits") or {})
        and limits.get("whatsappEffectiveMessagesPerSecond", 0) < limits.get("whatsappMessagesPerSecond", 0)
    ]
    return (
        worst(opinion, doubtful(some(slowed), ["nothing to do: the rate rises again by itself"])) if slowed else opinion
    )


def _circuits(
    facts: Facts, cloud: str, troubles: tuple[Trouble, ...], fine: str, remedy: Callable[[str], list[str]]
) -> Opinion:
    found = {tenant: status for tenant, status in facts.of(SUSPECTS).items() if trouble_of(status, cloud) in troubles}
    if not found:
        return well(fine)
    deeds = dict.fromkeys(line for tenant in found for line in remedy(tenant))
    return ill(some([in_words(status, cloud) for status in found.values()]), some(list(deeds)))


def _whatsapp_rejected(facts: Facts) -> Opinion:
    return _letters(
        facts,
        lambda row: _is_rejected_by_whatsapp(row),
        "WhatsApp has rejected no message in the last day",
        ["the answer says what is wrong with the message or its receiver; correct that first"],
    )


def _dead_letters(facts: Facts) -> Opinion:
    return _letters(
        facts,
        lambda row: row["reason"] != OF_NOBODY and not _is_rejected_by_whatsapp(row),
        "nothing was given up in the last day",
        ["scripts/trunkline dead-letters show ID (its attempts, the cloud's answers, what can be done)"],
    )


def _is_rejected_by_whatsapp(row: Row) -> bool:
    return bool(row["direction"] == "outbound" and row["reason"] == "rejected")


def _letters(facts: Facts, belongs: Callable[[Row], bool], fine: str, first: list[str]) -> Opinion:
    letters = facts.of(LETTERS)
    rows = [row for row in letters.rows if belongs(row)]
    if not rows:
        return well(fine)
    groups: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["direction"], row["reason"]].append(row)
    evidence = [_told(direction, reason, group) for (direction, reason), group in groups.items()]
    if not letters.complete:
        evidence.append(f"only the newest {len(letters.rows)} were looked at")
    since = facts.scene.now - FRESH
    is_fresh = any(moment(row["createdAt"]) >= since for row in rows if row["reason"] not in OF_THE_SENDER)
    tenant = f" --tenant {facts.scene.tenant}" if facts.scene.tenant else ""
    deeds = [f"scripts/trunkline dead-letters list{tenant}", *first]
    if replayable := [reason for reason in dict.fromkeys(row["reason"] for row in rows) if reason not in OF_THE_SENDER]:
        deeds += [f"scripts/trunkline dead-letters replay{tenant} --reason {reason}" for reason in replayable]
    return (ill if is_fresh else doubtful)(evidence, deeds)


def _told(direction: str, reason: str, rows: list[Row]) -> str:
    tenants = Counter(row["tenantId"] or "nobody" for row in rows)
    whose = ", ".join(f"{tenant} {count}" for tenant, count in tenants.most_common(3))
    answer = rows[0].get("answer")
    return f"{len(rows)} {direction} {reason} ({whose}{', …' if len(tenants) > 3 else ''})" + (
        f", the newest: {answer}" if answer else ""
    )


def _transformers(facts: Facts) -> Opinion:
    answering = facts.of(HEALTH)
    pools = facts.of(POOLS)
    bad = []
    for name, pool in pools.items():
        row: dict[str, Any] = answering.component(name)
        if row.get("status") != "healthy":
            bad.append(f"{name}: {row.get('reason')}")
        elif pool["running"] < pool["size"] and not pool["changing"]:
            bad.append(f"{name}: {pool['running']} of {pool['size']} transformers run")
    if not bad:
        return well(*(f"{name}: {pool['running']} of {pool['size']} transformers run" for name, pool in pools.items()))
    return ill(
        bad,
        [
            "wait a few seconds: one that died is started anew by itself",
            "scripts/trunkline logs --since 10m --level ERROR",
            "scripts/trunkline restart",
        ],
    )


CHECKS = (
    Check("to-genesys", 4, "messages reach Genesys Cloud", (SUSPECTS,), _to_genesys),
    Check("to-whatsapp", 4, "messages reach WhatsApp", (SUSPECTS,), _to_whatsapp),
    Check("whatsapp-token", 4, "WhatsApp takes every tenant's token (401)", (SUSPECTS,), _whatsapp_token),
    Check("whatsapp-limit", 4, "WhatsApp asks nobody to slow down (429)", (SUSPECTS,), _whatsapp_limit),
    Check("whatsapp-rejected", 4, "WhatsApp rejects no message (400)", (LETTERS,), _whatsapp_rejected),
    Check("dead-letters", 4, "no message was given up", (LETTERS,), _dead_letters),
    Check("transformers", 4, "transformers run", (HEALTH, POOLS), _transformers, also=(7,)),
)
