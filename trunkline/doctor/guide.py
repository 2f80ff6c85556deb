"""The guide: its nine chapters, every check of them, and the examination of a system by some or all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trunkline.doctor.chapters import (
    authentication,
    cache,
    database,
    delivery,
    performance,
    queues,
    services,
    tenants,
    webhooks,
)
from trunkline.doctor.facts import Facts, Scene, Unseen, gather
from trunkline.doctor.opinion import Check, Finding, Opinion, Verdict, ill, unseen

CHAPTERS = {
    1: "Services do not start",
    2: "Webhook validation",
    3: "Authentication",
    4: "Delivery failures",
    5: "Database",
    6: "Redis",
    7: "RabbitMQ",
    8: "Performance",
    9: "Tenants",
}

CHECKS: tuple[Check, ...] = (
    *services.CHECKS,
    *webhooks.CHECKS,
    *authentication.CHECKS,
    *delivery.CHECKS,
    *database.CHECKS,
    *cache.CHECKS,
    *queues.CHECKS,
    *performance.CHECKS,
    *tenants.CHECKS,
)


def chosen(chapters: Sequence[int] = (), ids: Sequence[str] = ()) -> list[Check]:
    """The checks of these chapters and of these ids, in the guide's order; all when neither is given."""
    return [
        check
        for check in CHECKS
        if (not chapters and not ids) or check.id in ids or {check.chapter, *check.also}.intersection(chapters)
    ]


def examine(scene: Scene, checks: Iterable[Check]) -> list[Finding]:
    """What each check comes to; bounded in time, and raises nothing."""
    checks = list(checks)
    return judge(checks, gather((look for check in checks for look in check.looks), scene))


def judge(checks: Iterable[Check], facts: Facts) -> list[Finding]:
    """What each check comes to with these facts; raises nothing."""
    return [Finding(check, _decide(check, facts)) for check in checks]


def overall(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict; what was skipped does not count."""
    verdicts = {finding.opinion.verdict for finding in findings}
    return next((each for each in (Verdict.FAIL, Verdict.WARN) if each in verdicts), Verdict.PASS)


def _decide(check: Check, facts: Facts) -> Opinion:
    try:
        return check.decide(facts)
    except Unseen as reason:
        return unseen(reason.reason)
    except Exception as error:  # one check that is wrong must not hide what the others have found
        return ill(
            [f"the check itself failed: {type(error).__name__}"],
            ["report it, with the output of this command and --json"],
        )
