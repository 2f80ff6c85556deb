"""Chapter 9, tenants: unknown, held or without a key, numbers that nobody owns, limits that are used up."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from trunkline.doctor.cached import USE
from trunkline.doctor.database import KEYLESS
from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, some, unseen, well
from trunkline.doctor.router import KEY, LETTERS, TENANTS
from trunkline.doctor.waiting import LANE_LOOKS, Cause, old_lanes

NEAR_LIMIT = 0.8


def _admin_key(facts: Facts) -> Opinion:
    refused = facts.of(KEY)
    if refused is None:
        return well("the key opens what staff may see")
    return ill(
        [refused],
        [
            "the key that the first run made: scripts/trunkline keys first",
            "give it with --key KEY, or set ADMIN_API_KEY; this command needs a key of an admin or operator",
        ],
    )


def _tenant(facts: Facts) -> Opinion:
    tenant = facts.scene.tenant
    if tenant is None:
        return unseen("no tenant was named: --tenant ID")
    if not facts.of(TENANTS).rows:
        return ill(
            [f"Tenant not found: there is no {tenant!r}, or it was deleted"],
            ["scripts/trunkline tenants list", f"scripts/trunkline tenants create --id {tenant} --help"],
        )
    row = facts.of(TENANTS).rows[0]
    return well(f"{row['name']}, {row['status']}, {row['rateLimit']} requests a minute")


def _inactive(facts: Facts) -> Opinion:
    suspended = [row["tenantId"] for row in facts.of(TENANTS).rows if row["status"] == "suspended"]
    held = {}
    with suppress(Unseen):
        held = {lane.tenant_id: lane for lane in old_lanes(facts) if lane.cause is Cause.SUSPENDED}
    if held:
        return ill(
            some([f"{lane}, held because the tenant is suspended" for lane in held.values()]),
            some([f"scripts/trunkline tenants activate {tenant}" for tenant in held]),
        )
    if suspended:
        return doubtful(
            some([f"{tenant} is suspended; nothing waits for it" for tenant in suspended]),
            some([f"scripts/trunkline tenants activate {tenant}" for tenant in suspended]),
        )
    return well("no tenant is suspended" if facts.scene.tenant is None else "it is active")


def _unrouted(facts: Facts) -> Opinion:
    if facts.scene.tenant is not None:
        return unseen("what is nobody's belongs to no tenant: leave --tenant out")
    rows = [row for row in facts.of(LETTERS).rows if row["reason"] == "unrouted"]
    if not rows:
        return well("every webhook of the last day found its tenant")
    answers = Counter(row.get("answer") or "no tenant has this number or integration" for row in rows)
    return ill(
        some([f"{count} x {answer}" for answer, count in answers.most_common()]),
        [
            "scripts/trunkline dead-letters list --reason unrouted",
            "give the number or the integration to its tenant: scripts/trunkline tenants update ID "
            "--phone-number-id ID --app APP, or --integration-id ID (or tenants create)",
            "scripts/trunkline dead-letters replay --reason unrouted",
        ],
    )


def _keys(facts: Facts) -> Opinion:
    keyless = facts.of(KEYLESS)
    if not keyless:
        return well("every tenant has a key that is valid")
    return doubtful(
        some([f"{tenant} has no valid key: its own calls of the admin API are answered 401" for tenant in keyless]),
        some([f"scripts/trunkline keys create --tenant {tenant} --name NAME" for tenant in keyless]),
    )


def _rate_limit(facts: Facts) -> Opinion:
    found = facts.of(USE)
    uses = sorted(found, key=lambda use: -use.requests / use.limit)
    over = [use for use in uses if use.requests > use.limit]
    near = [use for use in uses if NEAR_LIMIT * use.limit <= use.requests <= use.limit]
    remedy = some(
        [f"scripts/trunkline tenants update {use.tenant_id} --rate-limit {2 * use.limit}" for use in over + near]
    )
    evidence = some(
        [f"{use.tenant_id}: {use.requests} requests in a minute, {use.limit} are allowed" for use in over + near]
    )
    if over:
        return ill([*evidence, "the rest is answered 429 Rate limit exceeded"], remedy)
    return doubtful(evidence, remedy) if near else well("no tenant is near its limit")


CHECKS = (
    Check("admin-key", 9, "the key of this command is good", (KEY,), _admin_key, also=(3,)),
    Check("tenant", 9, "the tenant exists", (TENANTS,), _tenant),
    Check("inactive", 9, "no tenant is held", LANE_LOOKS, _inactive, also=(4,)),
    Check("unrouted", 9, "every number and integration has its tenant", (LETTERS,), _unrouted, also=(2, 4)),
    Check("tenant-keys", 9, "every tenant has a key", (KEYLESS,), _keys),
    Check("rate-limit", 9, "no tenant is over its limit", (USE,), _rate_limit),
)
